"""What an instrumentation of the OpenAI SDK adds to a call: ours beside others."""
