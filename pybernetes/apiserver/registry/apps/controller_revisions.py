"""ControllerRevisions: the history of a StatefulSet's or DaemonSet's template."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks, printing
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Strategy
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, controller_of, name_of, parse_api_version
from pybernetes.machinery.resources import CONTROLLER_REVISIONS


def validate(revision: Object) -> Iterator[FieldError]:
    if revision.get("data") is None:
        yield FieldError.required("data", "data is mandatory")
    yield from checks.not_negative(revision.get("revision"), "revision")


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from checks.immutable(new.get("data"), old.get("data"), "data")


def cells(revision: Object, now: datetime) -> list[Any]:
    owner, shown = controller_of(revision), printing.NONE
    if owner is not None:
        group, _ = parse_api_version(owner.get("apiVersion", ""))
        kind = owner.get("kind", "").lower()
        shown = f"{kind}.{group}/{owner.get('name', '')}" if group else f"{kind}/{owner.get('name', '')}"
    return [name_of(revision), shown, revision.get("revision", 0), printing.age(revision, now)]


STRATEGY = Strategy(
    resource=CONTROLLER_REVISIONS,
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("Controller"), Column("Revision"), AGE),
    cells=cells,
)
