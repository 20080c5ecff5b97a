"""NodeResourcesFit: refuse nodes without room for the pod's requests; prefer (by default) the least allocated ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from pybernetes.machinery.meta import Object
from pybernetes.scheduler.framework import MOST_SCORE, Action, ClusterEvent, Reads, Refusals, Scores
from pybernetes.scheduler.node_table import CPU, MEMORY, Nodes
from pybernetes.scheduler.pod_shape import Usage, usage_of

LEAST_ALLOCATED, MOST_ALLOCATED, BY_RATIO = "LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"
_NATIVE = ("cpu", "memory", "ephemeral-storage")
_SHAPE_SCORE_MOST = 10  # in a `requestedToCapacityRatio` shape

Amounts = npt.NDArray[np.int64]
Rate = Callable[[Amounts, Amounts], Scores]  # (requested, capacity > 0) -> 0 to 100


class NodeResourcesFit:
    """Plugin arguments: `scoringStrategy` (its `type`, `resources`, `requestedToCapacityRatio`), `ignoredResources`,
    `ignoredResourceGroups`. Raises ValueError for a strategy that there is not."""

    name = "NodeResourcesFit"
    reads = Reads.SHAPE_AND_NODE
    wakes_on = (
        ClusterEvent("Pod", Action.DELETE | Action.SCALE_DOWN),
        ClusterEvent("TargetPod", Action.UPDATE_SPEC),
        ClusterEvent("Node", Action.ADD | Action.UPDATE_ALLOCATABLE),
    )

    def __init__(self, arguments: Mapping[str, Any] | None = None) -> None:
        arguments = arguments or {}
        strategy = arguments.get("scoringStrategy") or {}
        self._by_ratio = strategy.get("type") == BY_RATIO
        self._rate = _rate(strategy)
        resources = strategy.get("resources") or [{"name": "cpu"}, {"name": "memory"}]
        self._weights = {each["name"]: each.get("weight") or 1 for each in resources}
        self._ignored = frozenset(arguments.get("ignoredResources") or ())
        self._ignored_groups = frozenset(arguments.get("ignoredResourceGroups") or ())

    def pre_filter(self, pod: Object) -> Usage:
        return usage_of(pod)

    def filter(self, usage: Usage, nodes: Nodes) -> Iterator[Refusals]:
        pods, room = nodes.requested("pods"), nodes.allocatable("pods")
        assert pods is not None and room is not None
        refused = [(pods >= room, "Too many pods", np.ones(len(nodes), dtype=np.bool_))]
        for resource, amount in usage.requests.items():
            if not amount or resource in self._ignored or resource.partition("/")[0] in self._ignored_groups:
                continue
            reason = f"Insufficient {resource}"
            capacity, requested = nodes.allocatable(resource), nodes.requested(resource)
            if capacity is None or requested is None:
                everywhere = np.ones(len(nodes), dtype=np.bool_)
                refused.append((everywhere, reason, ~everywhere))
            else:
                # Where the whole node would not do, evicting pods does not help.
                refused.append((requested + amount > capacity, reason, capacity >= amount))
        for mask, reason, resolvable in refused:
            yield Refusals(mask, reason, resolvable)

    def pre_score(self, pod: Object) -> Usage:
        return usage_of(pod)

    def score(self, usage: Usage, nodes: Nodes) -> Scores:
        total = np.zeros(len(nodes), dtype=np.int64)
        weights = np.zeros(len(nodes), dtype=np.int64)
        for resource, weight in self._weights.items():
            amounts = compared(resource, usage, nodes, nonzero=True)
            if amounts is None:
                continue
            used, capacity = amounts
            rated = self._rate(used, np.maximum(capacity, 1))
            counts = (capacity > 0) & (rated > 0) if self._by_ratio else capacity > 0
            total += weight * rated * counts
            weights += weight * counts
        weights = np.maximum(weights, 1)
        if self._by_ratio:  # which rounds, where the others cut off
            return (2 * total + weights) // (2 * weights)
        return total // weights


def compared(resource: str, usage: Usage, nodes: Nodes, *, nonzero: bool) -> tuple[Amounts, Amounts] | None:
    """(requested with the pod, capacity) of each node; None where the resource is not to be compared.

    `nonzero`: containers that ask for no cpu or memory count with a default.
    """
    wanted = usage.requests.get(resource, 0)
    capacity, requested = nodes.allocatable(resource), nodes.requested(resource)
    if capacity is None or requested is None or (not wanted and resource not in _NATIVE):
        return None
    if nonzero and resource in ("cpu", "memory"):
        column = CPU if resource == "cpu" else MEMORY
        return nodes.nonzero_requested(column) + usage.nonzero[column], capacity
    return requested + wanted, capacity


def _rate(strategy: Mapping[str, Any]) -> Rate:
    match strategy.get("type") or LEAST_ALLOCATED:
        case "LeastAllocated":
            return lambda used, capacity: np.maximum(capacity - used, 0) * MOST_SCORE // capacity
        case "MostAllocated":
            return lambda used, capacity: np.minimum(used, capacity) * MOST_SCORE // capacity
        case "RequestedToCapacityRatio":
            shape = _shape((strategy.get("requestedToCapacityRatio") or {}).get("shape") or ())
            return lambda used, capacity: shape[np.minimum(used, capacity) * MOST_SCORE // capacity]
        case unknown:
            raise ValueError(f"NodeResourcesFit: there is no scoringStrategy {unknown!r}")


def _shape(points: Any) -> Scores:
    """The score at each utilization from 0 to 100, linear between the given points, cut to whole numbers."""
    given = [(int(each.get("utilization") or 0), int(each.get("score") or 0)) for each in points]
    if not given or any(x1 <= x0 for (x0, _), (x1, _) in pairwise(given)):
        raise ValueError("NodeResourcesFit: requestedToCapacityRatio needs a shape of rising utilization")
    scale = MOST_SCORE // _SHAPE_SCORE_MOST
    scores = []
    for utilization in range(MOST_SCORE + 1):
        later = next((index for index, point in enumerate(given) if utilization <= point[0]), len(given))
        if later in (0, len(given)):
            scores.append(given[min(later, len(given) - 1)][1] * scale)
            continue
        (x0, y0), (x1, y1) = given[later - 1], given[later]
        scores.append(y0 * scale + int((y1 - y0) * scale * (utilization - x0) / (x1 - x0)))
    return np.array(scores, dtype=np.int64)
