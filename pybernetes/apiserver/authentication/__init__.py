"""Who is asking: one module per kind of credential."""
