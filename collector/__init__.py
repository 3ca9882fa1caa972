"""Bytes in, rows out: the gate, the batcher and the OTLP receivers."""
