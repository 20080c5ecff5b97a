"""One scheduler plugin per file."""
