"""Hollow nodes, virtual time, fault injection."""
