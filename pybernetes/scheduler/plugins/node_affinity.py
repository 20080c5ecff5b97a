"""NodeAffinity: nodeSelector and node affinity, over all nodes at once by their interned labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from pybernetes.machinery import node_affinity
from pybernetes.machinery.meta import Object
from pybernetes.machinery.node_affinity import Requirement, Term, Wanted
from pybernetes.scheduler.framework import SKIP, Action, ClusterEvent, Mask, Reads, Refusals, Scores, Skip, normalized
from pybernetes.scheduler.node_table import Nodes

REASON = "node(s) didn't match Pod's node affinity/selector"
REASON_ENFORCED = "node(s) didn't match scheduler-enforced node affinity"


class NodeAffinity:
    """`addedAffinity` (plugin argument) is a NodeAffinity that every pod of the profile gets."""

    name = "NodeAffinity"
    reads = Reads.SHAPE_AND_NODE
    wakes_on = (ClusterEvent("Node", Action.ADD | Action.UPDATE_LABEL), ClusterEvent("TargetPod", Action.UPDATE_SPEC))

    def __init__(self, arguments: Mapping[str, Any] | None = None) -> None:
        added = (arguments or {}).get("addedAffinity") or {}
        self._added = node_affinity.wanted({"spec": {"affinity": {"nodeAffinity": added}}})

    def only_nodes(self, pod: Object) -> frozenset[str] | None:
        """The names, where each term wants nodes by name: a DaemonSet's pod is not to be tried everywhere else."""
        required = node_affinity.wanted(pod).required
        if not required:
            return None
        found: frozenset[str] = frozenset()
        for term in required:
            names = [frozenset(each.values) for each in term.fields if each.operator == "In"]
            if not names:
                return None
            found |= frozenset.intersection(*names)
        return found

    def pre_filter(self, pod: Object) -> Wanted | Skip:
        wanted = node_affinity.wanted(pod)
        if not wanted.labels and wanted.required is None and self._added.required is None:
            return SKIP
        return wanted

    def filter(self, wanted: Wanted, nodes: Nodes) -> Iterator[Refusals]:
        enforced = np.ones(len(nodes), dtype=np.bool_)
        if self._added.required is not None:
            enforced = _any_term(self._added.required, nodes)
            yield Refusals(~enforced, REASON_ENFORCED)
        yield Refusals(enforced & ~selected(wanted, nodes), REASON)

    def pre_score(self, pod: Object) -> Wanted | Skip:
        wanted = node_affinity.wanted(pod)
        return wanted if wanted.preferred or self._added.preferred else SKIP

    def score(self, wanted: Wanted, nodes: Nodes) -> Scores:
        total = np.zeros(len(nodes), dtype=np.int64)
        for preference in (*wanted.preferred, *self._added.preferred):
            total += preference.weight * _term(preference.term, nodes)
        return total

    def normalize(self, scores: Scores, feasible: Mask) -> Scores:
        return normalized(scores, feasible)


def selected(wanted: Wanted, nodes: Nodes) -> Mask:
    """The nodes that meet all that is required."""
    matching = np.ones(len(nodes), dtype=np.bool_)
    for key, value in wanted.labels:
        matching &= _holds(Requirement(key, "In", (value,)), nodes)
    if wanted.required is not None:
        matching &= _any_term(wanted.required, nodes)
    return matching


def _any_term(terms: tuple[Term, ...], nodes: Nodes) -> Mask:
    matching = np.zeros(len(nodes), dtype=np.bool_)
    for term in terms:
        matching |= _term(term, nodes)
    return matching


def _term(term: Term, nodes: Nodes) -> Mask:
    if not term.labels and not term.fields:
        return np.zeros(len(nodes), dtype=np.bool_)
    matching = np.ones(len(nodes), dtype=np.bool_)
    for requirement in term.labels:
        matching &= _holds(requirement, nodes)
    for requirement in term.fields:
        named = nodes.named(requirement.values) if requirement.key == "metadata.name" else np.zeros_like(matching)
        matching &= ~named if requirement.operator == "NotIn" else named
    return matching


def _holds(requirement: Requirement, nodes: Nodes) -> Mask:
    """By the numbers of the label's values; what needs the text itself judges each value that occurs once."""
    column, values = nodes.label(requirement.key)
    match requirement.operator:
        case "Exists" | "DoesNotExist" as operator:
            present: Mask = column != 0
            return ~present if operator == "DoesNotExist" else present
        case "In" | "NotIn" as operator:
            among = np.zeros(len(nodes), dtype=np.bool_)
            for value in requirement.values:
                if value in values:
                    among |= column == values[value]
            return ~among if operator == "NotIn" else among
        case _:
            occurring = set(column.tolist())
            held = [n for value, n in values.items() if n in occurring and node_affinity.holds(requirement, value)]
            return np.isin(column, held)
