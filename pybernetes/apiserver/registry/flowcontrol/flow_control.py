"""FlowSchemas and PriorityLevelConfigurations (KEP-1040)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks, printing, replicas
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Strategy
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, condition, name_of
from pybernetes.machinery.resources import FLOW_SCHEMAS, PRIORITY_LEVEL_CONFIGURATIONS

_QUEUING = (("queues", 64), ("handSize", 8), ("queueLengthLimit", 50))
_PRECEDENCE_MAX = 10000
_QUEUES_MAX = 10_000_000
_HASH_BITS = 60  # what a flow's hash has for dealing it a hand of queues


def default_schema(schema: Object) -> None:
    spec = schema.setdefault("spec", {})
    if not spec.get("matchingPrecedence"):
        spec["matchingPrecedence"] = 1000


def validate_schema(schema: Object) -> Iterator[FieldError]:
    spec = schema["spec"]
    precedence = spec.get("matchingPrecedence", 0)
    if precedence <= 0:
        yield FieldError.invalid("spec.matchingPrecedence", precedence, "must be a positive value")
    elif precedence > _PRECEDENCE_MAX:
        sentence = f"must not be greater than {_PRECEDENCE_MAX}"
        yield FieldError.invalid("spec.matchingPrecedence", precedence, sentence)
    if precedence == 1 and name_of(schema) != "exempt":
        sentence = "only the schema named 'exempt' may have matchingPrecedence 1"
        yield FieldError.invalid("spec.matchingPrecedence", precedence, sentence)
    method = spec.get("distinguisherMethod")
    if method is not None:
        yield from checks.one_of(method.get("type", ""), ("ByNamespace", "ByUser"), "spec.distinguisherMethod")
    level = (spec.get("priorityLevelConfiguration") or {}).get("name", "")
    if not level:
        yield FieldError.required("spec.priorityLevelConfiguration.name", "must reference a priority level")
    else:
        yield from checks.invalid_by("spec.priorityLevelConfiguration.name", level, validation.dns_1123_subdomain_errors)
    for i, rule in enumerate(spec.get("rules") or ()):
        yield from _validate_rule(rule, f"spec.rules[{i}]")


def _validate_rule(rule: Object, path: str) -> Iterator[FieldError]:
    if not rule.get("subjects"):
        yield FieldError.required(path + ".subjects", "subjects must contain at least one value")
    for i, subject in enumerate(rule.get("subjects") or ()):
        kinds = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}
        kind, here = subject.get("kind", ""), f"{path}.subjects[{i}]"
        yield from checks.one_of(kind, tuple(kinds), here + ".kind")
        for name, field in kinds.items():
            if name == kind and subject.get(field) is None:
                yield FieldError.required(f"{here}.{field}", f"{field} is required when subject kind is '{kind}'")
            elif name != kind and subject.get(field) is not None:
                sentence = f"{field} is forbidden when subject kind is not '{name}'"
                yield FieldError.forbidden(f"{here}.{field}", sentence)
    if not rule.get("resourceRules") and not rule.get("nonResourceRules"):
        sentence = "at least one of resourceRules and nonResourceRules has to be non-empty"
        yield FieldError.required(path, sentence)
    for i, one in enumerate(rule.get("resourceRules") or ()):
        here = f"{path}.resourceRules[{i}]"
        for field in ("verbs", "apiGroups", "resources"):
            if not one.get(field):
                yield FieldError.required(f"{here}.{field}")
        if not one.get("namespaces") and not one.get("clusterScope"):
            sentence = "resource rules that are not cluster scoped must supply at least one namespace"
            yield FieldError.required(here + ".namespaces", sentence)
    for i, one in enumerate(rule.get("nonResourceRules") or ()):
        for field in ("verbs", "nonResourceURLs"):
            if not one.get(field):
                yield FieldError.required(f"{path}.nonResourceRules[{i}].{field}")


def schema_cells(schema: Object, now: datetime) -> list[Any]:
    spec = schema["spec"]
    dangling = condition((schema.get("status") or {}).get("conditions"), "Dangling")
    missing = "?" if dangling is None else dangling.get("status", "?")
    return [
        name_of(schema), (spec.get("priorityLevelConfiguration") or {}).get("name", ""), spec.get("matchingPrecedence", 0),
        (spec.get("distinguisherMethod") or {}).get("type") or printing.NONE, printing.age(schema, now), missing,
    ]  # fmt: skip


FLOW_SCHEMA_STRATEGY = Strategy(
    resource=FLOW_SCHEMAS,
    default=default_schema,
    prepare_for_create=replicas.starts_with_status(),
    validate=validate_schema,
    bumps_generation=True,
    has_status=True,
    columns=(
        NAME, Column("PriorityLevel"), Column("MatchingPrecedence"), Column("DistinguisherMethod"), AGE, Column("MissingPL"),
    ),
    cells=schema_cells,
)  # fmt: skip


def default_level(level: Object) -> None:
    spec = level.setdefault("spec", {})
    if spec.get("exempt") is not None:
        spec["exempt"].setdefault("nominalConcurrencyShares", 0)
        spec["exempt"].setdefault("lendablePercent", 0)
    limited = spec.get("limited")
    if limited is not None:
        limited.setdefault("nominalConcurrencyShares", 30)
        limited.setdefault("lendablePercent", 0)
        queuing: Object | None = (limited.get("limitResponse") or {}).get("queuing")
        if queuing is not None:
            for field, value in _QUEUING:
                if not queuing.get(field):
                    queuing[field] = value


def validate_level(level: Object) -> Iterator[FieldError]:
    spec = level["spec"]
    type_, limited, exempt = spec.get("type", ""), spec.get("limited"), spec.get("exempt")
    if type_ == "Exempt":
        if limited is not None:
            yield FieldError.forbidden("spec.limited", "must be nil if the type is not Limited")
    elif type_ == "Limited":
        if exempt is not None:
            yield FieldError.forbidden("spec.exempt", "must be nil if the type is Limited")
        if limited is None:
            yield FieldError.required("spec.limited", "must not be empty when type is Limited")
        else:
            yield from _validate_limited(limited, "spec.limited")
    else:
        yield FieldError.not_supported("spec.type", type_, ("Exempt", "Limited"))


def _validate_limited(limited: Object, path: str) -> Iterator[FieldError]:
    shares, lendable, borrowing = (
        limited.get(name) for name in ("nominalConcurrencyShares", "lendablePercent", "borrowingLimitPercent")
    )
    if shares is not None and shares < 0:
        yield FieldError.invalid(path + ".nominalConcurrencyShares", shares, "must be a non-negative integer")
    if lendable is not None and not 0 <= lendable <= 100:
        yield FieldError.invalid(path + ".lendablePercent", lendable, "must be between 0 and 100, inclusive")
    if borrowing is not None and borrowing < 0:
        yield FieldError.invalid(path + ".borrowingLimitPercent", borrowing, "if specified, must be a non-negative integer")
    response = limited.get("limitResponse") or {}
    path += ".limitResponse"
    yield from checks.one_of(response.get("type", ""), ("Queue", "Reject"), path + ".type")
    queuing = response.get("queuing")
    if response.get("type") == "Reject" and queuing is not None:
        yield FieldError.forbidden(path + ".queuing", "must be nil if limited.limitResponse.type is not Limited")
    elif response.get("type") == "Queue":
        if queuing is None:
            yield FieldError.required(path + ".queuing", "must not be empty if limited.limitResponse.type is Limited")
        else:
            yield from _validate_queuing(queuing, path + ".queuing")


def _validate_queuing(queuing: Object, path: str) -> Iterator[FieldError]:
    queues, hand, length = (queuing.get(name, 0) for name, _ in _QUEUING)
    if length <= 0:
        yield FieldError.invalid(path + ".queueLengthLimit", length, "must be positive")
    if queues <= 0:
        yield FieldError.invalid(path + ".queues", queues, "must be positive")
    elif queues > _QUEUES_MAX:
        yield FieldError.invalid(path + ".queues", queues, f"must not be greater than {_QUEUES_MAX}")
    if hand <= 0:
        yield FieldError.invalid(path + ".handSize", hand, "must be positive")
    elif hand > queues:
        yield FieldError.invalid(path + ".handSize", hand, f"should not be greater than queues ({queues})")
    elif math.ceil(math.log2(queues) * hand) > _HASH_BITS:
        sentence = f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {_HASH_BITS}"
        yield FieldError.invalid(path + ".handSize", hand, sentence)


def level_cells(level: Object, now: datetime) -> list[Any]:
    spec = level["spec"]
    part = spec.get("limited") or spec.get("exempt") or {}
    queuing = (part.get("limitResponse") or {}).get("queuing")
    queues = [queuing.get(field, 0) for field, _ in _QUEUING] if queuing is not None else [printing.NONE] * 3
    shares = part.get("nominalConcurrencyShares", printing.NONE)
    return [name_of(level), spec.get("type", ""), shares, *queues, printing.age(level, now)]


PRIORITY_LEVEL_STRATEGY = Strategy(
    resource=PRIORITY_LEVEL_CONFIGURATIONS,
    default=default_level,
    prepare_for_create=replicas.starts_with_status(),
    validate=validate_level,
    bumps_generation=True,
    has_status=True,
    columns=(
        NAME, Column("Type"), Column("NominalConcurrencyShares"), Column("Queues"), Column("HandSize"),
        Column("QueueLengthLimit"), AGE,
    ),
    cells=level_cells,
)  # fmt: skip
