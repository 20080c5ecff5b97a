"""Objects written in Kubernetes' protobuf encoding, from the dicts that their JSON gives; `protobuf` reads them back.

Each message type is turned once into a table of small functions, one for each JSON field. Zero values that JSON leaves out are
left out here too: absent and zero read the same in Go. Fields without a number (unknown to the release) are dropped.

Source: API concepts, "Protobuf encoding"; watch frames as upstream's length-delimited framer has them (four bytes, big-endian).
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import orjson

from pybernetes.machinery.meta import GroupVersionKind, Object, parse_api_version
from pybernetes.machinery.protobuf import EXTENSIONS, MAGIC, META, Field, fields_of, message_name

Emit = Callable[[list[bytes], Any], None]
Content = Callable[[Any], bytes]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SHORT: Final = tuple(bytes((number,)) for number in range(128))


def can_encode(gvk: GroupVersionKind) -> bool:
    """Whether the kind has a message: built-in ones have."""
    try:
        message_name(gvk)
    except ValueError:
        return False
    return True


def encode(obj: Object) -> bytes:
    """The object in its envelope. Raises ValueError for a kind that has no message."""
    group, version = parse_api_version(obj.get("apiVersion", ""))
    gvk = GroupVersionKind(group, version, obj.get("kind", ""))
    return envelope(gvk, _message(message_name(gvk))(obj))


def envelope(gvk: GroupVersionKind, raw: bytes) -> bytes:
    return b"".join((*envelope_head(gvk, len(raw)), raw, ENVELOPE_TAIL))


def envelope_head(gvk: GroupVersionKind, size: int) -> tuple[bytes, ...]:
    """What goes before a content of `size` bytes; `ENVELOPE_TAIL` goes after it."""
    type_meta = _block(1, gvk.api_version.encode()) + _block(2, gvk.kind.encode())
    return MAGIC, _block(1, type_meta), b"\x12", _varint(size)


ENVELOPE_TAIL: Final = b"\x1a\0\x22\0"  # contentEncoding and contentType: none, and Go writes that they are


def list_metadata(metadata: Object) -> bytes:
    """The first field of every list message."""
    return _block(1, _message(f"{META}.ListMeta")(metadata))


def list_item(gvk: GroupVersionKind) -> Content:
    """Writes one item of the list of a kind, as the list's second field."""
    content = _message(message_name(gvk))

    def write(obj: Any) -> bytes:
        return _block(2, content(obj))

    return write


def watch_frame(type_: str, encoded: bytes) -> bytes:
    """One event of a watch: a length, then a bare WatchEvent that holds the enveloped object."""
    event = _block(1, type_.encode()) + _block(2, _block(1, encoded))
    return struct.pack(">L", len(event)) + event


def _varint(number: int) -> bytes:
    if number < 0:
        number += 1 << 64
    if number < 128:
        return _SHORT[number]
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _block(number: int, content: bytes) -> bytes:
    return b"".join((_varint(number << 3 | 2), _varint(len(content)), content))


# Messages


@lru_cache(None)
def _message(name: str) -> Content:
    """Writes the fields of a message, without its length."""
    special = _SPECIAL.get(name)
    if special is not None:
        return special
    emits: dict[str, Emit] = {}
    embedded: dict[str, int] = {}  # JSON field -> number of the embedded message whose it is
    contents: dict[int, str] = {}
    for number, field in fields_of(name).items():
        if field.inline:
            contents[number] = field.type
            embedded.update(dict.fromkeys(_json_fields(field.type), number))
        else:
            emits[field.name] = _emit(number, field)
    find = emits.get

    def write(obj: Any) -> bytes:
        out: list[bytes] = []
        for key, value in obj.items():
            if value is not None:
                emit = find(key)
                if emit is not None:
                    emit(out, value)
        return b"".join(out)

    if not contents:
        return write

    def write_with_embedded(obj: Any) -> bytes:
        out = [write(obj)]
        parts: dict[int, Object] = {}
        for key, value in obj.items():
            number = embedded.get(key)
            if number is not None and key not in emits:
                parts.setdefault(number, {})[key] = value
        out += [_block(number, _message(contents[number])(part)) for number, part in parts.items()]
        return b"".join(out)

    return write_with_embedded


