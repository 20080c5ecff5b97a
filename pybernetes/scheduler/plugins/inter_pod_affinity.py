"""InterPodAffinity: pods that want to be near others, or far from them (API reference, `PodAffinity`, `PodAntiAffinity`).

A term speaks of the pods that it matches and of a topology domain (the nodes that have the same value of a label). Terms count
in both directions: those of the pod against the pods that are there, and theirs against it; required ones of theirs only where
they keep others away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from pybernetes.machinery.meta import Object
from pybernetes.scheduler.framework import MOST_SCORE, SKIP, Action, ClusterEvent, Mask, Reads, Refusals, Scores, Skip
from pybernetes.scheduler.node_table import Amounts, Nodes
from pybernetes.scheduler.pod_traits import NamespaceLabels, Term, Traits, traits_of

REASON_AFFINITY = "node(s) didn't match pod affinity rules"
REASON_ANTI_AFFINITY = "node(s) didn't match pod anti-affinity rules"
REASON_EXISTING = "node(s) didn't satisfy existing pods anti-affinity rules"


class InterPodAffinity:
    """Plugin arguments: `hardPodAffinityWeight` (what a required affinity of a pod that is there is worth to others that it
    wants near), `ignorePreferredTermsOfExistingPods`."""

    name = "InterPodAffinity"
    reads = Reads.ANYTHING
    wakes_on = (
        ClusterEvent("Pod", Action.ADD | Action.DELETE | Action.UPDATE_LABEL),
        ClusterEvent("TargetPod", Action.UPDATE_LABEL),
        ClusterEvent("Node", Action.ADD | Action.UPDATE_LABEL),
    )

    def __init__(self, arguments: Mapping[str, Any] | None = None) -> None:
        arguments = arguments or {}
        hard = arguments.get("hardPodAffinityWeight")
        self._hard_weight = 1 if hard is None else int(hard)
        self._ignores_theirs = bool(arguments.get("ignorePreferredTermsOfExistingPods"))

    def pre_filter(self, pod: Object) -> Traits:
        return traits_of(pod)

    def filter(self, own: Traits, nodes: Nodes) -> Iterator[Refusals]:
        left = np.ones(len(nodes), dtype=np.bool_)
        rules = (
            (_lacks_company, REASON_AFFINITY, False),
            (_meets_the_shunned, REASON_ANTI_AFFINITY, True),
            (_is_shunned, REASON_EXISTING, True),
        )
        for rule, reason, resolvable in rules:
            refused = rule(own, nodes)
            if refused is not None:
                yield Refusals(refused & left, reason, resolvable)
                left &= ~refused

    def pre_score(self, pod: Object) -> Traits | Skip:
        own = traits_of(pod)
        if self._ignores_theirs and not own.terms.preferred and not own.terms.preferred_anti:
            return SKIP
        return own

    def score(self, own: Traits, nodes: Nodes) -> Scores | Skip:
        keys = {term.topology_key for term in (*own.terms.preferred, *own.terms.preferred_anti)} | nodes.pods.attracting_keys
        namespaces = nodes.pods.namespaces

        def worth(other: Traits, key: str) -> int:
            hard = _matching(other.terms.affinity, key, own, namespaces)
            return (
                _weight(own.terms.preferred, key, other, namespaces)
                - _weight(own.terms.preferred_anti, key, other, namespaces)
                + _weight(other.terms.preferred, key, own, namespaces)
                - _weight(other.terms.preferred_anti, key, own, namespaces)
                + self._hard_weight * len(hard)
            )

        found = [
            _in_domain(key, sums, nodes)
            for key in sorted(keys)
            if (sums := nodes.pods.sums(("worth", key, own, self._hard_weight), partial(worth, key=key), len(nodes)))
            is not None
        ]
        return np.sum(found, axis=0) if found else SKIP

    def normalize(self, scores: Scores, feasible: Mask) -> Scores:
        counted = scores[feasible]
        least, most = int(counted.min()), int(counted.max())
        if most == least:
            return np.zeros_like(scores)
        return (MOST_SCORE * ((scores - least) / (most - least))).astype(np.int64)


def _lacks_company(own: Traits, nodes: Nodes) -> Mask | None:
    """Where a pod that matches all terms is missing in the domain of one of them."""
    terms = own.terms.affinity
    if not terms:
        return None
    namespaces = nodes.pods.namespaces

    def is_company(other: Traits) -> int:
        return int(all(term.matches(other, namespaces) for term in terms))

    sums = nodes.pods.sums(("company", own), is_company, len(nodes))
    if sums is not None:
        near: list[Mask] = [_in_domain(term.topology_key, sums, nodes) > 0 for term in terms]
        if np.any(near):
            return ~_all(near)
    # The first pod of a group that wants to be together has nobody to join: itself is company enough.
    if is_company(own):
        return ~_all([nodes.label(term.topology_key)[0] != 0 for term in terms])
    return np.ones(len(nodes), dtype=np.bool_)


def _all(masks: list[Mask]) -> Mask:
    found: Mask = np.logical_and.reduce(masks)
    return found


def _meets_the_shunned(own: Traits, nodes: Nodes) -> Mask | None:
    """Where a pod is that the pod's own terms shun."""
    refused = None
    for term in own.terms.anti_affinity:
        matches = partial(_term_matches, term, nodes.pods.namespaces)
        sums = nodes.pods.sums(("shuns", own, term), matches, len(nodes))
        refused = _either(refused, term.topology_key, sums, nodes)
    return refused


def _is_shunned(own: Traits, nodes: Nodes) -> Mask | None:
    """Where a pod is whose terms shun this one."""
    refused = None
    namespaces = nodes.pods.namespaces
    for key in nodes.pods.shunning_keys:
        answer = partial(_shuns, key, own, namespaces)
        refused = _either(refused, key, nodes.pods.sums(("shunned", key, own), answer, len(nodes)), nodes)
    return refused


def _term_matches(term: Term, namespaces: NamespaceLabels, other: Traits) -> int:
    return int(term.matches(other, namespaces))


def _shuns(key: str, own: Traits, namespaces: NamespaceLabels, other: Traits) -> int:
    return len(_matching(other.terms.anti_affinity, key, own, namespaces))


def _matching(terms: Iterable[Term], key: str, other: Traits, namespaces: NamespaceLabels) -> list[Term]:
    return [term for term in terms if term.topology_key == key and term.matches(other, namespaces)]


def _weight(terms: Iterable[Term], key: str, other: Traits, namespaces: NamespaceLabels) -> int:
    return sum(term.weight for term in _matching(terms, key, other, namespaces))


def _either(refused: Mask | None, key: str, sums: Amounts | None, nodes: Nodes) -> Mask | None:
    if sums is None:
        return refused
    more: Mask = _in_domain(key, sums, nodes) > 0
    return more if refused is None else refused | more


def _in_domain(key: str, sums: Amounts, nodes: Nodes) -> Amounts:
    """For each node, the sum over its topology domain; 0 where it has no such label."""
    column = nodes.label(key)[0]
    by_value = np.bincount(column, weights=sums, minlength=1).astype(np.int64)
    by_value[0] = 0
    return by_value[column]
