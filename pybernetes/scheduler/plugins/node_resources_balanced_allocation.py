"""NodeResourcesBalancedAllocation: prefer nodes whose resources would be used evenly, so that none is left over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pybernetes.machinery.meta import Object
from pybernetes.scheduler.framework import MOST_SCORE, SKIP, Mask, Reads, Scores, Skip
from pybernetes.scheduler.node_table import Nodes
from pybernetes.scheduler.plugins.node_resources_fit import compared
from pybernetes.scheduler.pod_shape import Usage, usage_of

Fractions = npt.NDArray[np.float64]


class NodeResourcesBalancedAllocation:
    """100 × (1 - standard deviation of the used fractions). Plugin argument: `resources`."""

    name = "NodeResourcesBalancedAllocation"
    reads = Reads.SHAPE_AND_NODE
    wakes_on = ()

    def __init__(self, arguments: Mapping[str, Any] | None = None) -> None:
        resources = (arguments or {}).get("resources") or [{"name": "cpu"}, {"name": "memory"}]
        self._resources = [each["name"] for each in resources]

    def pre_score(self, pod: Object) -> Usage | Skip:
        usage = usage_of(pod)
        # A pod that asks for none of them leaves the balance as it is.
        return usage if any(usage.requests.get(resource) for resource in self._resources) else SKIP

    def score(self, usage: Usage, nodes: Nodes) -> Scores:
        amounts = [compared(resource, usage, nodes, nonzero=False) for resource in self._resources]
        known = [each for each in amounts if each is not None]
        if not known:
            return np.zeros(len(nodes), dtype=np.int64)
        has_it = [capacity > 0 for _, capacity in known]
        fractions = [np.minimum(used / np.maximum(capacity, 1), 1.0) for used, capacity in known]
        deviation = _half_distance(fractions, has_it) if len(known) <= 2 else _deviation(np.stack(fractions), np.stack(has_it))
        return ((1.0 - deviation) * MOST_SCORE).astype(np.int64)


# The score is cut to a whole number, so that the last bit counts: the terms are upstream's, in upstream's order.


def _half_distance(fractions: Sequence[Fractions], has_it: Sequence[Mask]) -> Fractions:
    """The standard deviation of two; of fewer it is 0."""
    if len(fractions) < 2:
        return np.zeros_like(fractions[0])
    return np.where(has_it[0] & has_it[1], np.abs((fractions[0] - fractions[1]) / 2), 0.0)


def _deviation(fractions: Fractions, has_it: Mask) -> Fractions:
    count = has_it.sum(axis=0)
    mean = np.where(has_it, fractions, 0.0).cumsum(axis=0)[-1] / np.maximum(count, 1)
    squares = np.where(has_it, (fractions - mean) * (fractions - mean), 0.0).cumsum(axis=0)[-1]
    distance = np.where(has_it, fractions, 0.0).max(axis=0) - np.where(has_it, fractions, 1.0).min(axis=0)
    return np.where(count > 2, np.sqrt(squares / np.maximum(count, 1)), np.where(count == 2, distance / 2, 0.0))
