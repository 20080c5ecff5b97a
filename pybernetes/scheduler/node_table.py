"""The cluster as arrays: one row a node, updated in place by events.

What a plugin may ask of nodes is here: resources, taints, labels, images, host ports. Text is interned: a label's values are
small numbers in an array of their own for each key, made when a plugin first asks for the key; a node's taints are the number
of a taint set, of which a cluster has few. A removed node's row is filled by the last one, so that rows have no holes.

Plugins see a `Nodes`: all rows, or only those that changed since they were last asked.

Cost: 5,000 nodes take about 1 MB and a filter over all of them 10 to 100 µs; one pod more or less is a handful of additions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from pybernetes.machinery.meta import Object, labels_of, name_of
from pybernetes.machinery.quantity import parse
from pybernetes.scheduler.framework import Mask
from pybernetes.scheduler.pod_index import NOWHERE, PodIndex
from pybernetes.scheduler.pod_shape import AMOUNT_MOST, ANY_IP, HostPort, Usage
from pybernetes.scheduler.pod_traits import NO_TRAITS, Traits

CPU, MEMORY, EPHEMERAL_STORAGE, PODS = 0, 1, 2, 3
_FIXED_RESOURCES = ("cpu", "memory", "ephemeral-storage", "pods")
_ROWS_FIRST = 64
_CHANGES_MOST = 8192
_IMAGE_COLUMNS_MOST = 64
_SPARE_VALUES = 1024

TaintSet = tuple[tuple[str, str, str], ...]  # (key, value, effect)
Amounts = npt.NDArray[np.int64]
_Scalar = TypeVar("_Scalar", bound=np.generic)


class NodeTable:
    """Arrays are longer than there are nodes; `all` and `take` cut them to size."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.nodes: list[Object] = []
        self.rows: dict[str, int] = {}
        self.columns: dict[str, int] = {name: index for index, name in enumerate(_FIXED_RESOURCES)}
        # One line a resource, so that what a plugin runs over lies together.
        self.allocatable = np.zeros((len(_FIXED_RESOURCES), _ROWS_FIRST), dtype=np.int64)
        self.requested = np.zeros_like(self.allocatable)
        self.nonzero = np.zeros((2, _ROWS_FIRST), dtype=np.int64)
        self.unschedulable = np.zeros(_ROWS_FIRST, dtype=np.bool_)
        self.taint_set = np.zeros(_ROWS_FIRST, dtype=np.int32)
        self.taint_sets: list[TaintSet] = [()]
        self._taint_set_ids: dict[TaintSet, int] = {(): 0}
        self._labels: dict[str, npt.NDArray[np.int32]] = {}  # key -> value number of each row, 0: absent
        self._label_values: dict[str, dict[str, int]] = {}
        self._images: dict[str, dict[str, int]] = {}  # name -> node -> bytes
        self._image_columns: dict[str, Amounts] = {}  # of those last asked for
        self.pod_index = PodIndex()
        # Pods by node, also of nodes that are not known (yet): their pods may be seen first.
        self._pods: dict[str, dict[str, Usage]] = {}
        self._node_of: dict[str, str] = {}
        self._ports: dict[tuple[str, int], dict[str, list[str]]] = {}  # (protocol, port) -> node -> host IPs
        # The rows that changed, oldest first; position 0 of the list is change number `_changes_start`.
        self._changes: list[int] = []
        self._changes_start = 0

    def __len__(self) -> int:
        return len(self.names)

    @property
    def all(self) -> Nodes:
        return Nodes(self, slice(0, len(self)), len(self))

    def among(self, feasible: Mask) -> Nodes:
        """All nodes, of which these are left to choose from."""
        return Nodes(self, slice(0, len(self)), len(self), feasible)

    def take(self, rows: Sequence[int]) -> Nodes:
        """These rows alone, in this order."""
        return Nodes(self, np.array(rows, dtype=np.intp), len(rows))

    @property
    def position(self) -> int:
        """The number of changes so far: to be given to `changed_since` later."""
        return self._changes_start + len(self._changes)

    def changed_since(self, position: int) -> set[int] | None:
        """The rows that have changed since, None if that is not known any more (or rows came and went): look at all."""
        if position < self._changes_start:
            return None
        return set(self._changes[position - self._changes_start :])

    def label(self, key: str) -> tuple[npt.NDArray[np.int32], Mapping[str, int]]:
        if key not in self._labels:
            self._labels[key] = np.zeros(len(self.taint_set), dtype=np.int32)
            self._label_values[key] = {}
            for row, node in enumerate(self.nodes):
                self._set_label(row, key, labels_of(node).get(key))
        return self._labels[key], self._label_values[key]

    def image(self, name: str) -> Amounts | None:
        """The image's size on each node (0: not there), None if no node has it."""
        column = self._image_columns.pop(name, None)
        if column is None:
            sizes = self._images.get(name)
            if not sizes:
                return None
            column = np.zeros(len(self.taint_set), dtype=np.int64)
            column[[self.rows[node] for node in sizes]] = [*sizes.values()]
            if len(self._image_columns) >= _IMAGE_COLUMNS_MOST:
                del self._image_columns[next(iter(self._image_columns))]
        self._image_columns[name] = column  # now the last to go
        return column

    def holders(self, protocol: str, port: int) -> Mapping[str, Collection[str]]:
        """Who has the port: host IPs by node name."""
        return self._ports.get((protocol, port), {})

    # What events do.

    def set_node(self, node: Object) -> None:
        """Add a node, or take over its new state. Raises ValueError for a quantity that is none."""
        name = name_of(node)
        amounts = [(resource, _amount(resource, text)) for resource, text in _status(node, "allocatable", {}).items()]
        row = self.rows.get(name)
        if row is None:
            row = self.rows[name] = len(self.names)
            self.names.append(name)
            self.nodes.append(node)
            self._grow()
            self._sum_pods(row)
            self.pod_index.move(self._pods.get(name, ()), row)
            self._rows_moved()
        self._set_images(row, self.nodes[row], node)
        self.nodes[row] = node
        self.allocatable[:, row] = 0
        for resource, amount in amounts:
            column = self._ensure_column(resource)
            self.allocatable[column, row] = amount
        spec = node.get("spec") or {}
        self.unschedulable[row] = bool(spec.get("unschedulable"))
        self.taint_set[row] = self._intern_taints(spec.get("taints") or ())
        labels = labels_of(node)
        for key in [*self._labels]:
            self._set_label(row, key, labels.get(key))
            if len(self._label_values[key]) > 2 * len(self) + _SPARE_VALUES:
                # Most of these values are no node's any more; number the others anew when next asked.
                del self._labels[key], self._label_values[key]
        self._row_changed(row)

    def remove_node(self, name: str) -> None:
        row = self.rows.get(name)
        if row is None:
            return
        self._set_images(row, self.nodes[row], {})
        self.pod_index.move(self._pods.get(name, ()), NOWHERE)
        del self.rows[name]
        last = len(self.names) - 1
        if row != last:
            for array in (self.allocatable, self.requested, self.nonzero):
                array[:, row] = array[:, last]
            for column in (self.unschedulable, self.taint_set, *self._labels.values(), *self._image_columns.values()):
                column[row] = column[last]
            self.names[row], self.nodes[row] = self.names[last], self.nodes[last]
            self.rows[self.names[row]] = row
            self.pod_index.move(self._pods.get(self.names[row], ()), row)
        for column in self._image_columns.values():
            column[last] = 0
        self.names.pop()
        self.nodes.pop()
        self._rows_moved()

    def set_pod(self, uid: str, usage: Usage, node_name: str, traits: Traits = NO_TRAITS) -> None:
        """The pod is (or is assumed to be) on that node, with this usage and traits. It may be told again."""
        same_place = self._node_of.get(uid) == node_name and self._pods[node_name][uid] == usage
        if same_place and self.pod_index.traits_of(uid) == traits:
            return
        self.remove_pod(uid)
        self.pod_index.put(uid, traits, self.rows.get(node_name, NOWHERE))
        self._node_of[uid] = node_name
        self._pods.setdefault(node_name, {})[uid] = usage
        for address, protocol, port in usage.ports:
            self._ports.setdefault((protocol, port), {}).setdefault(node_name, []).append(address)
        row = self.rows.get(node_name)
        if row is not None:
            self._account(row, usage, 1)
            self._row_changed(row)

    def remove_pod(self, uid: str) -> None:
        node_name = self._node_of.pop(uid, None)
        if node_name is None:
            return
        self.pod_index.remove(uid)
        pods = self._pods[node_name]
        usage = pods.pop(uid)
        if not pods:
            del self._pods[node_name]
        for address, protocol, port in usage.ports:
            holders = self._ports[protocol, port]
            holders[node_name].remove(address)
            if not holders[node_name]:
                del holders[node_name]
            if not holders:
                del self._ports[protocol, port]
        row = self.rows.get(node_name)
        if row is not None:
            self._account(row, usage, -1)
            self._row_changed(row)

    @property
    def pod_count(self) -> int:
        return len(self._node_of)

    def node_of(self, uid: str) -> str | None:
        return self._node_of.get(uid)

    # Upkeep.

    def _row_changed(self, row: int) -> None:
        self._changes.append(row)
        if len(self._changes) > _CHANGES_MOST:
            half = _CHANGES_MOST // 2
            del self._changes[:half]
            self._changes_start += half

    def _rows_moved(self) -> None:
        """Row numbers mean other nodes from now on: whoever remembers any must start anew."""
        self._changes_start = self.position + 1
        self._changes.clear()

    def _account(self, row: int, usage: Usage, sign: int) -> None:
        for resource, amount in usage.requests.items():
            column = self._ensure_column(resource)
            self.requested[column, row] += sign * amount
        self.requested[PODS, row] += sign
        self.nonzero[CPU, row] += sign * usage.nonzero[CPU]
        self.nonzero[MEMORY, row] += sign * usage.nonzero[MEMORY]

    def _sum_pods(self, row: int) -> None:
        self.requested[:, row] = 0
        self.nonzero[:, row] = 0
        for usage in self._pods.get(self.names[row], {}).values():
            self._account(row, usage, 1)

    def _ensure_column(self, resource: str) -> int:
        column = self.columns.get(resource)
        if column is None:
            column = self.columns[resource] = len(self.columns)
            extra = np.zeros((1, self.allocatable.shape[1]), dtype=np.int64)
            self.allocatable = np.vstack((self.allocatable, extra))
            self.requested = np.vstack((self.requested, extra))
        return column

    def _grow(self) -> None:
        if len(self.names) <= len(self.taint_set):
            return
        self.allocatable, self.requested, self.nonzero = map(_doubled, (self.allocatable, self.requested, self.nonzero))
        self.unschedulable = _doubled(self.unschedulable)
        self.taint_set = _doubled(self.taint_set)
        for key, numbers in self._labels.items():
            self._labels[key] = _doubled(numbers)
        for name, sizes in self._image_columns.items():
            self._image_columns[name] = _doubled(sizes)

    def _set_label(self, row: int, key: str, value: str | None) -> None:
        if value is None:
            self._labels[key][row] = 0
            return
        values = self._label_values[key]
        self._labels[key][row] = values.setdefault(value, len(values) + 1)

    def _set_images(self, row: int, old: Object, new: Object) -> None:
        name = self.names[row]
        sizes = _image_sizes(new)
        for image in _image_sizes(old):
            if image not in sizes and self._images.get(image, {}).pop(name, None) is not None:
                if not self._images[image]:
                    del self._images[image]
                if image in self._image_columns:
                    self._image_columns[image][row] = 0
        for image, size in sizes.items():
            self._images.setdefault(image, {})[name] = size
            if image in self._image_columns:
                self._image_columns[image][row] = size

    def _intern_taints(self, taints: Iterable[Object]) -> int:
        taint_set = tuple(sorted((taint["key"], taint.get("value") or "", taint["effect"]) for taint in taints))
        known = self._taint_set_ids.get(taint_set)
        if known is None:
            known = self._taint_set_ids[taint_set] = len(self.taint_sets)
            self.taint_sets.append(taint_set)
        return known


