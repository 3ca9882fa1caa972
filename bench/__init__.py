"""Measures what the ledger takes in, beside what its engine can do with the same rows."""
