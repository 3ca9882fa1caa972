"""`make bench-query`: how long questions take on millions of stored spans."""
