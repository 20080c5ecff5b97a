"""One scheduling decision: a pod and the table in, a verdict out. Nothing is awaited and nothing but the memo is changed.

Each filter narrows the nodes down; a node's reason is that of the first filter which refused it. Of those left the best
weighted sum of scores wins, and chance decides between equals (upstream: `schedulePod`). All nodes are looked at, always.

The pods of one shape share their work: what plugins say of a shape and a node (`Reads.SHAPE_AND_NODE`) is kept for all nodes,
and asked again only of those that changed since. Between two pods of a template that is, as a rule, the one node which the
first of them got. Plugins that read anything are asked for every pod, after the others.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.meta import Object
from pybernetes.scheduler.framework import SKIP, FitError, Mask, Placement, Profile, Reads, Scores, Verdict, Weighted
from pybernetes.scheduler.node_table import Nodes, NodeTable
from pybernetes.scheduler.pod_shape import ShapeKey, shape_of

# What the memo may take, at the 9 bytes that a shape takes for each node, and how many shapes it remembers at any rate.
MEMO_BYTES_MOST = 32 * 2**20
SHAPES_LEAST = 32
# With more of the nodes changed than one in so many, it is cheaper to look at all.
_PART_CHANGED = 4


class _Asked(NamedTuple):
    """A plugin with what it read from the pod."""

    plugin: Any
    weight: int
    state: Any


@dataclass(slots=True)
class _Raw:
    """Scores before they are normalized. While all are equal they decide nothing, whatever they are normalized to."""

    asked: _Asked
    scores: Scores | None = None  # None: all are `equal`
    equal: int = 0

    def put(self, rows: slice | list[int], scores: Scores, length: int) -> None:
        whole = isinstance(rows, slice)
        if whole:
            self.equal = int(scores[0])
        if (scores == self.equal).all():
            if whole:
                self.scores = None
            elif self.scores is not None:
                self.scores[rows] = scores
            return
        if self.scores is None:
            self.scores = np.full(length, self.equal, dtype=np.int64)
        self.scores[rows] = scores


@dataclass(slots=True)
class _Known:
    """What the plugins that read shape and node say of one shape, as of a position in the table's changes."""

    position: int
    only: frozenset[str] | None
    filters: Sequence[_Asked]
    feasible: Mask
    scorers: Sequence[_Asked]  # those whose scores are final
    final: Scores  # their weighted sum
    raw: Sequence[_Raw]


