"""Events of the core group: what is stored for both groups (`events.k8s.io` is converted in `registry/events`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks
from pybernetes.apiserver.registry.strategy import Column, Strategy
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, name_of, namespace_of
from pybernetes.machinery.resources import EVENTS
from pybernetes.machinery.table import since

CLUSTER_EVENTS = "default"  # the namespace of events about objects that have none
_REASON_MAX, _ACTION_MAX, _INSTANCE_MAX, _NOTE_MAX = 128, 128, 128, 1024

COLUMNS = (
    Column("Last Seen"), Column("Type"), Column("Reason"), Column("Object"), Column("Subobject", priority=1),
    Column("Source", priority=1), Column("Message"), Column("First Seen", priority=1), Column("Count", priority=1),
    Column("Name", format="name", priority=1),
)  # fmt: skip


def default(event: Object) -> None:
    """Go writes these whether they are set or not."""
    for field in ("firstTimestamp", "lastTimestamp", "eventTime"):
        event.setdefault(field, None)
    for field in ("source", "involvedObject"):
        event.setdefault(field, {})
    for field in ("reportingComponent", "reportingInstance"):
        event.setdefault(field, "")


def validate(event: Object) -> Iterator[FieldError]:
    namespace, about = namespace_of(event), (event.get("involvedObject") or {}).get("namespace", "")
    if namespace != about and (about or namespace not in ("", CLUSTER_EVENTS)):
        yield FieldError.invalid("involvedObject.namespace", about, "does not match event.namespace")
    if event.get("eventTime"):
        yield from _validate_new_style(event, "reportingController", "message")


def _validate_new_style(event: Object, controller_field: str, note_field: str) -> Iterator[FieldError]:
    """Events that say when they happened must also say who saw it (KEP-383)."""
    controller, instance = event.get("reportingComponent", ""), event.get("reportingInstance", "")
    if not controller:
        yield FieldError.required(controller_field)
    yield from checks.invalid_by(controller_field, controller, validation.label_key_errors)
    yield from _text("reportingInstance", instance, _INSTANCE_MAX)
    yield from _text("action", event.get("action", ""), _ACTION_MAX)
    yield from _text("reason", event.get("reason", ""), _REASON_MAX)
    if len(event.get("message", "")) > _NOTE_MAX:
        yield FieldError.invalid(note_field, "", f"can have at most {_NOTE_MAX} characters")


def _text(field: str, value: str, limit: int) -> Iterator[FieldError]:
    if not value:
        yield FieldError.required(field)
    if len(value) > limit:
        yield FieldError.invalid(field, "", f"can have at most {limit} characters")


def cells(event: Object, now: datetime) -> list[Any]:
    first = since(event.get("firstTimestamp") or event.get("eventTime"), now)
    last = since(event["lastTimestamp"], now) if event.get("lastTimestamp") else first
    series, count = event.get("series"), event.get("count") or 1
    if series:
        last, count = since(series.get("lastObservedTime"), now), series.get("count", 0)
    about = event.get("involvedObject") or {}
    target = about.get("kind", "").lower() + (f"/{about['name']}" if about.get("name") else "")
    return [
        last, event.get("type", ""), event.get("reason", ""), target, about.get("fieldPath", ""), _source(event),
        event.get("message", "").strip(), first, count, name_of(event),
    ]  # fmt: skip


def _source(event: Object) -> str:
    source = event.get("source") or {}
    component = source.get("component") or event.get("reportingComponent", "")
    host = source.get("host") or event.get("reportingInstance", "")
    return f"{component}, {host}" if host else component


def _about(field: str) -> Callable[[Object], str]:
    return lambda event: (event.get("involvedObject") or {}).get(field, "")


def _field(name: str) -> Callable[[Object], str]:
    return lambda event: event.get(name, "")


def _component(event: Object) -> str:
    component: str = (event.get("source") or {}).get("component") or event.get("reportingComponent", "")
    return component


ABOUT_FIELDS = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")

STRATEGY = Strategy(
    resource=EVENTS,
    default=default,
    validate=validate,
    creates_on_update=True,
    selectable_fields={
        **{f"involvedObject.{field}": _about(field) for field in ABOUT_FIELDS},
        "reason": _field("reason"),
        "reportingComponent": _field("reportingComponent"),
        "source": _component,
        "type": _field("type"),
    },
    columns=COLUMNS,
    cells=cells,
)
