"""Search: which traces and spans a question means, page by page."""
