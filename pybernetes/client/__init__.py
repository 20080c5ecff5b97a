"""How every component reaches the API server."""
