"""Node selectors: which nodes a pod (or a volume) asks for (API reference, `NodeSelector`, `NodeAffinity`).

The requirements are read once into plain values; the scheduler evaluates them over all nodes at a time, others over one node.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pybernetes.machinery.meta import Object, labels_of, name_of

_WHOLE = re.compile(r"[+-]?[0-9]+")


@dataclass(frozen=True, slots=True)
class Requirement:
    """`key operator values`; operators In, NotIn, Exists, DoesNotExist, Gt, Lt."""

    key: str
    operator: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Term:
    """All requirements must hold; a term without any selects nothing."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[Requirement, ...] = ()  # of metadata.name alone


@dataclass(frozen=True, slots=True)
class Preference:
    weight: int  # 1 to 100
    term: Term


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a pod asks of nodes: `labels` and `required` must hold (one of the terms), `preferred` would be nice."""

    labels: tuple[tuple[str, str], ...] = ()  # spec.nodeSelector
    required: tuple[Term, ...] | None = None  # None: nothing is required
    preferred: tuple[Preference, ...] = ()


def wanted(pod: Object) -> Wanted:
    spec = pod["spec"]
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    preferred = affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
    return Wanted(
        tuple(sorted((spec.get("nodeSelector") or {}).items())),
        terms(required) if required is not None else None,
        tuple(Preference(each["weight"], _term(each["preference"])) for each in preferred),
    )


def terms(selector: Mapping[str, Any]) -> tuple[Term, ...]:
    """The terms of a NodeSelector; one of them must match."""
    return tuple(_term(each) for each in selector.get("nodeSelectorTerms") or ())


def _term(term: Mapping[str, Any]) -> Term:
    return Term(_requirements(term.get("matchExpressions")), _requirements(term.get("matchFields")))


def _requirements(raw: Iterable[Object] | None) -> tuple[Requirement, ...]:
    return tuple(Requirement(each["key"], each["operator"], tuple(each.get("values") or ())) for each in raw or ())


def number(text: str) -> int | None:
    """A label value as Gt and Lt read it: a whole 64-bit number, or nothing."""
    value = int(text) if _WHOLE.fullmatch(text) else None
    return value if value is not None and -(2**63) <= value < 2**63 else None


def holds(requirement: Requirement, value: str | None) -> bool:
    """Whether a label's value (None: absent) meets the requirement."""
    match requirement.operator:
        case "In":
            return value is not None and value in requirement.values
        case "NotIn":
            return value is None or value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" as operator:
            actual = number(value) if value is not None else None
            bound = number(requirement.values[0]) if len(requirement.values) == 1 else None
            if actual is None or bound is None:
                return False
            return actual > bound if operator == "Gt" else actual < bound
        case _:
            return False


def term_matches(term: Term, node: Object) -> bool:
    if not term.labels and not term.fields:
        return False
    labels = labels_of(node)
    return all(holds(each, labels.get(each.key)) for each in term.labels) and all(
        holds(each, name_of(node) if each.key == "metadata.name" else None) for each in term.fields
    )


def matches(pod_wants: Wanted, node: Object) -> bool:
    """Whether the node meets all that is required (the kubelet asks again when a pod arrives)."""
    labels = labels_of(node)
    if any(labels.get(key) != value for key, value in pod_wants.labels):
        return False
    return pod_wants.required is None or any(term_matches(term, node) for term in pod_wants.required)
