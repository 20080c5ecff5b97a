"""PriorityClasses."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks, printing
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Strategy
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.resources import PRIORITY_CLASSES

USER_MAX = 1_000_000_000
SYSTEM_CLASSES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
POLICIES = ("PreemptLowerPriority", "Never")


def default(priority_class: Object) -> None:
    priority_class.setdefault("preemptionPolicy", "PreemptLowerPriority")


def validate(priority_class: Object) -> Iterator[FieldError]:
    name, value = name_of(priority_class), priority_class.get("value", 0)
    if name.startswith("system-"):
        problem = _system_problem(priority_class, name, value)
        if problem:
            reserved = "priority class names with 'system-' prefix are reserved for system use only"
            yield FieldError.forbidden("metadata.name", f"{reserved}. error: {problem}")
    elif value > USER_MAX:
        yield FieldError.forbidden("value", f"maximum allowed value of a user defined priority is {USER_MAX}")
    policy = priority_class.get("preemptionPolicy")
    if policy is not None:
        yield from checks.one_of(policy, POLICIES, "preemptionPolicy")


def _system_problem(priority_class: Object, name: str, value: int) -> str:
    if name not in SYSTEM_CLASSES:
        return f"{name} is not a known system priority class"
    if value != SYSTEM_CLASSES[name]:
        return f"value of {name} PriorityClass must be {SYSTEM_CLASSES[name]}"
    if priority_class.get("globalDefault"):
        return f"globalDefault of {name} PriorityClass must be false"
    return ""


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    if new.get("value") != old.get("value"):
        yield FieldError.forbidden("value", "may not be changed in an update.")
    yield from checks.immutable(new.get("preemptionPolicy"), old.get("preemptionPolicy"), "preemptionPolicy")


def cells(priority_class: Object, now: datetime) -> list[Any]:
    return [
        name_of(priority_class), priority_class.get("value", 0), bool(priority_class.get("globalDefault")),
        printing.age(priority_class, now), priority_class.get("preemptionPolicy") or "",
    ]  # fmt: skip


STRATEGY = Strategy(
    resource=PRIORITY_CLASSES,
    default=default,
    validate=validate,
    validate_update=validate_update,
    bumps_generation=True,
    columns=(NAME, Column("Value", "integer"), Column("Global-Default", "boolean"), AGE, Column("PreemptionPolicy")),
    cells=cells,
)