class Nodes:
    """What plugins ask of some rows of the table (most often of all). Arrays must not be altered."""

    __slots__ = ("_length", "_rows", "_table", "feasible")

    def __init__(self, table: NodeTable, rows: slice | npt.NDArray[np.intp], length: int, feasible: Mask | None = None) -> None:
        # When a pod is scored: the nodes that all filters passed. Else all of them.
        self.feasible = np.ones(length, dtype=np.bool_) if feasible is None else feasible
        self._table = table
        self._rows = rows
        self._length = length

    def __len__(self) -> int:
        return self._length

    @property
    def total(self) -> int:
        """How many nodes the cluster has."""
        return len(self._table)

    @property
    def names(self) -> list[str]:
        names = self._table.names
        return names[self._rows] if isinstance(self._rows, slice) else [names[row] for row in self._rows]

    @property
    def objects(self) -> list[Object]:
        nodes = self._table.nodes
        return nodes[self._rows] if isinstance(self._rows, slice) else [nodes[row] for row in self._rows]

    def named(self, names: Collection[str]) -> Mask:
        """Which nodes have one of these names."""
        if not isinstance(self._rows, slice):
            return np.array([name in names for name in self.names], dtype=np.bool_)
        mask = np.zeros(self._length, dtype=np.bool_)
        mask[[row for name in names if (row := self._table.rows.get(name)) is not None]] = True
        return mask

    def allocatable(self, resource: str) -> Amounts | None:
        """What pods may request in all: cpu in thousandths, else whole units. None if no node ever had the resource."""
        column = self._table.columns.get(resource)
        return None if column is None else self._table.allocatable[column, self._rows]

    def requested(self, resource: str) -> Amounts | None:
        """The sum of the pods' requests ("pods": their number)."""
        column = self._table.columns.get(resource)
        return None if column is None else self._table.requested[column, self._rows]

    def nonzero_requested(self, column: int) -> Amounts:
        """The same of CPU or MEMORY, with defaults for containers that ask for nothing."""
        return self._table.nonzero[column, self._rows]

    @property
    def unschedulable(self) -> Mask:
        return self._table.unschedulable[self._rows]

    @property
    def taint_sets(self) -> list[TaintSet]:
        return self._table.taint_sets

    @property
    def taint_set(self) -> npt.NDArray[np.int32]:
        """The index into `taint_sets` of each node."""
        return self._table.taint_set[self._rows]

    def label(self, key: str) -> tuple[npt.NDArray[np.int32], Mapping[str, int]]:
        """The number of the label's value of each node (0 where it is absent), and the number of each value."""
        column, values = self._table.label(key)
        return column[self._rows], values

    @property
    def pods(self) -> PodIndex:
        """The pods on all nodes of the cluster, by table row: for plugins that are asked about all nodes."""
        return self._table.pod_index

    def image(self, name: str) -> Amounts | None:
        """The image's size on each node (0: not there), None if no node of the cluster has it."""
        column = self._table.image(name)
        return None if column is None else column[self._rows]

    def holding(self, port: HostPort) -> Mask:
        """Which nodes have a pod on that port: 0.0.0.0 collides with every address."""
        address, protocol, number = port
        holders = self._table.holders(protocol, number)
        return self.named({name for name, taken in holders.items() if address == ANY_IP or ANY_IP in taken or address in taken})


def _doubled(array: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
    """With twice the rows (the last axis), the new ones zero."""
    return np.concatenate((array, np.zeros_like(array)), axis=-1)


def _amount(resource: str, text: Any) -> int:
    quantity = parse(text)
    return min(quantity.milli if resource == "cpu" else quantity.value, AMOUNT_MOST)


def _status(node: Object, field: str, default: Any) -> Any:
    return (node.get("status") or {}).get(field) or default


def _image_sizes(node: Object) -> dict[str, int]:
    return {name: image.get("sizeBytes", 0) for image in _status(node, "images", ()) for name in image.get("names") or ()}