class Cycle:
    """The decision for one profile, with its memo."""

    def __init__(self, profile: Profile, entropy: Entropy) -> None:
        self._profile = profile
        self._entropy = entropy
        self._memo: OrderedDict[ShapeKey, _Known] = OrderedDict()
        self._steady_filters, self._other_filters = _by_reading(profile.at("filter"))
        self._steady_scorers, self._other_scorers = _by_reading(profile.at("score"))

    def schedule(self, pod: Object, table: NodeTable) -> Verdict:
        """Where the pod should go, or why it can go nowhere."""
        if not len(table):
            return FitError(0)
        known = self._known(pod, table)
        feasible = known.feasible
        others = _asked(self._other_filters, "pre_filter", pod)
        if others:
            feasible = feasible & _feasible(others, table.all)
        count = int(np.count_nonzero(feasible))
        if not count:
            return self._refusal(pod, known, others, table.all)
        if count == 1:
            row = int(np.argmax(feasible))
        else:
            row = self._best(self._total(pod, known, table.among(feasible)), feasible)
        return Placement(table.names[row], count)

    # The memo.

    def _known(self, pod: Object, table: NodeTable) -> _Known:
        shape = shape_of(pod)
        known = self._memo.get(shape)
        changed = table.changed_since(known.position) if known is not None else None
        if known is None or changed is None:
            known = self._memo[shape] = self._learn(pod, table)
            if len(self._memo) > max(SHAPES_LEAST, MEMO_BYTES_MOST // (9 * len(table))):
                self._memo.popitem(last=False)
        elif changed:
            self._renew(known, table, changed)
        self._memo.move_to_end(shape)
        return known

    def _learn(self, pod: Object, table: NodeTable) -> _Known:
        scorers = _asked(self._steady_scorers, "pre_score", pod)
        known = _Known(
            position=table.position,
            only=self._only(pod),
            filters=_asked(self._steady_filters, "pre_filter", pod),
            feasible=np.zeros(len(table), dtype=np.bool_),
            scorers=[each for each in scorers if not hasattr(each.plugin, "normalize")],
            final=_zeros(len(table)),
            raw=[_Raw(each) for each in scorers if hasattr(each.plugin, "normalize")],
        )
        self._ask(known, table.all, slice(None))
        return known

    def _renew(self, known: _Known, table: NodeTable, changed: set[int]) -> None:
        if len(changed) * _PART_CHANGED > len(table):
            self._ask(known, table.all, slice(None))
        else:
            rows = [*changed]
            self._ask(known, table.take(rows), rows)
        known.position = table.position

    def _ask(self, known: _Known, nodes: Nodes, rows: slice | list[int]) -> None:
        feasible = _feasible(known.filters, nodes)
        if known.only is not None:
            feasible &= nodes.named(known.only)
        known.feasible[rows] = feasible
        final = _zeros(len(nodes))
        for asked in known.scorers:
            final += asked.weight * asked.plugin.score(asked.state, nodes)
        known.final[rows] = final
        for raw in known.raw:
            raw.put(rows, raw.asked.plugin.score(raw.asked.state, nodes), len(known.final))

    def _only(self, pod: Object) -> frozenset[str] | None:
        found: frozenset[str] | None = None
        for each in self._profile.at("only_nodes"):
            names = each.plugin.only_nodes(pod)
            if names is not None:
                found = frozenset(names) if found is None else found & frozenset(names)
        return found

    # Scoring.

    def _total(self, pod: Object, known: _Known, nodes: Nodes) -> Scores:
        total, feasible = known.final, nodes.feasible
        for raw in known.raw:
            if raw.scores is not None:
                total = total + raw.asked.weight * raw.asked.plugin.normalize(raw.scores, feasible)
        for asked in _asked(self._other_scorers, "pre_score", pod):
            scores = asked.plugin.score(asked.state, nodes)
            if scores is not SKIP:
                if hasattr(asked.plugin, "normalize"):
                    scores = asked.plugin.normalize(scores, feasible)
                total = total + asked.weight * scores
        return total

    def _best(self, total: Scores, feasible: Mask) -> int:
        """A row with the best score; which one of several is a matter of chance."""
        masked = np.where(feasible, total, -1)
        best = np.flatnonzero(masked == masked.max())
        return int(best[int(self._entropy.random() * len(best))])

    # Refusing.

    def _refusal(self, pod: Object, known: _Known, others: Sequence[_Asked], nodes: Nodes) -> FitError:
        """Ask the filters once more, for their reasons."""
        left = np.ones(len(nodes), dtype=np.bool_)
        reasons: dict[str, int] = {}
        plugins: set[str] = set()
        resolvable = 0
        if known.only is not None:
            left = nodes.named(known.only)
            names = sorted(
                each.plugin.name for each in self._profile.at("only_nodes") if each.plugin.only_nodes(pod) is not None
            )
            elsewhere = len(nodes) - int(np.count_nonzero(left))
            if elsewhere:
                reasons[f"node(s) didn't satisfy plugin(s) [{' '.join(names)}]"] = elsewhere
                plugins.update(names)
        for asked in (*known.filters, *others):
            refused = np.zeros(len(nodes), dtype=np.bool_)
            hopeless = np.zeros(len(nodes), dtype=np.bool_)
            for refusal in asked.plugin.filter(asked.state, nodes):
                # A node that an earlier filter refused has its reason already; one filter may give several.
                hit = refusal.mask & left
                if hit.any():
                    reasons[refusal.reason] = reasons.get(refusal.reason, 0) + int(np.count_nonzero(hit))
                    plugins.add(asked.plugin.name)
                    refused |= hit
                    hopeless |= hit & ~np.asarray(refusal.resolvable)
            resolvable += int(np.count_nonzero(refused & ~hopeless))
            left &= ~refused
        return FitError(len(nodes), tuple(reasons.items()), resolvable, frozenset(plugins))


def _by_reading(plugins: Iterable[Weighted]) -> tuple[list[Weighted], list[Weighted]]:
    """Those that read shape and node alone, and the others."""
    steady: list[Weighted] = []
    others: list[Weighted] = []
    for each in plugins:
        (steady if each.plugin.reads is Reads.SHAPE_AND_NODE else others).append(each)
    return steady, others


def _asked(plugins: Iterable[Weighted], method: str, pod: Object) -> list[_Asked]:
    """What each plugin reads from the pod, without those that have no opinion about it."""
    found = []
    for each in plugins:
        read = getattr(each.plugin, method, None)
        state = read(pod) if read is not None else pod
        if state is not SKIP:
            found.append(_Asked(each.plugin, each.weight, state))
    return found


def _zeros(length: int) -> Scores:
    return np.zeros(length, dtype=np.int64)


def _feasible(filters: Iterable[_Asked], nodes: Nodes) -> Mask:
    refused = np.zeros(len(nodes), dtype=np.bool_)
    for asked in filters:
        for refusal in asked.plugin.filter(asked.state, nodes):
            refused |= refusal.mask
    return ~refused
