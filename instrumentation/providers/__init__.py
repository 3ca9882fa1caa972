"""One file a provider: a table of targets, and how to read its requests, responses and chunks."""
