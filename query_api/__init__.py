"""Everything that a person or a program asks: traces, trees, and the HTTP API around them."""
