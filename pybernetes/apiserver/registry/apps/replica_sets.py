"""ReplicaSets."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks, printing, replicas
from pybernetes.apiserver.registry.core.pod_spec import template
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Strategy
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.resources import REPLICA_SETS

_COUNTS = (
    "replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "terminatingReplicas", "observedGeneration",
)  # fmt: skip


def default(replica_set: Object) -> None:
    spec = replica_set.setdefault("spec", {})
    template.set_template(spec)
    spec.setdefault("replicas", 1)


def validate(replica_set: Object) -> Iterator[FieldError]:
    spec = replica_set["spec"]
    for field in ("replicas", "minReadySeconds"):
        yield from checks.not_negative(spec.get(field), f"spec.{field}")
    # Upstream's sentence names the other kind.
    yield from replicas.validate_selector(spec.get("selector"), "deployment")
    yield from template.validate_for_selector(spec["template"], spec.get("selector"), "spec.template", "ReplicaSet")


def validate_status_update(new: Object, _: Object) -> Iterator[FieldError]:
    status = new.get("status") or {}
    yield from replicas.validate_counts(new, _COUNTS)
    yield from replicas.validate_not_above(status, ("fullyLabeledReplicas", "readyReplicas", "availableReplicas"), "replicas")
    yield from replicas.validate_not_above(status, ("availableReplicas",), "readyReplicas", "readyReplicas")


def cells(replica_set: Object, now: datetime) -> list[Any]:
    spec, status = replica_set["spec"], replica_set.get("status") or {}
    return [
        name_of(replica_set), spec.get("replicas", 0), status.get("replicas", 0), status.get("readyReplicas", 0),
        printing.age(replica_set, now), *replicas.wide_cells(replica_set),
    ]  # fmt: skip


STRATEGY = Strategy(
    resource=REPLICA_SETS,
    default=default,
    prepare_for_create=replicas.starts_with_status(replicas=0),
    validate=validate,
    validate_update=replicas.validate_same_selector,
    bumps_generation=True,
    has_status=True,
    validate_status_update=validate_status_update,
    scale=replicas.SCALE,
    selectable_fields={"status.replicas": lambda obj: str((obj.get("status") or {}).get("replicas", 0))},
    columns=(
        NAME, Column("Desired", "integer"), Column("Current", "integer"), Column("Ready", "integer"), AGE,
        *replicas.WIDE_COLUMNS,
    ),
    cells=cells,
)  # fmt: skip