def _json_fields(name: str) -> set[str]:
    found: set[str] = set()
    for field in fields_of(name).values():
        found |= _json_fields(field.type) if field.inline else {field.name}
    return found


def _emit(number: int, field: Field) -> Emit:
    if field.is_map:
        return _emit_map(number, field.type)
    emit = _emit_one(number, field.type)
    if not field.repeated:
        return emit

    def emit_each(out: list[bytes], values: Any) -> None:
        for value in values:
            emit(out, value)

    return emit_each


def _emit_one(number: int, type_: str) -> Emit:
    scalar = _SCALARS.get(type_)
    if scalar is not None:
        wire_type, content = scalar
        tag = _varint(number << 3 | wire_type)
        if wire_type == 2:
            return _emit_block(tag, content)

        def emit_number(out: list[bytes], value: Any) -> None:
            out.append(tag)
            out.append(content(value))

        return emit_number

    def later(value: Any) -> bytes:  # types refer to themselves
        return _message(type_)(value)

    return _emit_block(_varint(number << 3 | 2), _SPECIAL.get(type_) or later)


def _emit_block(tag: bytes, content: Content) -> Emit:
    def emit(out: list[bytes], value: Any) -> None:
        data = content(value)
        size = len(data)
        out += (tag, _SHORT[size] if size < 128 else _varint(size), data)

    return emit


def _emit_map(number: int, type_: str) -> Emit:
    tag, emit_value = _varint(number << 3 | 2), _emit_one(2, type_)

    def emit(out: list[bytes], entries: Any) -> None:
        for key, value in entries.items():
            entry = [_block(1, key.encode())]
            if value is not None:
                emit_value(entry, value)
            data = b"".join(entry)
            out += (tag, _varint(len(data)), data)

    return emit


_SCALARS: Final[Mapping[str, tuple[int, Content]]] = {
    "string": (2, str.encode),
    "bytes": (2, base64.b64decode),
    "int32": (0, _varint),
    "int64": (0, _varint),
    "bool": (0, lambda value: b"\1" if value else b"\0"),
    "double": (1, lambda value: struct.pack("<d", value)),
}


# Messages which are something else in JSON.


@lru_cache(4096)
def _time(text: str) -> bytes:
    since = datetime.fromisoformat(text) - _EPOCH
    seconds = since.days * 86_400 + since.seconds
    return b"\x08" + _varint(seconds) + b"\x10" + _varint(since.microseconds * 1000)


def _quantity(value: Any) -> bytes:
    return _block(1, str(value).encode())


def _int_or_string(value: Any) -> bytes:
    if isinstance(value, str):
        return b"\x08\x01\x10\0" + _block(3, value.encode())
    return b"\x08\0\x10" + _varint(value) + b"\x1a\0"


def _raw_json(value: Any) -> bytes:
    return _block(1, orjson.dumps(value))


def _extra(values: Sequence[str]) -> bytes:
    return b"".join(_block(1, value.encode()) for value in values)


def _schema(value: Any) -> bytes:
    return _message(f"{EXTENSIONS}.v1.JSONSchemaProps")(value)


def _schema_or_bool(value: Any) -> bytes:
    if isinstance(value, bool):
        return b"\x08\x01" if value else b"\x08\0"
    return b"\x08\x01" + _block(2, _schema(value))


def _schema_or_array(value: Any) -> bytes:
    if isinstance(value, list):
        return b"".join(_block(2, _schema(item)) for item in value)
    return _block(1, _schema(value))


def _schema_or_strings(value: Any) -> bytes:
    if isinstance(value, list):
        return b"".join(_block(2, item.encode()) for item in value)
    return _block(1, _schema(value))


_SPECIAL: Final[Mapping[str, Content]] = {
    f"{META}.Time": _time,
    f"{META}.MicroTime": _time,
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
