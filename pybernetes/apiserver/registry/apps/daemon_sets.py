"""DaemonSets."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks, printing, replicas
from pybernetes.apiserver.registry.apps.deployments import is_zero, validate_rolling
from pybernetes.apiserver.registry.core.pod_spec import template
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Context, Strategy
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, annotations_of, name_of
from pybernetes.machinery.resources import DAEMON_SETS

# A field of older versions, which the API still shows as an annotation.
TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
_REQUIRED_COUNTS = ("currentNumberScheduled", "desiredNumberScheduled", "numberMisscheduled", "numberReady")
_COUNTS = (
    *_REQUIRED_COUNTS, "observedGeneration", "updatedNumberScheduled", "numberAvailable", "numberUnavailable",
    "collisionCount",
)  # fmt: skip


def default(daemon_set: Object) -> None:
    spec = daemon_set.setdefault("spec", {})
    template.set_template(spec)
    strategy = spec.setdefault("updateStrategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", 1)
        rolling.setdefault("maxSurge", 0)
    spec.setdefault("revisionHistoryLimit", 10)


def prepare_for_create(_: Context, daemon_set: Object) -> None:
    daemon_set["status"] = dict.fromkeys(_REQUIRED_COUNTS, 0)
    _set_template_generation(daemon_set, 1)


def prepare_for_update(_: Context, new: Object, old: Object) -> None:
    generation = annotations_of(old).get(TEMPLATE_GENERATION, "1")
    changed = new["spec"]["template"] != old["spec"]["template"]
    _set_template_generation(new, int(generation) + changed if generation.isdigit() else 1)


def _set_template_generation(daemon_set: Object, generation: int) -> None:
    metadata = daemon_set["metadata"]
    metadata["annotations"] = {**(metadata.get("annotations") or {}), TEMPLATE_GENERATION: str(generation)}


def validate(daemon_set: Object) -> Iterator[FieldError]:
    spec = daemon_set["spec"]
    selector = spec.get("selector")
    yield from checks.label_selector(selector, "spec.selector")
    if selector is not None and checks.is_empty_selector(selector):
        yield checks.invalid_selector("spec.selector", selector, "empty selector is invalid for daemonset")
    yield from template.validate_for_selector(spec["template"], selector, "spec.template", "DaemonSet")
    for field in ("minReadySeconds", "revisionHistoryLimit"):
        yield from checks.not_negative(spec.get(field), f"spec.{field}")
    yield from _validate_strategy(spec.get("updateStrategy") or {}, "spec.updateStrategy")


def _validate_strategy(strategy: Object, path: str) -> Iterator[FieldError]:
    type_, rolling = strategy.get("type", ""), strategy.get("rollingUpdate")
    if type_ == "OnDelete":
        return
    if type_ != "RollingUpdate":
        yield FieldError.not_supported(path, {"Type": type_, "RollingUpdate": None}, ("RollingUpdate", "OnDelete"))
    elif rolling is None:
        yield FieldError.required(path + ".rollingUpdate")
    else:
        path += ".rollingUpdate"
        yield from validate_rolling(rolling, path)
        for field in ("maxUnavailable", "maxSurge"):
            yield from checks.at_most_100_percent(rolling.get(field, 0), f"{path}.{field}")
        unavailable, surge = not is_zero(rolling.get("maxUnavailable")), not is_zero(rolling.get("maxSurge"))
        if unavailable and surge:
            sentence = "may not be set when maxUnavailable is non-zero"
            yield FieldError.invalid(path + ".maxSurge", rolling["maxSurge"], sentence)
        elif not unavailable and not surge:
            yield FieldError.required(path + ".maxUnavailable", "cannot be 0 when maxSurge is 0")


def validate_status_update(new: Object, _: Object) -> Iterator[FieldError]:
    yield from replicas.validate_counts(new, _COUNTS)


def cells(daemon_set: Object, now: datetime) -> list[Any]:
    spec, status = daemon_set["spec"], daemon_set.get("status") or {}
    return [
        name_of(daemon_set), status.get("desiredNumberScheduled", 0), status.get("currentNumberScheduled", 0),
        status.get("numberReady", 0), status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0),
        printing.joined_labels((spec["template"].get("spec") or {}).get("nodeSelector")), printing.age(daemon_set, now),
        *replicas.wide_cells(daemon_set),
    ]  # fmt: skip


STRATEGY = Strategy(
    resource=DAEMON_SETS,
    default=default,
    prepare_for_create=prepare_for_create,
    prepare_for_update=prepare_for_update,
    validate=validate,
    validate_update=replicas.validate_same_selector,
    bumps_generation=True,
    has_status=True,
    validate_status_update=validate_status_update,
    columns=(
        NAME, Column("Desired", "integer"), Column("Current", "integer"), Column("Ready", "integer"),
        Column("Up-to-date", "integer"), Column("Available", "integer"), Column("Node Selector"), AGE, *replicas.WIDE_COLUMNS,
    ),
    cells=cells,
)  # fmt: skip
