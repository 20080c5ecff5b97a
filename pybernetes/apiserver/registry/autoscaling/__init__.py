"""The `autoscaling` group."""
