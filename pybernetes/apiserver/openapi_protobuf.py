"""OpenAPI v2 in its protobuf form, which Go clients ask for: a document of JSON in, the message `openapi.v2.Document` out.

`kubectl` falls back to it for kinds that the v3 documents do not tell. Extensions and defaults travel as YAML in the message;
JSON is YAML.

Source: the public message definitions of OpenAPI v2 (gnostic, `openapiv2/OpenAPIv2.proto`); protobuf's wire format.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import orjson

from pybernetes.machinery.meta import Object
from pybernetes.machinery.protobuf_wire import sized, tagged, varint

MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
# How clients spell it, the first of them for a decade.
ACCEPTED = ("application/com.github.proto-openapi.spec.v2@v1.0+protobuf", MEDIA_TYPE)

_Writer: TypeAlias = Callable[[Any], bytes]


class _Field(NamedTuple):
    number: int
    write: _Writer  # of one value, with its length where it has one
    wire_type: int = 2
    repeated: bool = False


_Message: TypeAlias = Mapping[str, _Field]


def encode(document: Object) -> bytes:
    """The bytes of a v2 document. What the message has no place for is left out."""
    return _message(_DOCUMENT, document)


def _message(fields: _Message, value: Object) -> bytes:
    parts = []
    for name, field in fields.items():
        if name not in value:
            continue
        given = value[name]
        for each in given if field.repeated else (given,):
            parts.append(tagged(field.number, field.wire_type, field.write(each)))
    extension = fields.get("x-")
    if extension is not None:
        for name in value:
            if name.startswith("x-"):
                parts.append(tagged(extension.number, 2, sized(_named(name, _any(value[name])))))
    return b"".join(parts)


def _named(name: str, value: bytes) -> bytes:
    """A member of a map: the message's maps are lists of pairs."""
    return tagged(1, 2, _text(name)) + tagged(2, 2, sized(value))


def _any(value: Any) -> bytes:
    return tagged(2, 2, sized(orjson.dumps(value) + b"\n"))


# Writers


def _text(value: str) -> bytes:
    return sized(value.encode())


def _integer(value: int) -> bytes:
    return varint(int(value) & 0xFFFF_FFFF_FFFF_FFFF)


def _double(value: float) -> bytes:
    return struct.pack("<d", value)


def _below(fields: Callable[[], _Message]) -> _Writer:
    """A message in a message. A function gives its fields, since schemas hold schemas."""
    return lambda value: sized(_message(fields(), value))


def _map(fields: Callable[[], _Message], number: int = 1) -> _Writer:
    def write(value: Object) -> bytes:
        pairs = (_named(name, _message(fields(), each)) for name, each in value.items())
        return sized(b"".join(tagged(number, 2, sized(pair)) for pair in pairs))

    return write


def _choice(*path: int, of: _Writer) -> _Writer:
    """A value wrapped in messages that only say which kind it is."""

    def write(value: Any) -> bytes:
        data = of(value)
        for number in reversed(path):
            data = sized(tagged(number, 2, data))
        return data

    return write


def _additional(value: bool | Object) -> bytes:
    if isinstance(value, bool):
        return sized(tagged(2, 0, _integer(value)))
    return _choice(1, of=_below(lambda: _SCHEMA))(value)


def _types(value: str | Sequence[str]) -> bytes:
    return sized(b"".join(tagged(1, 2, _text(each)) for each in ([value] if isinstance(value, str) else value)))


def _items(value: Object | Sequence[Object]) -> bytes:
    schemas = [value] if isinstance(value, dict) else value
    return sized(b"".join(tagged(1, 2, _below(lambda: _SCHEMA)(each)) for each in schemas))


def _parameter(value: Object) -> bytes:
    """Wrapped as: item → parameter → body, or item → parameter → other → where it is."""
    if "$ref" in value:
        return _choice(2, of=_below(lambda: {"$ref": _Field(1, _text)}))(value)
    if value["in"] == "body":
        return _choice(1, 1, of=_below(lambda: _BODY_PARAMETER))(value)
    where = {"header": 1, "formData": 2, "query": 3, "path": 4}[value["in"]]
    fields = _QUERY_PARAMETER if where in (2, 3) else _PATH_PARAMETER
    return _choice(1, 2, where, of=_below(lambda: fields))(value)


def _security_requirement(value: Mapping[str, Sequence[str]]) -> bytes:
    pairs = (_named(name, b"".join(tagged(1, 2, _text(scope)) for scope in scopes)) for name, scopes in value.items())
    return sized(b"".join(tagged(1, 2, sized(pair)) for pair in pairs))


def _api_keys(value: Mapping[str, Object]) -> bytes:
    return sized(b"".join(tagged(1, 2, sized(pair)) for pair in _api_key_pairs(value)))


