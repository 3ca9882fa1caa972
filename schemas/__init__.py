"""What a span is: tables, messages, prices, settings, errors and the database connection."""
