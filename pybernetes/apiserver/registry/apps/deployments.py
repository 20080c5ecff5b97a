"""Deployments."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks, printing, replicas
from pybernetes.apiserver.registry.core.pod_spec import template
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Strategy
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.resources import DEPLOYMENTS

_COUNTS = (
    "observedGeneration", "replicas", "updatedReplicas", "terminatingReplicas", "readyReplicas", "availableReplicas",
    "unavailableReplicas", "collisionCount",
)  # fmt: skip


def default(deployment: Object) -> None:
    spec = deployment.setdefault("spec", {})
    template.set_template(spec)
    spec.setdefault("replicas", 1)
    strategy = spec.setdefault("strategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)


def validate(deployment: Object) -> Iterator[FieldError]:
    spec = deployment["spec"]
    yield from checks.not_negative(spec.get("replicas"), "spec.replicas")
    yield from replicas.validate_selector(spec.get("selector"), "deployment")
    yield from template.validate_for_selector(spec["template"], spec.get("selector"), "spec.template", "ReplicaSet")
    yield from _validate_strategy(spec.get("strategy") or {})
    for field in ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
        yield from checks.not_negative(spec.get(field), f"spec.{field}")
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= spec.get("minReadySeconds", 0):
        yield FieldError.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")


def _validate_strategy(strategy: Object) -> Iterator[FieldError]:
    type_, rolling, path = strategy.get("type", ""), strategy.get("rollingUpdate"), "spec.strategy"
    if type_ == "Recreate":
        if rolling is not None:
            sentence = "may not be specified when strategy `type` is 'Recreate'"
            yield FieldError.forbidden(path + ".rollingUpdate", sentence)
    elif type_ == "RollingUpdate":
        if rolling is None:
            yield FieldError.required(path + ".rollingUpdate", "this should be defaulted and never be nil")
            return
        yield from validate_rolling(rolling, path + ".rollingUpdate")
        if is_zero(rolling.get("maxUnavailable")) and is_zero(rolling.get("maxSurge")):
            value = rolling.get("maxUnavailable")
            yield FieldError.invalid(path + ".rollingUpdate.maxUnavailable", value, "may not be 0 when `maxSurge` is 0")
        yield from checks.at_most_100_percent(rolling["maxUnavailable"], path + ".rollingUpdate.maxUnavailable")
    else:
        yield FieldError.not_supported(path, {"Type": type_, "RollingUpdate": None}, ("Recreate", "RollingUpdate"))


def validate_rolling(rolling: Object, path: str) -> Iterator[FieldError]:
    for field in ("maxUnavailable", "maxSurge"):
        if rolling.get(field) is not None:
            yield from checks.int_or_percent(rolling[field], f"{path}.{field}")


def is_zero(value: int | str | None) -> bool:
    return value in (None, 0) or (isinstance(value, str) and checks.percent_of(value) == 0)


def validate_status_update(new: Object, old: Object) -> Iterator[FieldError]:
    status = new.get("status") or {}
    yield from replicas.validate_counts(new, _COUNTS)
    yield from replicas.validate_not_above(status, ("updatedReplicas", "readyReplicas", "availableReplicas"), "replicas")
    yield from replicas.validate_not_above(status, ("availableReplicas",), "readyReplicas", "readyReplicas")
    count, before = status.get("collisionCount"), (old.get("status") or {}).get("collisionCount")
    if before is not None and (count is None or count < before):
        yield FieldError.invalid("status.collisionCount", count or 0, "cannot be decremented")


def cells(deployment: Object, now: datetime) -> list[Any]:
    spec, status = deployment["spec"], deployment.get("status") or {}
    return [
        name_of(deployment), f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}", status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0), printing.age(deployment, now), *replicas.wide_cells(deployment),
    ]  # fmt: skip


STRATEGY = Strategy(
    resource=DEPLOYMENTS,
    default=default,
    prepare_for_create=replicas.starts_with_status(),
    validate=validate,
    validate_update=replicas.validate_same_selector,
    bumps_generation=True,
    has_status=True,
    validate_status_update=validate_status_update,
    scale=replicas.SCALE,
    columns=(NAME, Column("Ready"), Column("Up-to-date"), Column("Available"), AGE, *replicas.WIDE_COLUMNS),
    cells=cells,
)
