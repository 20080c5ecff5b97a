"""Answers in the shape that was asked for: the object itself, a Table of it, or its metadata alone; JSON, YAML or protobuf.

Source: API concepts, "Receiving resources as Tables", "Metadata-only fetches".
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson

from pybernetes.apiserver.registry.kinds import Kind
from pybernetes.apiserver.registry.printing import age
from pybernetes.apiserver.requests import JSON, PROTOBUF, YAML, Format
from pybernetes.machinery.codec import encode_yaml
from pybernetes.machinery.errors import NotAcceptable
from pybernetes.machinery.http.messages import Response
from pybernetes.machinery.meta import Object
from pybernetes.store.interface import Entry, Revision

# The media types that carry a text other than JSON are few; everything goes out as one of these.
_HEADERS_JSON = {"Content-Type": JSON, "Cache-Control": "no-cache, private"}


def respond(status: int, body: bytes, warnings: Sequence[str] = (), media: str = JSON) -> Response:
    headers = dict(_HEADERS_JSON)
    if media != JSON:
        headers["Content-Type"] = media
    if warnings:
        headers["Warning"] = ", ".join(warning_value(text) for text in dict.fromkeys(warnings))
    return Response(status, headers, body)


def respond_object(status: int, obj: Object, format_: Format, warnings: Sequence[str] = ()) -> Response:
    """An answer that is no stored object (a Status, a review, a Scale): always itself."""
    return respond(status, encoded(obj, format_.media), warnings, format_.media)


def encoded(obj: Object, media: str) -> bytes:
    if media == PROTOBUF:
        from pybernetes.machinery import protobuf_encoding

        return protobuf_encoding.encode(obj)
    return encode_yaml(obj) if media == YAML else orjson.dumps(obj)


def warning_value(text: str) -> str:
    """A `Warning` header's value (RFC 7234, section 5.5): miscellaneous, from nobody in particular."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{escaped}"'


def partial_metadata(obj: Object, version: str = "v1") -> Object:
    return {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}", "metadata": obj["metadata"]}


def column_definitions(kind: Kind) -> list[Object]:
    return [
        {
            "name": column.name, "type": column.type, "format": column.format,
            "description": column.description, "priority": column.priority,
        }
        for column in kind.strategy.columns
    ]  # fmt: skip


def row(kind: Kind, obj: Object, now: datetime, include: str, version: str = "v1") -> Object:
    cells = kind.strategy.cells
    found: list[Any] = cells(obj, now) if cells else [obj["metadata"].get("name", ""), _created(kind, obj, now)]
    made: Object = {"cells": found}
    if include == "Object":
        made["object"] = obj
    elif include != "None":
        made["object"] = partial_metadata(obj, version)
    else:
        made["object"] = None
    return made


def _created(kind: Kind, obj: Object, now: datetime) -> Any:
    if kind.strategy.columns[-1].name == "Age":
        return age(obj, now)
    return obj["metadata"].get("creationTimestamp")


def table(kind: Kind, rows: Sequence[Object], metadata: Object, version: str = "v1", *, columns: bool = True) -> Object:
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": metadata,
        "columnDefinitions": column_definitions(kind) if columns else [],
        "rows": list(rows),
    }


def entry_body(
    kind: Kind, entry: Entry, format_: Format, now: datetime, include: str, revision: Revision | None = None
) -> bytes:
    """One stored object in the wanted shape; `revision` where it was deleted."""
    if format_.shape == "object":
        served = kind.served(entry, revision)
        return served if format_.media == JSON else encoded(orjson.loads(served), format_.media)
    obj = kind.object(entry, revision)
    if format_.shape == "partial":
        if format_.of_list:
            raise NotAcceptable(
                "you requested PartialObjectMetadataList, but the requested object is not a list "
                f"(*{kind.resource.group.partition('.')[0] or 'core'}.{kind.resource.kind})"
            )
        return encoded(partial_metadata(obj, format_.version), format_.media)
    metadata = {"resourceVersion": obj["metadata"]["resourceVersion"]}
    return encoded(table(kind, [row(kind, obj, now, include, format_.version)], metadata, format_.version), format_.media)
