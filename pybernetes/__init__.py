"""Kubernetes in Python. `docs/architecture.md` is the map; `pybernetes.cli` is the way in."""

__version__ = "0.1.0"
KUBERNETES_VERSION = "v1.36.1"  # the release whose API is served; clients choose their behaviour by it
