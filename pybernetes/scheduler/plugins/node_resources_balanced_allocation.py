"""NodeResourcesBalancedAllocation: prefer nodes whose resources would be used evenly, so that none is left over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pybernetes.machinery.meta import Object
from pybernetes.scheduler.framework import MOST_SCORE, SKIP, Mask, Scores, Skip
from pybernetes.scheduler.node_table import NodeTable, PodUsage, usage_of


class NodeResourcesBalancedAllocation:
    """100 × (1 − standard deviation of the used fractions). Plugin argument: `resources`."""

    name = "NodeResourcesBalancedAllocation"
    depends_on_pods = True
    wakes_on = ()

    def __init__(self, arguments: Mapping[str, Any] | None = None) -> None:
        resources = (arguments or {}).get("resources") or [{"name": "cpu"}, {"name": "memory"}]
        self._resources = [each["name"] for each in resources]

    def pre_score(self, pod: Object) -> PodUsage | Skip:
        usage = usage_of(pod)
        # A pod that asks for none of them leaves the balance as it is.
        return usage if any(usage.requests.get(resource) for resource in self._resources) else SKIP

    def score(self, usage: PodUsage, nodes: NodeTable) -> Scores:
        fractions, has_it = [], []
        for resource in self._resources:
            column = nodes.column(resource)
            if column is None:
                continue
            capacity = nodes.allocatable[:, column]
            used = nodes.requested[:, column] + usage.requests.get(resource, 0)
            fractions.append(np.minimum(used / np.maximum(capacity, 1), 1.0))
            has_it.append(capacity > 0)
        if not fractions:
            return np.zeros(len(nodes), dtype=np.int64)
        values = np.ma.masked_array(np.stack(fractions), mask=~np.stack(has_it))
        deviation = np.ma.filled(values.std(axis=0), 0.0)
        return ((1.0 - deviation) * MOST_SCORE).astype(np.int64)

    def normalize(self, scores: Scores, feasible: Mask) -> Scores:
        return scores
