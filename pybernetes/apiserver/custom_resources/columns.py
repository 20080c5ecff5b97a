"""Printer columns of custom resources: `additionalPrinterColumns`, else the age.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#additional-printer-columns
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from pybernetes.apiserver.registry.strategy import NAME, Column
from pybernetes.machinery.jsonpath import Malformed, compile_path
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.table import since

DEFAULT: Final[Sequence[Object]] = (
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
)  # fmt: skip

Cells = Callable[[Object, datetime], list[Any]]


def columns(given: Sequence[Object] | None) -> tuple[Column, ...]:
    return (
        NAME,
        *(
            Column(
                column["name"],
                column["type"],
                column.get("format", ""),
                column.get("priority", 0),
                column.get("description", ""),
            )
            for column in _usable(given)
        ),
    )


def cells(given: Sequence[Object] | None) -> Cells:
    """What is shown: nothing (null) where a path leads nowhere, the first value where it leads to several."""
    readers = [(compile_path(column["jsonPath"]), _PRINTERS[column["type"]]) for column in _usable(given)]

    def read(obj: Object, now: datetime) -> list[Any]:
        found: list[Any] = [name_of(obj)]
        for path, shown in readers:
            values = path(obj)
            found.append(shown(values[0], now) if values else None)
        return found

    return read


def _text(value: Any, _: datetime) -> Any:
    if isinstance(value, str):
        return value
    if value is None:
        return None
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _integer(value: Any, _: datetime) -> Any:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _number(value: Any, _: datetime) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _boolean(value: Any, _: datetime) -> Any:
    return value if isinstance(value, bool) else None


def _date(value: Any, now: datetime) -> Any:
    if not isinstance(value, str):
        return None
    try:
        return since(value, now)
    except ValueError:
        return "<invalid>"


_PRINTERS: Final[dict[str, Callable[[Any, datetime], Any]]] = {
    "string": _text, "integer": _integer, "number": _number, "boolean": _boolean, "date": _date,
}  # fmt: skip


def _usable(given: Sequence[Object] | None) -> Sequence[Object]:
    """A path that is none is found out when it is used, as upstream; it then shows the age alone."""
    try:
        for column in given or ():
            compile_path(column["jsonPath"])
    except Malformed:
        return DEFAULT
    return given or DEFAULT
