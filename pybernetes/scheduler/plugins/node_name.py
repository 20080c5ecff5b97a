"""NodeName: a pod that names its node goes there or nowhere."""

from __future__ import annotations

from collections.abc import Iterator

from pybernetes.machinery.meta import Object
from pybernetes.scheduler.framework import SKIP, Action, ClusterEvent, Reads, Refusals, Skip
from pybernetes.scheduler.node_table import Nodes


class NodeName:
    name = "NodeName"
    reads = Reads.ANYTHING
    wakes_on = (ClusterEvent("Node", Action.ADD),)

    def pre_filter(self, pod: Object) -> str | Skip:
        return pod["spec"].get("nodeName") or SKIP

    def filter(self, wanted: str, nodes: Nodes) -> Iterator[Refusals]:
        yield Refusals(~nodes.named({wanted}), "node(s) didn't match the requested node name")
