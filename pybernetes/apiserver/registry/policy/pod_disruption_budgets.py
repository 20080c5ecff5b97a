"""PodDisruptionBudgets."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks, printing, replicas
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Strategy
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.resources import POD_DISRUPTION_BUDGETS

_COUNTS = ("currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods")
_GO_SPEC = {"MinAvailable": None, "Selector": None, "MaxUnavailable": None, "UnhealthyPodEvictionPolicy": None}


def default(budget: Object) -> None:
    budget.setdefault("spec", {})


def validate(budget: Object) -> Iterator[FieldError]:
    spec = budget["spec"]
    both = all(spec.get(field) is not None for field in ("minAvailable", "maxUnavailable"))
    if both:
        sentence = "minAvailable and maxUnavailable cannot be both set"
        yield checks.invalid_struct("spec", spec, _GO_SPEC, sentence)
    for field in ("minAvailable", "maxUnavailable"):
        if spec.get(field) is not None:
            yield from checks.int_or_percent(spec[field], f"spec.{field}")
            yield from checks.at_most_100_percent(spec[field], f"spec.{field}")
    yield from checks.label_selector(spec.get("selector"), "spec.selector")
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy is not None:
        yield from checks.one_of(policy, ("AlwaysAllow", "IfHealthyBudget"), "spec.unhealthyPodEvictionPolicy")


def validate_status_update(new: Object, _: Object) -> Iterator[FieldError]:
    yield from replicas.validate_counts(new, _COUNTS)


def cells(budget: Object, now: datetime) -> list[Any]:
    spec, status = budget["spec"], budget.get("status") or {}
    shown = ["N/A" if spec.get(field) is None else str(spec[field]) for field in ("minAvailable", "maxUnavailable")]
    return [name_of(budget), *shown, status.get("disruptionsAllowed", 0), printing.age(budget, now)]


STRATEGY = Strategy(
    resource=POD_DISRUPTION_BUDGETS,
    default=default,
    prepare_for_create=replicas.starts_with_status(**dict.fromkeys(_COUNTS, 0)),
    validate=validate,
    bumps_generation=True,
    has_status=True,
    validate_status_update=validate_status_update,
    columns=(NAME, Column("Min Available"), Column("Max Unavailable"), Column("Allowed Disruptions", "integer"), AGE),
    cells=cells,
)
