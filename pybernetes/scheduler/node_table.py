"""The cluster as arrays: one row a node, updated in place by events.

What a plugin may ask of all nodes at once is here: resources, taints, labels, host ports. Text is interned: a label's values
are small numbers in an array of their own for each key, made when a plugin first asks for the key; a node's taints are the number
of a taint set, of which a cluster has few. A removed node's row is filled by the last one, so that rows have no holes.

Cost: 5,000 nodes take about 1 MB and a filter over all of them 10 to 100 µs; one pod more or less is a handful of additions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pybernetes.machinery.meta import Object, labels_of, name_of, uid_of
from pybernetes.machinery.pod_resources import container_resources, pod_requests
from pybernetes.machinery.quantity import parse
from pybernetes.scheduler.framework import Mask

CPU, MEMORY, EPHEMERAL_STORAGE, PODS = 0, 1, 2, 3
_FIXED_RESOURCES = ("cpu", "memory", "ephemeral-storage", "pods")
# What a container that asks for nothing is taken to use when nodes are compared (upstream: GetNonzeroRequests).
DEFAULT_MILLI_CPU = 100
DEFAULT_MEMORY = 200 * 2**20
_ROWS_FIRST = 64

TaintSet = tuple[tuple[str, str, str], ...]  # (key, value, effect)
HostPort = tuple[str, str, int]  # (host IP, protocol, port)
ANY_IP = "0.0.0.0"


@dataclass(frozen=True, slots=True)
class PodUsage:
    """What a pod takes from its node: amounts by resource (cpu in thousandths), and host ports."""

    uid: str
    requests: Mapping[str, int]
    nonzero: tuple[int, int]  # cpu (thousandths) and memory, with defaults for containers that ask for nothing
    ports: tuple[HostPort, ...]


def usage_of(pod: Object) -> PodUsage:
    requests = {name: q.milli if name == "cpu" else q.value for name, q in pod_requests(pod).items()}
    return PodUsage(uid_of(pod), requests, _nonzero(pod, requests), host_ports(pod))


def _nonzero(pod: Object, requests: Mapping[str, int]) -> tuple[int, int]:
    cpu, memory = requests.get("cpu", 0), requests.get("memory", 0)
    for container in pod["spec"]["containers"]:
        own = container_resources(container, "requests")
        if "cpu" not in own:
            cpu += DEFAULT_MILLI_CPU
        if "memory" not in own:
            memory += DEFAULT_MEMORY
    return cpu, memory


def host_ports(pod: Object) -> tuple[HostPort, ...]:
    """The ports of the node that the pod claims."""
    return tuple(
        (port.get("hostIP") or ANY_IP, port.get("protocol") or "TCP", port["hostPort"])
        for container in pod["spec"]["containers"]
        for port in container.get("ports") or ()
        if port.get("hostPort")
    )


class NodeTable:
    """Rows 0 to len-1 are the nodes; arrays are longer than that: slice them by `len`, or use the accessors, which do."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.nodes: list[Object] = []
        self._rows: dict[str, int] = {}
        self._columns: dict[str, int] = {name: index for index, name in enumerate(_FIXED_RESOURCES)}
        self._allocatable = np.zeros((_ROWS_FIRST, len(_FIXED_RESOURCES)), dtype=np.int64)
        self._requested = np.zeros_like(self._allocatable)
        self._nonzero = np.zeros((_ROWS_FIRST, 2), dtype=np.int64)
        self._unschedulable = np.zeros(_ROWS_FIRST, dtype=np.bool_)
        self._taint_set = np.zeros(_ROWS_FIRST, dtype=np.int32)
        self.taint_sets: list[TaintSet] = [()]
        self._taint_set_ids: dict[TaintSet, int] = {(): 0}
        self._labels: dict[str, npt.NDArray[np.int32]] = {}  # key -> value number of each row, 0: absent
        self._label_values: dict[str, dict[str, int]] = {}
        # Pods by node, also of nodes that are not known (yet): their pods may be seen first.
        self._pods: dict[str, dict[str, PodUsage]] = {}
        self._node_of: dict[str, str] = {}
        self._ports: dict[tuple[str, int], dict[str, list[str]]] = {}  # (protocol, port) -> node -> host IPs
        # Grows with every change that is not of pods: what was worked out from labels and taints alone holds until then.
        self.static_generation = 0

    def __len__(self) -> int:
        return len(self.names)

    # What plugins ask.

    @property
    def allocatable(self) -> npt.NDArray[np.int64]:
        """int64 [nodes, resources]: cpu in thousandths, bytes, pods, and one column for each other resource."""
        return self._allocatable[: len(self)]

    @property
    def requested(self) -> npt.NDArray[np.int64]:
        """The sum of the pods' requests, in the columns of `allocatable`."""
        return self._requested[: len(self)]

    @property
    def nonzero_requested(self) -> npt.NDArray[np.int64]:
        """int64 [nodes, 2]: cpu and memory with defaults for containers that ask for nothing."""
        return self._nonzero[: len(self)]

    @property
    def unschedulable(self) -> Mask:
        return self._unschedulable[: len(self)]

    @property
    def taint_set(self) -> npt.NDArray[np.int32]:
        """The index into `taint_sets` of each node."""
        return self._taint_set[: len(self)]

    def column(self, resource: str) -> int | None:
        """The column of a resource, None if no node ever had it."""
        return self._columns.get(resource)

    def row(self, name: str) -> int | None:
        return self._rows.get(name)

    def label(self, key: str) -> tuple[npt.NDArray[np.int32], Mapping[str, int]]:
        """A label of all nodes: the number of its value (0 where it is absent), and the number of each value."""
        if key not in self._labels:
            self._labels[key] = np.zeros(len(self._taint_set), dtype=np.int32)
            self._label_values[key] = {}
            for row, node in enumerate(self.nodes):
                self._set_label(row, key, labels_of(node).get(key))
        return self._labels[key][: len(self)], self._label_values[key]

    def holding(self, port: HostPort) -> Mask:
        """Which nodes have a pod on that port: 0.0.0.0 collides with every address."""
        taken = np.zeros(len(self), dtype=np.bool_)
        address, protocol, number = port
        for name, addresses in self._ports.get((protocol, number), {}).items():
            row = self._rows.get(name)
            if row is not None and (address == ANY_IP or ANY_IP in addresses or address in addresses):
                taken[row] = True
        return taken

    # What events do.

    def set_node(self, node: Object) -> None:
        """Add a node, or take over its new state."""
        name = name_of(node)
        row = self._rows.get(name)
        if row is None:
            row = self._rows[name] = len(self.names)
            self.names.append(name)
            self.nodes.append(node)
            self._grow()
        self.nodes[row] = node
        self.static_generation += 1
        self._allocatable[row] = 0
        for resource, amount in ((node.get("status") or {}).get("allocatable") or {}).items():
            quantity = parse(amount)
            column = self._ensure_column(resource)  # first: it may put another array in place
            self._allocatable[row, column] = quantity.milli if resource == "cpu" else quantity.value
        spec = node.get("spec") or {}
        self._unschedulable[row] = bool(spec.get("unschedulable"))
        self._taint_set[row] = self._intern_taints(spec.get("taints") or ())
        labels = labels_of(node)
        for key in self._labels:
            self._set_label(row, key, labels.get(key))
        self._sum_pods(row)

    def remove_node(self, name: str) -> None:
        row = self._rows.pop(name, None)
        if row is None:
            return
        last = len(self.names) - 1
        if row != last:
            for array in (self._allocatable, self._requested, self._nonzero, self._unschedulable, self._taint_set):
                array[row] = array[last]
            for column in self._labels.values():
                column[row] = column[last]
            self.names[row], self.nodes[row] = self.names[last], self.nodes[last]
            self._rows[self.names[row]] = row
        self.names.pop()
        self.nodes.pop()
        self.static_generation += 1

    def set_pod(self, usage: PodUsage, node_name: str) -> None:
        """The pod is (or is assumed to be) on that node, with this usage. It may be told again."""
        self.remove_pod(usage.uid)
        self._node_of[usage.uid] = node_name
        self._pods.setdefault(node_name, {})[usage.uid] = usage
        for address, protocol, port in usage.ports:
            self._ports.setdefault((protocol, port), {}).setdefault(node_name, []).append(address)
        row = self._rows.get(node_name)
        if row is not None:
            self._account(row, usage, 1)

    def remove_pod(self, uid: str) -> None:
        node_name = self._node_of.pop(uid, None)
        if node_name is None:
            return
        pods = self._pods[node_name]
        usage = pods.pop(uid)
        if not pods:
            del self._pods[node_name]
        for address, protocol, port in usage.ports:
            self._ports[protocol, port][node_name].remove(address)
            if not self._ports[protocol, port][node_name]:
                del self._ports[protocol, port][node_name]
        row = self._rows.get(node_name)
        if row is not None:
            self._account(row, usage, -1)

    @property
    def pod_count(self) -> int:
        return len(self._node_of)

    def node_of(self, uid: str) -> str | None:
        return self._node_of.get(uid)

    def pods_on(self, node_name: str) -> Iterable[PodUsage]:
        return self._pods.get(node_name, {}).values()

    # Upkeep.

    def _account(self, row: int, usage: PodUsage, sign: int) -> None:
        for resource, amount in usage.requests.items():
            column = self._ensure_column(resource)
            self._requested[row, column] += sign * amount
        self._requested[row, PODS] += sign
        self._nonzero[row, 0] += sign * usage.nonzero[0]
        self._nonzero[row, 1] += sign * usage.nonzero[1]

    def _sum_pods(self, row: int) -> None:
        self._requested[row] = 0
        self._nonzero[row] = 0
        for usage in self._pods.get(self.names[row], {}).values():
            self._account(row, usage, 1)

    def _ensure_column(self, resource: str) -> int:
        column = self._columns.get(resource)
        if column is None:
            column = self._columns[resource] = len(self._columns)
            extra = np.zeros((len(self._allocatable), 1), dtype=np.int64)
            self._allocatable = np.hstack((self._allocatable, extra))
            self._requested = np.hstack((self._requested, extra))
        return column

    def _grow(self) -> None:
        if len(self.names) <= len(self._taint_set):
            return
        self._allocatable = np.vstack((self._allocatable, np.zeros_like(self._allocatable)))
        self._requested = np.vstack((self._requested, np.zeros_like(self._requested)))
        self._nonzero = np.vstack((self._nonzero, np.zeros_like(self._nonzero)))
        self._unschedulable = np.concatenate((self._unschedulable, np.zeros_like(self._unschedulable)))
        self._taint_set = np.concatenate((self._taint_set, np.zeros_like(self._taint_set)))
        for key, column in self._labels.items():
            self._labels[key] = np.concatenate((column, np.zeros_like(column)))

    def _set_label(self, row: int, key: str, value: str | None) -> None:
        if value is None:
            self._labels[key][row] = 0
            return
        values = self._label_values[key]
        self._labels[key][row] = values.setdefault(value, len(values) + 1)

    def _intern_taints(self, taints: Iterable[Object]) -> int:
        taint_set = tuple(sorted((taint["key"], taint.get("value") or "", taint["effect"]) for taint in taints))
        known = self._taint_set_ids.get(taint_set)
        if known is None:
            known = self._taint_set_ids[taint_set] = len(self.taint_sets)
            self.taint_sets.append(taint_set)
        return known
