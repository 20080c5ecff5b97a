"""The `apps` group."""
