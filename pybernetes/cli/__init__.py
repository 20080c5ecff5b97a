"""The `pyb` command."""
