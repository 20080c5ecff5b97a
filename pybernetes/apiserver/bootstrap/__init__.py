"""What a new cluster has from its first second: `await ensure(...)` makes it so, and repairs it at every start.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#auto-reconciliation
"""

from pybernetes.apiserver.bootstrap.reconcile import ensure, ensure_cluster_addons

__all__ = ["ensure", "ensure_cluster_addons"]
