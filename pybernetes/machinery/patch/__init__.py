"""Strategic, merge and JSON patches."""
