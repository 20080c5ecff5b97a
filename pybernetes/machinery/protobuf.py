"""Objects in Kubernetes' protobuf encoding, read into the dicts that their JSON would give.

Clients in Go send built-in types so (`kubectl create`, upstream's components). Writing is `protobuf_encoding`'s.

What is read holds zero values that JSON would leave out (proto2 as gogo writes it): the schema's `conform` drops them.
Source: API concepts, "Protobuf encoding"; the field numbers are facts (`facts/protobuf.json`).
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from pybernetes.machinery.clock import rfc3339, rfc3339_micro
from pybernetes.machinery.errors import BadRequest
from pybernetes.machinery.meta import GroupVersionKind, Object, parse_api_version

MEDIA_TYPE: Final = "application/vnd.kubernetes.protobuf"
MAGIC: Final = b"k8s\0"
DEPTH_MAX: Final = 200

META: Final = "k8s.io.apimachinery.pkg.apis.meta.v1"
EXTENSIONS: Final = "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions"
PARTIAL: Final = ("PartialObjectMetadata", "PartialObjectMetadataList")
_PACKAGES: Final = {
    "": "k8s.io.api.core",
    "apiextensions.k8s.io": EXTENSIONS,
    "apiregistration.k8s.io": "k8s.io.kube_aggregator.pkg.apis.apiregistration",
}
# Structs which Go embeds: their fields stand in the JSON of the outer one.
_INLINE: Final = frozenset((
    "deviceConfiguration", "ephemeralContainerCommon", "handler", "ingressRuleValue", "localObjectReference",
    "persistentVolumeSource", "rule", "ruleWithOperations", "volumeSource",
))  # fmt: skip
_RENAMED: Final = {
    "Webhooks": "webhooks", "Expression": "expression", "Name": "name", "uID": "uid", "aPIGroup": "apiGroup",
}  # fmt: skip
_RENAMED_IN_SCHEMAS: Final = {
    "ref": "$ref", "schema": "$schema", "xKubernetesEmbeddedResource": "x-kubernetes-embedded-resource",
    "xKubernetesIntOrString": "x-kubernetes-int-or-string", "xKubernetesListMapKeys": "x-kubernetes-list-map-keys",
    "xKubernetesListType": "x-kubernetes-list-type", "xKubernetesMapType": "x-kubernetes-map-type",
    "xKubernetesPreserveUnknownFields": "x-kubernetes-preserve-unknown-fields",
    "xKubernetesValidations": "x-kubernetes-validations",
}  # fmt: skip


class Field(NamedTuple):
    """`inline`: its message's fields stand in the JSON of the outer one."""

    name: str
    type: str  # of one value
    repeated: bool
    is_map: bool
    inline: bool


