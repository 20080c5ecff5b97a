"""The plugins that there are, in the order in which they are asked (upstream: `default_plugins.go`), with default weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pybernetes.client.rest import Client
from pybernetes.scheduler.plugins.default_binder import DefaultBinder
from pybernetes.scheduler.plugins.image_locality import ImageLocality
from pybernetes.scheduler.plugins.inter_pod_affinity import InterPodAffinity
from pybernetes.scheduler.plugins.node_affinity import NodeAffinity
from pybernetes.scheduler.plugins.node_name import NodeName
from pybernetes.scheduler.plugins.node_ports import NodePorts
from pybernetes.scheduler.plugins.node_resources_balanced_allocation import NodeResourcesBalancedAllocation
from pybernetes.scheduler.plugins.node_resources_fit import NodeResourcesFit
from pybernetes.scheduler.plugins.node_unschedulable import NodeUnschedulable
from pybernetes.scheduler.plugins.pod_topology_spread import PodTopologySpread
from pybernetes.scheduler.plugins.priority_sort import PrioritySort
from pybernetes.scheduler.plugins.scheduling_gates import SchedulingGates
from pybernetes.scheduler.plugins.taint_toleration import TaintToleration

Make = Callable[[Client, Mapping[str, Any]], Any]


class Registered(NamedTuple):
    name: str
    weight: int
    make: Make  # from the client and the plugin's arguments in the configuration


PLUGINS: tuple[Registered, ...] = (
    Registered("SchedulingGates", 0, lambda client, arguments: SchedulingGates()),
    Registered("PrioritySort", 0, lambda client, arguments: PrioritySort()),
    Registered("NodeUnschedulable", 0, lambda client, arguments: NodeUnschedulable()),
    Registered("NodeName", 0, lambda client, arguments: NodeName()),
    Registered("TaintToleration", 3, lambda client, arguments: TaintToleration()),
    Registered("NodeAffinity", 2, lambda client, arguments: NodeAffinity(arguments)),
    Registered("NodePorts", 0, lambda client, arguments: NodePorts()),
    Registered("NodeResourcesFit", 1, lambda client, arguments: NodeResourcesFit(arguments)),
    Registered("PodTopologySpread", 2, lambda client, arguments: PodTopologySpread(arguments)),
    Registered("InterPodAffinity", 2, lambda client, arguments: InterPodAffinity(arguments)),
    Registered("NodeResourcesBalancedAllocation", 1, lambda client, arguments: NodeResourcesBalancedAllocation(arguments)),
    Registered("ImageLocality", 1, lambda client, arguments: ImageLocality()),
    Registered("DefaultBinder", 0, lambda client, arguments: DefaultBinder(client)),
)
