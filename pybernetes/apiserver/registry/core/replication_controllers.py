"""ReplicationControllers: what ReplicaSets were before selectors had expressions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks, printing, replicas
from pybernetes.apiserver.registry.core.pod_spec import template
from pybernetes.apiserver.registry.replicas import SCALE_BY_MAP, WIDE_COLUMNS
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Strategy
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.resources import REPLICATION_CONTROLLERS

_COUNTS = ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration")


def default(controller: Object) -> None:
    spec = controller.setdefault("spec", {})
    if spec.get("template") is not None:
        template.set_template(spec)
        labels = spec["template"]["metadata"].get("labels")
        if labels:
            if not spec.get("selector"):
                spec["selector"] = dict(labels)
            if not controller["metadata"].get("labels"):
                controller["metadata"]["labels"] = dict(labels)
    spec.setdefault("replicas", 1)


def validate(controller: Object) -> Iterator[FieldError]:
    spec = controller["spec"]
    yield from checks.not_negative(spec.get("minReadySeconds"), "spec.minReadySeconds")
    selector = spec.get("selector") or {}
    if not selector:
        yield FieldError.required("spec.selector")
    yield from checks.not_negative(spec.get("replicas"), "spec.replicas")
    if spec.get("template") is None:
        yield FieldError.required("spec.template")
        return
    if selector:
        yield from template.mismatch(spec["template"], {"matchLabels": selector}, "spec.template")
    yield from template.validate_template(spec["template"], "spec.template", "ReplicationController")


def validate_status_update(new: Object, _: Object) -> Iterator[FieldError]:
    status = new.get("status") or {}
    yield from replicas.validate_counts(new, _COUNTS)
    yield from replicas.validate_not_above(status, ("fullyLabeledReplicas", "readyReplicas", "availableReplicas"), "replicas")
    yield from replicas.validate_not_above(status, ("availableReplicas",), "readyReplicas", "readyReplicas")


def cells(controller: Object, now: datetime) -> list[Any]:
    spec, status = controller["spec"], controller.get("status") or {}
    containers, images = printing.container_cells(spec.get("template") or {})
    return [
        name_of(controller), spec.get("replicas", 0), status.get("replicas", 0), status.get("readyReplicas", 0),
        printing.age(controller, now), containers, images, printing.joined_labels(spec.get("selector")),
    ]  # fmt: skip


STRATEGY = Strategy(
    resource=REPLICATION_CONTROLLERS,
    storage_path="controllers",
    default=default,
    prepare_for_create=replicas.starts_with_status(replicas=0),
    validate=validate,
    bumps_generation=True,
    has_status=True,
    validate_status_update=validate_status_update,
    scale=SCALE_BY_MAP,
    default_garbage_policy="Orphan",
    selectable_fields={"status.replicas": lambda obj: str((obj.get("status") or {}).get("replicas", 0))},
    columns=(
        NAME, Column("Desired", "integer"), Column("Current", "integer"), Column("Ready", "integer"), AGE, *WIDE_COLUMNS,
    ),
    cells=cells,
)  # fmt: skip