def is_protobuf(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == MEDIA_TYPE


def decode(body: bytes, default: GroupVersionKind) -> Object:
    """The object in an enveloped message; `default` is its type where the envelope says none. Raises `BadRequest`."""
    if not body.startswith(MAGIC):
        raise BadRequest("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        envelope = _message("k8s.io.apimachinery.pkg.runtime.Unknown", body[len(MAGIC) :], 0)
        given = envelope.get("typeMeta") or {}
        group, version = parse_api_version(given.get("apiVersion") or default.api_version)
        kind = given.get("kind") or default.kind
        raw = base64.b64decode(envelope.get("raw", ""))
        obj = _message(message_name(GroupVersionKind(group, version, kind)), raw, 0)
    except (
        AttributeError,
        IndexError,
        KeyError,
        TypeError,
        ValueError,
        struct.error,
    ) as error:  # a number where a text was due
        raise BadRequest(f"the object provided is unrecognized (must be of type {default.kind}): {error}") from error
    return {"kind": kind, "apiVersion": f"{group}/{version}" if group else version, **obj}


def message_name(gvk: GroupVersionKind) -> str:
    """The message of a kind. Raises ValueError for a kind that has none."""
    if gvk.kind in ("DeleteOptions", "CreateOptions", "UpdateOptions", "PatchOptions", "Status", *PARTIAL):
        return f"{META}.{gvk.kind}"
    package = _PACKAGES.get(gvk.group) or f"k8s.io.api.{gvk.group.partition('.')[0]}"
    name = f"{package}.{gvk.version}.{gvk.kind}"
    if name not in _facts():
        raise ValueError(f'no kind "{gvk.kind}" is registered for version "{gvk.api_version}"')
    return name


@lru_cache(1)
def _facts() -> dict[str, str]:
    found: dict[str, str] = orjson.loads((Path(__file__).parent / "facts" / "protobuf.json").read_bytes())
    return found


@lru_cache(None)
def fields_of(message: str) -> dict[int, Field]:
    """The fields of a message by their numbers. Raises KeyError for one that is not known."""
    package = message.rpartition(".")[0]
    renamed = _RENAMED_IN_SCHEMAS if message.endswith(".JSONSchemaProps") else _RENAMED
    fields = {}
    for text in _facts()[message].split():
        number, name, type_ = text.split(":", 2)
        repeated, is_map = type_.startswith("[]"), type_.startswith("map<")
        if repeated:
            type_ = type_[2:]
        elif is_map:
            type_ = type_.removeprefix("map<string,").removesuffix(">").removeprefix(".")
        if type_ not in _SCALARS and "." not in type_:
            type_ = f"{package}.{type_}"
        inline = name in _INLINE and not repeated and "." in type_
        fields[int(number)] = Field(renamed.get(name, name), type_, repeated, is_map, inline)
    return fields


def _wire(data: bytes) -> Iterator[tuple[int, int, Any]]:
    """(field number, wire type, value) of each field."""
    position, end = 0, len(data)
    while position < end:
        tag, position = _varint(data, position)
        number, wire_type = tag >> 3, tag & 7
        value: Any
        if wire_type == 0:
            value, position = _varint(data, position)
        elif wire_type == 2:
            length, position = _varint(data, position)
            if position + length > end:
                raise ValueError("unexpected EOF")
            value, position = data[position : position + length], position + length
        elif wire_type == 1:
            value, position = data[position : position + 8], position + 8
        elif wire_type == 5:
            value, position = data[position : position + 4], position + 4
        else:
            raise ValueError(f"proto: illegal wireType {wire_type}")
        yield number, wire_type, value


def _varint(data: bytes, position: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
        shift += 7
        if shift > 63:
            raise ValueError("proto: integer overflow")


def _message(name: str, data: bytes, depth: int) -> Object:
    if depth > DEPTH_MAX:
        raise ValueError("exceeded max depth")
    fields = fields_of(name)
    obj: Object = {}
    for number, wire_type, raw in _wire(data):
        field = fields.get(number)
        if field is None:
            continue  # of a newer release: dropped, as any unknown field
        if field.is_map:
            key, value = "", None
            for part, part_type, content in _wire(raw):
                if part == 1:
                    key = content.decode()
                else:
                    value = _value(field.type, part_type, content, depth)
            obj.setdefault(field.name, {})[key] = value
        elif field.repeated:
            values = obj.setdefault(field.name, [])
            if wire_type == 2 and field.type in ("int32", "int64", "bool"):  # packed
                position = 0
                while position < len(raw):
                    item, position = _varint(raw, position)
                    values.append(_value(field.type, 0, item, depth))
            else:
                values.append(_value(field.type, wire_type, raw, depth))
        else:
            value = _value(field.type, wire_type, raw, depth)
            if field.inline:
                obj.update(value or {})
            else:
                obj[field.name] = value
    return obj


def _integer(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


_SCALARS: Final[dict[str, Callable[[Any], Any]]] = {
    "string": lambda raw: raw.decode(),
    "bytes": lambda raw: base64.b64encode(raw).decode(),
    "int32": _integer,
    "int64": _integer,
    "bool": bool,
    "double": lambda raw: struct.unpack("<d", raw)[0],
}


def _value(type_: str, wire_type: int, raw: Any, depth: int) -> Any:
    scalar = _SCALARS.get(type_)
    if scalar is not None:
        return scalar(raw)
    if wire_type != 2:
        raise ValueError(f"proto: wrong wireType = {wire_type}")
    special = _SPECIAL.get(type_)
    if special is not None:
        return special(raw)
    return _message(type_, raw, depth + 1)


# Messages which are something else in JSON.


def _numbers(raw: bytes) -> dict[int, Any]:
    return {number: value for number, _, value in _wire(raw)}


def _moment(raw: bytes) -> datetime | None:
    """None for Go's zero time, which is what an unset one is sent as."""
    parts = _numbers(raw)
    seconds, nanos = _integer(parts.get(1, 0)), _integer(parts.get(2, 0))
    if not parts or seconds <= -62135596800:
        return None
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds, microseconds=nanos // 1000)


def _time(raw: bytes) -> str | None:
    moment = _moment(raw)
    return rfc3339(moment) if moment is not None else None


def _micro_time(raw: bytes) -> str | None:
    moment = _moment(raw)
    return rfc3339_micro(moment) if moment is not None else None


def _quantity(raw: bytes) -> str:
    return str(_numbers(raw).get(1, b"").decode() or "0")


def _int_or_string(raw: bytes) -> int | str:
    parts = _numbers(raw)
    return str(parts.get(3, b"").decode()) if parts.get(1, 0) else _integer(parts.get(2, 0))


def _raw_json(raw: bytes) -> Any:
    content = _numbers(raw).get(1, b"")
    return orjson.loads(content) if content else None


def _extra(raw: bytes) -> list[str]:
    return [value.decode() for number, _, value in _wire(raw) if number == 1]


def _schema_or_bool(raw: bytes) -> Any:
    parts = _numbers(raw)
    return _message(f"{EXTENSIONS}.v1.JSONSchemaProps", parts[2], 0) if 2 in parts else bool(parts.get(1, 0))


def _schema_or_array(raw: bytes) -> Any:
    parts = list(_wire(raw))
    name = f"{EXTENSIONS}.v1.JSONSchemaProps"
    schemas = [_message(name, value, 0) for number, _, value in parts if number == 2]
    single = [_message(name, value, 0) for number, _, value in parts if number == 1]
    return single[0] if single else schemas


def _schema_or_strings(raw: bytes) -> Any:
    parts = list(_wire(raw))
    single = [_message(f"{EXTENSIONS}.v1.JSONSchemaProps", value, 0) for number, _, value in parts if number == 1]
    return single[0] if single else [value.decode() for number, _, value in parts if number == 2]


_SPECIAL: Final[dict[str, Callable[[bytes], Any]]] = {
    f"{META}.Time": _time,
    f"{META}.MicroTime": _micro_time,
    f"{META}.FieldsV1": _raw_json,
    "k8s.io.apimachinery.pkg.api.resource.Quantity": _quantity,
    "k8s.io.apimachinery.pkg.util.intstr.IntOrString": _int_or_string,
    "k8s.io.apimachinery.pkg.runtime.RawExtension": _raw_json,
    f"{EXTENSIONS}.v1.JSON": _raw_json,
    f"{EXTENSIONS}.v1.JSONSchemaPropsOrBool": _schema_or_bool,
    f"{EXTENSIONS}.v1.JSONSchemaPropsOrArray": _schema_or_array,
    f"{EXTENSIONS}.v1.JSONSchemaPropsOrStringArray": _schema_or_strings,
    "k8s.io.api.authentication.v1.ExtraValue": _extra,
    "k8s.io.api.authorization.v1.ExtraValue": _extra,
    "k8s.io.api.certificates.v1.ExtraValue": _extra,
}
