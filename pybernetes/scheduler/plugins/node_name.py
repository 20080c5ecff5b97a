"""NodeName: a pod that names its node goes there or nowhere."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pybernetes.machinery.meta import Object
from pybernetes.scheduler.framework import SKIP, Action, ClusterEvent, Refusals, Skip
from pybernetes.scheduler.node_table import NodeTable


class NodeName:
    name = "NodeName"
    depends_on_pods = False
    wakes_on = (ClusterEvent("Node", Action.ADD),)

    def pre_filter(self, pod: Object) -> str | Skip:
        return pod["spec"].get("nodeName") or SKIP

    def filter(self, wanted: str, nodes: NodeTable) -> Iterator[Refusals]:
        others = np.ones(len(nodes), dtype=np.bool_)
        row = nodes.row(wanted)
        if row is not None:
            others[row] = False
        yield Refusals(others, "node(s) didn't match the requested node name")
