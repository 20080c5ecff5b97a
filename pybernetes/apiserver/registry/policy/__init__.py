"""The `policy` group."""
