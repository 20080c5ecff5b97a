"""NodePorts: refuse nodes on which a host port that the pod claims is taken."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pybernetes.machinery.meta import Object
from pybernetes.scheduler.framework import SKIP, Action, ClusterEvent, Refusals, Skip
from pybernetes.scheduler.node_table import HostPort, NodeTable, host_ports


class NodePorts:
    name = "NodePorts"
    depends_on_pods = True
    wakes_on = (ClusterEvent("Pod", Action.DELETE), ClusterEvent("Node", Action.ADD))

    def pre_filter(self, pod: Object) -> tuple[HostPort, ...] | Skip:
        return host_ports(pod) or SKIP  # most pods claim none: spare them the filter

    def filter(self, wanted: tuple[HostPort, ...], nodes: NodeTable) -> Iterator[Refusals]:
        taken = np.zeros(len(nodes), dtype=np.bool_)
        for port in wanted:
            taken |= nodes.holding(port)
        yield Refusals(taken, "node(s) didn't have free ports for the requested pod ports", resolvable=True)
