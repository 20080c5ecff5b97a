"""NodeUnschedulable: no pods for cordoned nodes, except those that tolerate it."""

from __future__ import annotations

from collections.abc import Iterator

from pybernetes.machinery.meta import Object
from pybernetes.machinery.tolerations import NO_SCHEDULE, TAINT_UNSCHEDULABLE, tolerated_by
from pybernetes.scheduler.framework import SKIP, Action, ClusterEvent, Refusals, Skip
from pybernetes.scheduler.node_table import NodeTable


class NodeUnschedulable:
    name = "NodeUnschedulable"
    depends_on_pods = False
    wakes_on = (ClusterEvent("Node", Action.ADD | Action.UPDATE_TAINT), ClusterEvent("Pod", Action.UPDATE_SPEC))

    def pre_filter(self, pod: Object) -> Skip | None:
        cordon = {"key": TAINT_UNSCHEDULABLE, "effect": NO_SCHEDULE}
        return SKIP if tolerated_by(cordon, pod["spec"].get("tolerations")) else None

    def filter(self, _: None, nodes: NodeTable) -> Iterator[Refusals]:
        yield Refusals(nodes.unschedulable, "node(s) were unschedulable")
