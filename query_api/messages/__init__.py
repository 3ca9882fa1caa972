"""Messages as people can read them: prompts, completions and tool traffic of every dialect in one form."""
