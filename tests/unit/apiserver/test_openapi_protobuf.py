"""The protobuf form of OpenAPI v2, read back field by field (numbers from the public message definitions)."""

from __future__ import annotations

from collections.abc import Iterator

from pybernetes.apiserver.openapi import OpenApi
from pybernetes.apiserver.openapi_protobuf import ACCEPTED, MEDIA_TYPE, encode
from pybernetes.machinery.http.messages import Request


def fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        tag = varint()
        if tag & 7 == 0:
            yield tag >> 3, varint()
            continue
        size = 8 if tag & 7 == 1 else varint()
        yield tag >> 3, data[at : at + size]
        at += size


def at(data: bytes, *path: int) -> list[bytes | int]:
    """All values at a path of field numbers."""
    found: list[bytes | int] = [data]
    for number in path:
        found = [value for each in found if isinstance(each, bytes) for key, value in fields(each) if key == number]
    return found


def test_a_definition_keeps_its_name_properties_types_references_and_extensions() -> None:
    data = encode({
        "swagger": "2.0",
        "info": {"title": "t", "version": "v1"},
        "definitions": {"a.B": {
            "type": "object",
            "required": ["c"],
            "properties": {"c": {"type": "array", "items": {"$ref": "#/definitions/a.D"}, "maxItems": 300}},
            "additionalProperties": {"type": "string"},
            "x-kubernetes-group-version-kind": [{"group": "", "version": "v1", "kind": "B"}],
        }},
    })  # fmt: skip
    assert at(data, 1) == [b"2.0"]
    assert at(data, 2, 2) == [b"v1"]
    assert at(data, 9, 1, 1) == [b"a.B"]
    [schema] = at(data, 9, 1, 2)
    assert isinstance(schema, bytes)
    assert at(schema, 22, 1) == [b"object"]
    assert at(schema, 19) == [b"c"]
    assert at(schema, 25, 1, 1) == [b"c"]
    assert at(schema, 25, 1, 2, 23, 1, 1) == [b"#/definitions/a.D"]
    assert at(schema, 25, 1, 2, 14) == [300]
    assert at(schema, 21, 1, 22, 1) == [b"string"]
    assert at(schema, 31, 1) == [b"x-kubernetes-group-version-kind"]
    assert at(schema, 31, 2, 2) == [b'[{"group":"","version":"v1","kind":"B"}]\n']


def test_an_operation_keeps_its_parameters_where_they_are() -> None:
    parameters = [
        {"name": "dryRun", "in": "query", "type": "string", "uniqueItems": True},
        {"name": "name", "in": "path", "type": "string", "required": True},
        {"name": "body", "in": "body", "schema": {"type": "object"}},
    ]
    operation = {"operationId": "o", "parameters": parameters, "responses": {"200": {"description": "OK"}}}
    data = encode({"paths": {"/api": {"post": operation}}})
    assert at(data, 8, 2, 1) == [b"/api"]
    [found] = at(data, 8, 2, 2, 4)
    assert isinstance(found, bytes)
    assert at(found, 5) == [b"o"]
    assert at(found, 8, 1, 2, 3, 4) == [b"dryRun"]
    assert at(found, 8, 1, 2, 4, 4) == [b"name"]
    assert at(found, 8, 1, 1, 2) == [b"body"]
    assert at(found, 9, 1, 1) == [b"200"]
    assert at(found, 9, 1, 2, 1, 1) == [b"OK"]


async def test_the_document_is_served_as_protobuf_to_who_asks_for_it() -> None:
    answers = [await OpenApi().serve(Request("GET", "/openapi/v2", headers={"accept": media})) for media in ACCEPTED]
    assert [answer.headers["Content-Type"] for answer in answers] == [MEDIA_TYPE] * 2
    names = at(answers[0].body, 9, 1, 1)  # type: ignore[arg-type]
    assert b"io.k8s.api.core.v1.Pod" in names
    refused = await OpenApi().serve(Request("GET", "/openapi/v3", headers={"accept": MEDIA_TYPE}))
    assert refused.status == 406
