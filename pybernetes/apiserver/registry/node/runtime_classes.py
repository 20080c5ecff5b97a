"""RuntimeClasses (KEP-585)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks, printing
from pybernetes.apiserver.registry.core.pod_spec import resources as resource_checks
from pybernetes.apiserver.registry.core.pod_spec import scheduling
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Strategy
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.resources import RUNTIME_CLASSES


def validate(runtime_class: Object) -> Iterator[FieldError]:
    yield from checks.invalid_by("handler", runtime_class.get("handler", ""), validation.dns_1123_label_errors)
    overhead = (runtime_class.get("overhead") or {}).get("podFixed")
    if overhead:
        yield from resource_checks.validate_requirements({"limits": overhead}, "overhead")
    place = runtime_class.get("scheduling")
    if place:
        yield from checks.label_map(place.get("nodeSelector"), "scheduling.nodeSelector")
        yield from scheduling.validate_tolerations(place.get("tolerations") or [], "scheduling.tolerations")


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from checks.immutable(new.get("handler"), old.get("handler"), "handler")


def cells(runtime_class: Object, now: datetime) -> list[Any]:
    return [name_of(runtime_class), runtime_class.get("handler", ""), printing.age(runtime_class, now)]


STRATEGY = Strategy(
    resource=RUNTIME_CLASSES,
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("Handler"), AGE),
    cells=cells,
)
