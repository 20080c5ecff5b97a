"""The resources that are served: one module per kind, in a folder per API group."""
