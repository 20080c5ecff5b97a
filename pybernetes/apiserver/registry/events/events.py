"""Events of `events.k8s.io/v1`: the core group's Events under other names (KEP-383); stored as those."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry.core import events as core_events
from pybernetes.apiserver.registry.strategy import Strategy
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object
from pybernetes.machinery.resources import EVENTS_K8S_IO

_NAMES = {  # here -> in the core group
    "reportingController": "reportingComponent",
    "regarding": "involvedObject",
    "note": "message",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
_CORE_NAMES = {core: here for here, core in _NAMES.items()}


def default(event: Object) -> None:
    for field in ("eventTime", "deprecatedFirstTimestamp", "deprecatedLastTimestamp"):
        event.setdefault(field, None)
    for field in ("deprecatedSource", "regarding"):
        event.setdefault(field, {})


def to_storage(_: str, event: Object) -> Object:
    converted = {_NAMES.get(field, field): value for field, value in event.items()}
    converted["apiVersion"] = "v1"
    core_events.default(converted)
    return converted


def from_storage(_: str, event: Object) -> Object:
    converted = {_CORE_NAMES.get(field, field): value for field, value in event.items()}
    converted["apiVersion"] = EVENTS_K8S_IO.api_version
    for field in ("reportingController", "reportingInstance"):  # left out here where they are empty
        if not converted.get(field):
            converted.pop(field, None)
    default(converted)
    return converted


def validate(event: Object) -> Iterator[FieldError]:
    yield from core_events.validate(to_storage("", event))


def validate_create(event: Object) -> Iterator[FieldError]:
    """New events must be whole; what only old ones have may not be set."""
    if not event.get("eventTime"):
        yield FieldError.required("eventTime")
    if event.get("type") not in ("Normal", "Warning"):
        yield FieldError.invalid("type", "", f"has invalid value: {event.get('type', '')}")
    for field in ("deprecatedFirstTimestamp", "deprecatedLastTimestamp", "deprecatedCount", "deprecatedSource"):
        if event.get(field):
            yield FieldError.invalid(_NAMES[field], "", "needs to be unset")


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    """An event is history: only its series goes on."""
    for field in ("eventTime", "reason", "action", "regarding", "related", "note", "type", "reportingController"):
        if new.get(field) != old.get(field):
            yield FieldError.invalid(_NAMES.get(field, field), new.get(field), "field is immutable")


def cells(event: Object, now: datetime) -> list[Any]:
    return core_events.cells(to_storage("", event), now)


def _regarding(field: str) -> Callable[[Object], str]:
    return lambda event: (event.get("regarding") or {}).get(field, "")


def _field(name: str) -> Callable[[Object], str]:
    return lambda event: event.get(name, "")


STRATEGY = Strategy(
    resource=EVENTS_K8S_IO,
    storage_path="events",
    to_storage=to_storage,
    from_storage=from_storage,
    default=default,
    validate=validate,
    validate_create=validate_create,
    validate_update=validate_update,
    creates_on_update=True,
    selectable_fields={
        **{f"regarding.{field}": _regarding(field) for field in core_events.ABOUT_FIELDS},
        "reason": _field("reason"),
        "reportingController": _field("reportingController"),
        "type": _field("type"),
    },
    columns=core_events.COLUMNS,
    cells=cells,
)
