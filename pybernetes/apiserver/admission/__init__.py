"""Admission plugins, one per file, and the chain that orders them."""
