"""NodeAffinity: nodeSelector and node affinity, over all nodes at once by their interned labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from pybernetes.machinery import node_affinity
from pybernetes.machinery.meta import Object
from pybernetes.machinery.node_affinity import Requirement, Term, Wanted
from pybernetes.scheduler.framework import SKIP, Action, ClusterEvent, Mask, Refusals, Scores, Skip, normalized
from pybernetes.scheduler.node_table import NodeTable

REASON = "node(s) didn't match Pod's node affinity/selector"
REASON_ENFORCED = "node(s) didn't match scheduler-enforced node affinity"


class NodeAffinity:
    """`addedAffinity` (plugin argument) is a NodeAffinity that every pod of the profile gets."""

    name = "NodeAffinity"
    depends_on_pods = False
    wakes_on = (ClusterEvent("Node", Action.ADD | Action.UPDATE_LABEL), ClusterEvent("Pod", Action.UPDATE_SPEC))

    def __init__(self, arguments: Mapping[str, Any] | None = None) -> None:
        added = (arguments or {}).get("addedAffinity") or {}
        self._added = node_affinity.wanted({"spec": {"affinity": {"nodeAffinity": added}}})

    def pre_filter(self, pod: Object) -> Wanted | Skip:
        wanted = node_affinity.wanted(pod)
        if not wanted.labels and wanted.required is None and self._added.required is None:
            return SKIP
        return wanted

    def filter(self, wanted: Wanted, nodes: NodeTable) -> Iterator[Refusals]:
        if self._added.required is not None:
            yield Refusals(~_any_term(self._added.required, nodes), REASON_ENFORCED)
        matching = np.ones(len(nodes), dtype=np.bool_)
        for key, value in wanted.labels:
            matching &= _holds(Requirement(key, "In", (value,)), nodes)
        if wanted.required is not None:
            matching &= _any_term(wanted.required, nodes)
        yield Refusals(~matching, REASON)

    def pre_score(self, pod: Object) -> Wanted | Skip:
        wanted = node_affinity.wanted(pod)
        return wanted if wanted.preferred or self._added.preferred else SKIP

    def score(self, wanted: Wanted, nodes: NodeTable) -> Scores:
        total = np.zeros(len(nodes), dtype=np.int64)
        for preference in (*wanted.preferred, *self._added.preferred):
            total += preference.weight * _term(preference.term, nodes, empty=True)
        return total

    def normalize(self, scores: Scores, feasible: Mask) -> Scores:
        return normalized(scores, feasible)


def _any_term(terms: tuple[Term, ...], nodes: NodeTable) -> Mask:
    matching = np.zeros(len(nodes), dtype=np.bool_)
    for term in terms:
        matching |= _term(term, nodes, empty=False)
    return matching


def _term(term: Term, nodes: NodeTable, *, empty: bool) -> Mask:
    """`empty` is what a term without requirements matches: all as a preference, nothing where it is required."""
    if not term.labels and not term.fields:
        return np.full(len(nodes), empty)
    matching = np.ones(len(nodes), dtype=np.bool_)
    for requirement in term.labels:
        matching &= _holds(requirement, nodes)
    for requirement in term.fields:
        matching &= np.array([node_affinity.holds(requirement, name) for name in nodes.names])
    return matching


def _holds(requirement: Requirement, nodes: NodeTable) -> Mask:
    """Judge each distinct value of the label once, and the label's absence; the nodes look theirs up."""
    numbers, values = nodes.label(requirement.key)
    verdicts = np.zeros(len(values) + 1, dtype=np.bool_)
    verdicts[0] = node_affinity.holds(requirement, None)
    for value, number in values.items():
        verdicts[number] = node_affinity.holds(requirement, value)
    return verdicts[numbers]
