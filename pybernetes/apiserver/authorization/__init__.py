"""May they: one module per authorizer."""
