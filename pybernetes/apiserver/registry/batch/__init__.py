"""The `batch` group."""
