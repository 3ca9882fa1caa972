"""SQL: questions that no other route foresees, each kept inside the caller's project."""
