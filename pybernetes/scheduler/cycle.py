"""One scheduling decision: a pod and the table in, a verdict out. Nothing is awaited and nothing but the memo is changed.

Each filter narrows the nodes down; a node's reason is that of the first filter which refused it. Of those left the best
weighted sum of scores wins, and chance decides between equals (upstream: `schedulePod`).

What depends on nodes' labels, taints and images alone is the same for every pod of a template: it is worked out once for
each such "shape" and kept until a node changes. Only what depends on the pods already placed is worked out for every pod.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import orjson

from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.meta import Object
from pybernetes.scheduler.framework import SKIP, FitError, Mask, Placement, Profile, Refusals, Scores, Verdict
from pybernetes.scheduler.node_table import NodeTable

SHAPES_MOST = 500
# The fields that plugins of fixed results read; pods that agree in them have one shape.
_SHAPE_FIELDS = ("nodeName", "nodeSelector", "affinity", "tolerations", "schedulerName")


@dataclass(slots=True)
class _Filtered:
    """The outcome of a run of filters: what is left, and what each reason took."""

    feasible: Mask
    reasons: dict[str, int]
    plugins: frozenset[str]


class _Fixed(NamedTuple):
    """What a shape's plugins of fixed results found."""

    generation: int
    filtered: _Filtered
    scores: dict[str, Scores]  # by plugin, before they are normalized and weighted


class Cycle:
    """The decision for one profile, with its memo."""

    def __init__(self, profile: Profile, entropy: Entropy) -> None:
        self._profile = profile
        self._entropy = entropy
        self._memo: OrderedDict[bytes, _Fixed] = OrderedDict()

    def schedule(self, pod: Object, nodes: NodeTable) -> Verdict:
        """Where the pod should go, or why it can go nowhere."""
        if not len(nodes):
            return FitError(0, (), frozenset())
        fixed = self._fixed(pod, nodes)
        filtered = self._filter(pod, nodes, fixed.filtered, changing=True)
        feasible = int(np.count_nonzero(filtered.feasible))
        if not feasible:
            return FitError(len(nodes), tuple(filtered.reasons.items()), filtered.plugins)
        if feasible == 1:
            row = int(np.argmax(filtered.feasible))
        else:
            total = self._score(pod, nodes, filtered.feasible, fixed)
            row = self._best(total, filtered.feasible)
        return Placement(nodes.names[row], feasible)

    def _fixed(self, pod: Object, nodes: NodeTable) -> _Fixed:
        shape = _shape(pod)
        known = self._memo.get(shape)
        if known is not None and known.generation == nodes.static_generation:
            self._memo.move_to_end(shape)
            return known
        everything = _Filtered(np.ones(len(nodes), dtype=np.bool_), {}, frozenset())
        found = _Fixed(nodes.static_generation, self._filter(pod, nodes, everything, changing=False), {})
        self._memo[shape] = found
        if len(self._memo) > SHAPES_MOST:
            self._memo.popitem(last=False)
        return found

    def _filter(self, pod: Object, nodes: NodeTable, before: _Filtered, *, changing: bool) -> _Filtered:
        feasible, reasons, plugins = before.feasible.copy(), dict(before.reasons), set(before.plugins)
        for plugin in self._plugins("filter", changing):
            state = plugin.pre_filter(pod)
            if state is SKIP:
                continue
            refused = np.zeros(len(nodes), dtype=np.bool_)
            refusals: Refusals
            for refusals in plugin.filter(state, nodes):
                # A node that an earlier filter refused has its reason already; one filter may give several.
                hit = int(np.count_nonzero(refusals.mask & feasible))
                if hit:
                    reasons[refusals.reason] = reasons.get(refusals.reason, 0) + hit
                    plugins.add(plugin.name)
                refused |= refusals.mask
            feasible &= ~refused
            if not feasible.any():
                break
        return _Filtered(feasible, reasons, frozenset(plugins))

    def _score(self, pod: Object, nodes: NodeTable, feasible: Mask, fixed: _Fixed) -> Scores:
        total = np.zeros(len(nodes), dtype=np.int64)
        for weighted in self._profile.at("score"):
            plugin = weighted.plugin
            if plugin.name in fixed.scores:
                raw = fixed.scores[plugin.name]
            else:
                state = plugin.pre_score(pod)
                if state is SKIP:
                    continue
                raw = plugin.score(state, nodes)
                if not plugin.depends_on_pods:
                    fixed.scores[plugin.name] = raw
            total += weighted.weight * plugin.normalize(raw, feasible)
        return total

    def _best(self, total: Scores, feasible: Mask) -> int:
        """A row with the best score; which one of several is a matter of chance."""
        masked = np.where(feasible, total, -1)
        best = np.flatnonzero(masked == masked.max())
        return int(best[int(self._entropy.random() * len(best))])

    def _plugins(self, point: str, changing: bool) -> list[Any]:
        return [each.plugin for each in self._profile.at(point) if each.plugin.depends_on_pods == changing]


def _shape(pod: Object) -> bytes:
    spec = pod["spec"]
    images = [container.get("image") for container in spec["containers"]]
    fields = [spec.get(name) for name in _SHAPE_FIELDS]
    return orjson.dumps([fields, images, pod["metadata"]["namespace"]], option=orjson.OPT_SORT_KEYS)
