"""Stats: sums, rates and percentiles over the calls that a search means."""
