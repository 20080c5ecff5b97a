"""SchedulingGates: a pod with gates is not tried until they are all gone (KEP-3521)."""

from __future__ import annotations

from pybernetes.machinery.meta import Object
from pybernetes.scheduler.framework import Action, ClusterEvent, Reads


class SchedulingGates:
    name = "SchedulingGates"
    reads = Reads.SHAPE_AND_NODE
    wakes_on = (ClusterEvent("TargetPod", Action.UPDATE_SPEC),)

    def pre_enqueue(self, pod: Object) -> str | None:
        gates = [gate["name"] for gate in pod["spec"].get("schedulingGates") or ()]
        return f"waiting for scheduling gates: [{' '.join(gates)}]" if gates else None
