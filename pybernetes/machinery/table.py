"""Objects as they are shown: `Table`, `PartialObjectMetadata`, and durations for people.

Contract: API concepts, "Receiving resources as Tables" and "Metadata-only fetches". Which columns a kind has is the registry's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from pybernetes.machinery.clock import parse_time
from pybernetes.machinery.errors import BadRequest
from pybernetes.machinery.meta import Object

META_V1: Final = "meta.k8s.io/v1"
UNKNOWN: Final = "<unknown>"


class Column(Protocol):
    """One column of a kind's Table; `priority` above 0 shows with `-o wide` alone."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def format(self) -> str: ...
    @property
    def priority(self) -> int: ...
    @property
    def description(self) -> str: ...


def check_include_object(include: str) -> str:
    """The `includeObject` parameter with its default. Raises BadRequest."""
    if include not in ("", "None", "Metadata", "Object"):
        raise BadRequest(
            "Unable to convert to Table as requested: "
            f"includeObject: Invalid value: \"{include}\": must be 'Metadata', 'Object', 'None', or empty"
        )
    return include or "Metadata"


def column_definitions(columns: Iterable[Column]) -> list[Object]:
    return [
        {
            "name": column.name,
            "type": column.type,
            "format": column.format,
            "description": column.description,
            "priority": column.priority,
        }
        for column in columns
    ]


def row(obj: Object, cells: Sequence[Any], include: str = "Metadata", *, api_version: str = META_V1) -> Object:
    """One row, with as much of its object as `include` says (None, Metadata, Object)."""
    shown = None if include == "None" else obj if include == "Object" else partial_metadata(obj, api_version=api_version)
    return {"cells": list(cells), "object": shown}


def build(
    columns: Iterable[Column], rows: Sequence[Object], metadata: Mapping[str, Any], *, api_version: str = META_V1
) -> Object:
    """A Table; `metadata` is the list's (resourceVersion, continue). A watch gives columns with its first event alone."""
    return {
        "kind": "Table",
        "apiVersion": api_version,
        "metadata": dict(metadata),
        "columnDefinitions": column_definitions(columns),
        "rows": list(rows),
    }


def partial_metadata(obj: Object, *, api_version: str = META_V1) -> Object:
    return {"kind": "PartialObjectMetadata", "apiVersion": api_version, "metadata": obj["metadata"]}


def partial_metadata_list(objects: Iterable[Object], metadata: Mapping[str, Any], *, api_version: str = META_V1) -> Object:
    return {
        "kind": "PartialObjectMetadataList",
        "apiVersion": api_version,
        "metadata": dict(metadata),
        "items": [partial_metadata(obj, api_version=api_version) for obj in objects],
    }


def human_duration(elapsed: timedelta) -> str:
    """Two units at most, coarser as time goes on: `5s`, `3m20s`, `47h`, `8d`, `2y3d`.

    A second into the future is clocks that differ (`0s`); more than that is `<invalid>`.
    """
    seconds = int(elapsed.total_seconds())
    if seconds < -1:
        return "<invalid>"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 2 * 60:
        return f"{max(seconds, 0)}s"
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if minutes < 3 * 60:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 2 * 365:
        return f"{days}d"
    if days < 8 * 365:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"


def since(moment: str | None, now: datetime) -> str:
    """How long ago an RFC 3339 time was: the cell of an Age column."""
    return human_duration(now - parse_time(moment)) if moment else UNKNOWN