def _api_key_pairs(value: Mapping[str, Object]) -> Iterator[bytes]:
    for name, each in value.items():
        if each.get("type") == "apiKey":
            yield _named(name, tagged(2, 2, sized(_message(_API_KEY, each))))


# Messages: JSON's names, and where they go


_SCHEMA: _Message = {
    "$ref": _Field(1, _text),
    "format": _Field(2, _text),
    "title": _Field(3, _text),
    "description": _Field(4, _text),
    "default": _Field(5, lambda value: sized(_any(value))),
    "multipleOf": _Field(6, _double, 1),
    "maximum": _Field(7, _double, 1),
    "exclusiveMaximum": _Field(8, _integer, 0),
    "minimum": _Field(9, _double, 1),
    "exclusiveMinimum": _Field(10, _integer, 0),
    "maxLength": _Field(11, _integer, 0),
    "minLength": _Field(12, _integer, 0),
    "pattern": _Field(13, _text),
    "maxItems": _Field(14, _integer, 0),
    "minItems": _Field(15, _integer, 0),
    "uniqueItems": _Field(16, _integer, 0),
    "maxProperties": _Field(17, _integer, 0),
    "minProperties": _Field(18, _integer, 0),
    "required": _Field(19, _text, repeated=True),
    "enum": _Field(20, lambda value: sized(_any(value)), repeated=True),
    "additionalProperties": _Field(21, _additional),
    "type": _Field(22, _types),
    "items": _Field(23, _items),
    "allOf": _Field(24, _below(lambda: _SCHEMA), repeated=True),
    "properties": _Field(25, _map(lambda: _SCHEMA)),
    "x-": _Field(31, _text),
}
_BODY_PARAMETER: _Message = {
    "description": _Field(1, _text),
    "name": _Field(2, _text),
    "in": _Field(3, _text),
    "required": _Field(4, _integer, 0),
    "schema": _Field(5, _below(lambda: _SCHEMA)),
    "x-": _Field(6, _text),
}
_QUERY_PARAMETER: _Message = {
    "required": _Field(1, _integer, 0),
    "in": _Field(2, _text),
    "description": _Field(3, _text),
    "name": _Field(4, _text),
    "type": _Field(6, _text),
    "format": _Field(7, _text),
    "uniqueItems": _Field(20, _integer, 0),
    "x-": _Field(23, _text),
}
_PATH_PARAMETER: _Message = {
    "required": _Field(1, _integer, 0),
    "in": _Field(2, _text),
    "description": _Field(3, _text),
    "name": _Field(4, _text),
    "type": _Field(5, _text),
    "format": _Field(6, _text),
    "uniqueItems": _Field(19, _integer, 0),
    "x-": _Field(22, _text),
}
_RESPONSE: _Message = {
    "description": _Field(1, _text),
    "schema": _Field(2, _choice(1, of=_below(lambda: _SCHEMA))),
    "x-": _Field(5, _text),
}
_RESPONSE_VALUE: _Message = {"response": _Field(1, _below(lambda: _RESPONSE))}
_OPERATION: _Message = {
    "tags": _Field(1, _text, repeated=True),
    "summary": _Field(2, _text),
    "description": _Field(3, _text),
    "operationId": _Field(5, _text),
    "produces": _Field(6, _text, repeated=True),
    "consumes": _Field(7, _text, repeated=True),
    "parameters": _Field(8, _parameter, repeated=True),
    "responses": _Field(
        9, lambda value: _map(lambda: _RESPONSE_VALUE)({code: {"response": each} for code, each in value.items()})
    ),
    "schemes": _Field(10, _text, repeated=True),
    "deprecated": _Field(11, _integer, 0),
    "x-": _Field(13, _text),
}
_PATH_ITEM: _Message = {
    **{
        method: _Field(number, _below(lambda: _OPERATION))
        for number, method in enumerate(("get", "put", "post", "delete", "options", "head", "patch"), start=2)
    },
    "parameters": _Field(9, _parameter, repeated=True),
    "x-": _Field(10, _text),
}
_API_KEY: _Message = {"type": _Field(1, _text), "name": _Field(2, _text), "in": _Field(3, _text)}
_DOCUMENT: _Message = {
    "swagger": _Field(1, _text),
    "info": _Field(
        2, _below(lambda: {"title": _Field(1, _text), "version": _Field(2, _text), "description": _Field(3, _text)})
    ),
    "host": _Field(3, _text),
    "basePath": _Field(4, _text),
    "schemes": _Field(5, _text, repeated=True),
    "paths": _Field(8, _map(lambda: _PATH_ITEM, number=2)),
    "definitions": _Field(9, _map(lambda: _SCHEMA)),
    "security": _Field(12, _security_requirement, repeated=True),
    "securityDefinitions": _Field(13, _api_keys),
    "x-": _Field(16, _text),
}
