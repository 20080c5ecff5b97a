"""One volume kind per file."""
