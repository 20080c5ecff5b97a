"""NodeResourcesFit: refuse nodes without room for the pod's requests; prefer (by default) the least allocated ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from pybernetes.machinery.meta import Object
from pybernetes.scheduler.framework import MOST_SCORE, Action, ClusterEvent, Mask, Refusals, Scores
from pybernetes.scheduler.node_table import CPU, MEMORY, PODS, NodeTable, PodUsage, usage_of

LEAST_ALLOCATED, MOST_ALLOCATED = "LeastAllocated", "MostAllocated"


class NodeResourcesFit:
    """Plugin arguments: `scoringStrategy` (LeastAllocated, MostAllocated) with its `resources`, and `ignoredResources`."""

    name = "NodeResourcesFit"
    depends_on_pods = True
    wakes_on = (
        ClusterEvent("Pod", Action.DELETE | Action.UPDATE_SPEC),
        ClusterEvent("Node", Action.ADD | Action.UPDATE_ALLOCATABLE),
    )

    def __init__(self, arguments: Mapping[str, Any] | None = None) -> None:
        strategy = (arguments or {}).get("scoringStrategy") or {}
        self._strategy = strategy.get("type") or LEAST_ALLOCATED
        if self._strategy not in (LEAST_ALLOCATED, MOST_ALLOCATED):
            raise ValueError(f"NodeResourcesFit: scoringStrategy {self._strategy} is not available")
        resources = strategy.get("resources") or [{"name": "cpu"}, {"name": "memory"}]
        self._weights = {each["name"]: each.get("weight") or 1 for each in resources}
        self._ignored = frozenset((arguments or {}).get("ignoredResources") or ())

    def pre_filter(self, pod: Object) -> PodUsage:
        return usage_of(pod)

    def filter(self, usage: PodUsage, nodes: NodeTable) -> Iterator[Refusals]:
        free = nodes.allocatable - nodes.requested
        yield Refusals(free[:, PODS] < 1, "Too many pods", resolvable=True)
        for resource, amount in usage.requests.items():
            if not amount or resource in self._ignored:
                continue
            column = nodes.column(resource)
            if column is None:
                yield Refusals(np.ones(len(nodes), dtype=np.bool_), f"Insufficient {resource}")
            else:
                # Where the whole node would not do, evicting pods does not help.
                resolvable = bool((nodes.allocatable[:, column] >= amount).any())
                yield Refusals(free[:, column] < amount, f"Insufficient {resource}", resolvable)

    def pre_score(self, pod: Object) -> PodUsage:
        return usage_of(pod)

    def score(self, usage: PodUsage, nodes: NodeTable) -> Scores:
        total = np.zeros(len(nodes), dtype=np.int64)
        weights = np.zeros(len(nodes), dtype=np.int64)
        for resource, weight in self._weights.items():
            column = nodes.column(resource)
            if column is None:
                continue
            capacity = nodes.allocatable[:, column]
            used = _used(resource, column, usage, nodes)
            share = used if self._strategy == MOST_ALLOCATED else capacity - used
            has_it = capacity > 0
            score = np.where(has_it & (used <= capacity), share * MOST_SCORE // np.maximum(capacity, 1), 0)
            total += weight * score
            weights += weight * has_it
        return total // np.maximum(weights, 1)

    def normalize(self, scores: Scores, feasible: Mask) -> Scores:
        return scores  # 0 to 100 as they are


def _used(resource: str, column: int, usage: PodUsage, nodes: NodeTable) -> Scores:
    """What would be requested of each node with the pod on it; containers that ask for nothing count with a default."""
    if column in (CPU, MEMORY):
        return nodes.nonzero_requested[:, column] + usage.nonzero[column]
    return nodes.requested[:, column] + usage.requests.get(resource, 0)
