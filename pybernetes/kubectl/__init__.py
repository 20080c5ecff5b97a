"""The kubectl-compatible client, one file per verb."""
