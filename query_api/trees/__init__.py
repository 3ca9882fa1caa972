"""Trees: the spans of one trace, as they hang together."""
