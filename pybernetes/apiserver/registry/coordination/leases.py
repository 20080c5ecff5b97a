"""Leases: heartbeats of nodes, and who leads (KEP-589)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks, printing
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Strategy
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.resources import LEASES


def default(lease: Object) -> None:
    lease.setdefault("spec", {})


def validate(lease: Object) -> Iterator[FieldError]:
    spec = lease["spec"]
    seconds = spec.get("leaseDurationSeconds")
    if seconds is not None and seconds <= 0:
        yield FieldError.invalid("spec.leaseDurationSeconds", seconds, checks.POSITIVE)
    yield from checks.not_negative(spec.get("leaseTransitions"), "spec.leaseTransitions")
    if spec.get("preferredHolder") and not spec.get("strategy"):
        sentence = "cannot be set if strategy is not set"
        yield FieldError.forbidden("spec.preferredHolder", sentence)


def cells(lease: Object, now: datetime) -> list[Any]:
    return [name_of(lease), lease["spec"].get("holderIdentity") or "", printing.age(lease, now)]


STRATEGY = Strategy(
    resource=LEASES,
    default=default,
    validate=validate,
    creates_on_update=True,
    columns=(NAME, Column("Holder"), AGE),
    cells=cells,
)
