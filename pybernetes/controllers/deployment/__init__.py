"""Deployment controller: roll out a pod template through ReplicaSets, one for each revision.

Contract: https://kubernetes.io/docs/concepts/workloads/controllers/deployment/

`reconcile` is the entry: it claims ReplicaSets, finds the new one (`replica_sets`), decides how the sizes move (`rollout`)
and reports (`status`). One pass moves one step; the caches show its effect before the next.
"""

from pybernetes.controllers.deployment.reconcile import Snapshot, controller, reconcile

__all__ = ["Snapshot", "controller", "reconcile"]
