"""The `resource.k8s.io` group."""
