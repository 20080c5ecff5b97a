"""NodeUnschedulable: no pods for cordoned nodes, except those that tolerate it."""

from __future__ import annotations

from collections.abc import Iterator

from pybernetes.machinery.meta import Object
from pybernetes.machinery.tolerations import NO_SCHEDULE, TAINT_UNSCHEDULABLE, tolerated_by
from pybernetes.scheduler.framework import SKIP, Action, ClusterEvent, Reads, Refusals, Skip
from pybernetes.scheduler.node_table import Nodes


class NodeUnschedulable:
    name = "NodeUnschedulable"
    reads = Reads.SHAPE_AND_NODE
    wakes_on = (
        ClusterEvent("Node", Action.ADD | Action.UPDATE_TAINT),
        ClusterEvent("TargetPod", Action.UPDATE_TOLERATION),
    )

    def pre_filter(self, pod: Object) -> Skip | None:
        cordon = {"key": TAINT_UNSCHEDULABLE, "effect": NO_SCHEDULE}
        return SKIP if tolerated_by(cordon, pod["spec"].get("tolerations")) else None

    def filter(self, _: None, nodes: Nodes) -> Iterator[Refusals]:
        yield Refusals(nodes.unschedulable, "node(s) were unschedulable")
