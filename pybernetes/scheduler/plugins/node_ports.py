"""NodePorts: refuse nodes on which a host port that the pod claims is taken."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pybernetes.machinery.meta import Object
from pybernetes.scheduler.framework import SKIP, Action, ClusterEvent, Reads, Refusals, Skip
from pybernetes.scheduler.node_table import Nodes
from pybernetes.scheduler.pod_shape import HostPort, usage_of


class NodePorts:
    name = "NodePorts"
    reads = Reads.SHAPE_AND_NODE
    wakes_on = (ClusterEvent("Pod", Action.DELETE), ClusterEvent("Node", Action.ADD))

    def pre_filter(self, pod: Object) -> tuple[HostPort, ...] | Skip:
        return usage_of(pod).ports or SKIP  # most pods claim none: spare them the filter

    def filter(self, wanted: tuple[HostPort, ...], nodes: Nodes) -> Iterator[Refusals]:
        taken = np.zeros(len(nodes), dtype=np.bool_)
        for port in wanted:
            taken |= nodes.holding(port)
        yield Refusals(taken, "node(s) didn't have free ports for the requested pod ports", resolvable=True)
