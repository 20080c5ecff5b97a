"""What other pods may ask of a pod: its namespace, labels, owner, whether it ends, and its own pod affinity.

Pods that agree in all that are of one *trait*; a cluster has about as many as it has pod templates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

from pybernetes.machinery.labels import IN, NOT_IN, Requirement, Selector, from_label_selector
from pybernetes.machinery.meta import Object, controller_of, is_being_deleted, labels_of, namespace_of

_REQUIRED, _PREFERRED = (f"{how}DuringSchedulingIgnoredDuringExecution" for how in ("required", "preferred"))
# Pods of these are spread by default; a pod's other owners say nothing about which pods belong together.
_SPREADING_OWNERS = ("ReplicaSet", "ReplicationController", "StatefulSet")

NamespaceLabels = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Term:
    """A pod affinity term: pods like this, in the same topology domain (API reference, `PodAffinityTerm`)."""

    topology_key: str
    namespaces: frozenset[str]
    namespace_selector: Selector | None
    selector: Selector
    weight: int = 0  # of a preferred term

    def matches(self, other: Traits, namespaces: NamespaceLabels) -> bool:
        by_labels = self.namespace_selector
        is_there = other.namespace in self.namespaces or (
            by_labels is not None and by_labels.matches(namespaces.get(other.namespace))
        )
        return is_there and self.selector.matches(other.labels)


@dataclass(frozen=True, slots=True)
class Terms:
    """The pod affinity of a pod."""

    affinity: tuple[Term, ...] = ()
    preferred: tuple[Term, ...] = ()
    anti_affinity: tuple[Term, ...] = ()
    preferred_anti: tuple[Term, ...] = ()


@dataclass(frozen=True, slots=True)
class Traits:
    """Compared by `key`, which holds all of it."""

    key: bytes
    namespace: str = field(compare=False)
    labels: Mapping[str, str] = field(compare=False)
    controller: str = field(compare=False)  # uid of the set of replicas that it is one of, "" of none
    terminating: bool = field(compare=False)
    terms: Terms = field(compare=False)


def traits_of(pod: Object) -> Traits:
    """Pods of the same traits get the same object. Raises `BadRequest` for a selector that is none."""
    affinity = pod["spec"].get("affinity") or {}
    owner = controller_of(pod) or {}
    controller = owner["uid"] if owner.get("kind") in _SPREADING_OWNERS else ""
    parts = [
        namespace_of(pod), labels_of(pod), controller, is_being_deleted(pod),
        affinity.get("podAffinity"), affinity.get("podAntiAffinity"),
    ]  # fmt: skip
    return _traits(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS))


def selecting(constraint: Mapping[str, Any], labels: Mapping[str, str]) -> Selector:
    """The labelSelector of a term or constraint, with its (mis)matchLabelKeys filled in from the pod's labels (KEP-3633)."""
    selector = from_label_selector(constraint.get("labelSelector"))
    more = [
        Requirement(key, operator, (labels[key],))
        for field_name, operator in (("matchLabelKeys", IN), ("mismatchLabelKeys", NOT_IN))
        for key in constraint.get(field_name) or ()
        if key in labels
    ]
    if not more or selector.matches_nothing:
        return selector
    return Selector([*selector.requirements, *more])


@lru_cache(maxsize=8192)
def _traits(key: bytes) -> Traits:
    namespace, labels, controller, terminating, affinity, anti = orjson.loads(key)
    terms = Terms()
    if affinity or anti:
        found = [
            _terms(which or {}, point, namespace, labels) for which in (affinity, anti) for point in (_REQUIRED, _PREFERRED)
        ]
        terms = Terms(*found)
    return Traits(key, namespace, labels, controller, terminating, terms)


def _terms(affinity: Mapping[str, Any], point: str, namespace: str, labels: Mapping[str, str]) -> tuple[Term, ...]:
    return tuple(_term(each, namespace, labels) for each in affinity.get(point) or ())


def _term(raw: Mapping[str, Any], namespace: str, labels: Mapping[str, str]) -> Term:
    weight, term = raw.get("weight") or 0, raw.get("podAffinityTerm", raw)
    namespaces = frozenset(term.get("namespaces") or ())
    by_labels = term.get("namespaceSelector")
    if not namespaces and by_labels is None:
        namespaces = frozenset((namespace,))
    return Term(
        topology_key=term["topologyKey"],
        namespaces=namespaces,
        namespace_selector=None if by_labels is None else from_label_selector(by_labels),
        selector=selecting(term, labels),
        weight=weight,
    )


NO_TRAITS = _traits(orjson.dumps(["", {}, "", False, None, None]))
