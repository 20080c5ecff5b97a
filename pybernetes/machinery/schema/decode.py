"""The slow path of decoding: the same walk as the compiled one, with all that is needed to say what is wrong, and where.

It imitates Go's JSON decoder: fields in the order of the document; the first wrong type is remembered and the walk goes on
(`json: cannot unmarshal …`), while a type that decodes itself (quantity, time, integer-or-text) ends the walk with its own
sentence, which then wins. Unknown fields are dropped, and their paths collected.
"""

from __future__ import annotations

import base64
import copy
import re
from typing import Any, Final

from pybernetes.machinery import quantity
from pybernetes.machinery.schema.compile import zero_values
from pybernetes.machinery.schema.go_time import canonical_time
from pybernetes.machinery.schema.types import Field, Kind, Node, Struct

_GO_VALUES: Final = {dict: "object", list: "array", str: "string", bool: "bool", int: "number", float: "number"}
_BOUNDS: Final = {Kind.INT32: 2**31, Kind.INT64: 2**63}
_DROP: Final = object()


class Refused(Exception):
    """The object cannot be decoded; `str()` is Go's sentence."""


def decode(structure: Struct, obj: dict[str, Any]) -> list[str]:
    """Bring `obj` into shape in place; the paths of the unknown fields that were dropped. Raises Refused."""
    walk = _Walk()
    walk.struct(structure, obj, "")
    if walk.first_mismatch:
        raise Refused(walk.first_mismatch)
    return walk.unknown


class _Walk:
    def __init__(self) -> None:
        self.unknown: list[str] = []
        self.first_mismatch = ""
        # Go's error context: the struct whose field is being decoded, and the names of the fields down to it.
        self._struct = ""
        self._names: list[str] = []

    def _mismatch(self, value: Any, go: str) -> str:
        shown = _GO_VALUES.get(type(value), "null")
        if shown == "number" and go in ("int32", "int64"):
            shown = f"number {value!r}"  # a number all right, but none that fits
        if self._names:
            return f"json: cannot unmarshal {shown} into Go struct field {self._struct}.{'.'.join(self._names)} of type {go}"
        return f"json: cannot unmarshal {shown} into Go value of type {go}"

    def _save(self, sentence: str) -> None:
        self.first_mismatch = self.first_mismatch or sentence

    def struct(self, structure: Struct, obj: dict[str, Any], path: str) -> None:
        outer = self._struct
        for name in list(obj):
            below = f"{path}.{name}" if path else name
            field = structure.fields.get(name)
            if field is None:
                self.unknown.append(below)
                del obj[name]
                continue
            self._struct = structure.go_name
            self._names.append(name)
            value = self._field(field, obj[name], below)
            self._names.pop()
            self._struct = outer
            if value is _DROP:
                del obj[name]
            else:
                obj[name] = value
        for name, zero in zero_values(structure).items():
            if name not in obj:
                obj[name] = copy.deepcopy(zero)

    def _field(self, field: Field, value: Any, path: str) -> Any:
        if value is None:
            return _DROP
        result = self._value(field.node, value, path)
        if field.node.kind in (Kind.STRING, Kind.BOOLEAN, Kind.INT32, Kind.INT64):
            return _DROP if not result and not field.keeps_zero else result
        if field.node.kind in (Kind.LIST, Kind.MAP, Kind.BYTES):
            return _DROP if not result and (field.null_when_empty or not field.required) else result
        return result

    def _value(self, node: Node, value: Any, path: str) -> Any:
        """The decoded value; of one that does not fit (which is remembered), whatever it was."""
        match node.kind:
            case Kind.STRING if type(value) is str:
                return value
            case Kind.BOOLEAN if type(value) is bool:
                return value
            case Kind.INT32 | Kind.INT64 if type(value) is int and -_BOUNDS[node.kind] <= value < _BOUNDS[node.kind]:
                return value
            case Kind.DOUBLE if type(value) in (int, float):
                return value
            case Kind.ANY:
                return value
            case Kind.BYTES if type(value) is str:
                return self._base64(value)
            case Kind.QUANTITY:
                return self._quantity(value)
            case Kind.INT_OR_STRING:
                if type(value) is str or (type(value) is int and -_BOUNDS[Kind.INT32] <= value < _BOUNDS[Kind.INT32]):
                    return value
                raise Refused(self._mismatch(value, "int32"))
            case Kind.TIME | Kind.MICRO_TIME:
                return self._time(value, micro=node.kind == Kind.MICRO_TIME)
            case Kind.LIST if type(value) is list:
                return self._list(node, value, path)
            case Kind.MAP if type(value) is dict:
                return self._map(node, value, path)
            case Kind.STRUCT:
                return self._struct_value(node, value, path)
        self._save(self._mismatch(value, node.go))
        return value

    def _struct_value(self, node: Node, value: Any, path: str) -> Any:
        if type(value) is dict:
            self.struct(node.struct, value, path)
        elif node.alternative == "array" and type(value) is list:
            for index, item in enumerate(value):
                self._struct_value(Node(Kind.STRUCT, node.go, struct_name=node.struct_name), item, f"{path}[{index}]")
        elif node.alternative == "strings" and type(value) is list:
            for item in value:
                if type(item) is not str:
                    self._save(self._mismatch(item, "string"))
        elif node.alternative == "bool":
            if type(value) is not bool:
                raise Refused("boolean or JSON schema expected")
        else:
            self._save(self._mismatch(value, node.go))
        return value

    def _list(self, node: Node, values: list[Any], path: str) -> list[Any]:
        assert node.item is not None
        decoded = []
        for index, value in enumerate(values):
            if value is None:
                decoded.append(_zero(node.item))
            else:
                decoded.append(self._value(node.item, value, f"{path}[{index}]"))
        return decoded

    def _map(self, node: Node, values: dict[str, Any], path: str) -> dict[str, Any]:
        assert node.item is not None
        for name, value in values.items():
            if value is None:
                values[name] = _zero(node.item)
            elif node.is_resource_list:
                values[name] = quantity.parse(self._quantity(value)).round_up(-3).canonical()
            else:
                values[name] = self._value(node.item, value, f"{path}.{name}")
        return values

    def _quantity(self, value: Any) -> str:
        text = repr(value) if type(value) in (int, float) else value if type(value) is str else ""
        try:
            quantity.parse(text)
        except ValueError as error:
            raise Refused(str(error)) from None
        return text.strip()

    def _time(self, value: Any, *, micro: bool) -> str:
        if type(value) is not str:
            raise Refused(self._mismatch(value, "string"))
        try:
            return canonical_time(value, micro=micro)
        except ValueError as error:
            raise Refused(str(error)) from None

    def _base64(self, value: str) -> str:
        """Canonical base64; line breaks inside are skipped, as Go does."""
        text = value.replace("\n", "").replace("\r", "")
        bad = _base64_error(text)
        if bad is not None:
            self._save(f"illegal base64 data at input byte {bad}")
            return value
        return base64.b64encode(base64.b64decode(text)).decode()


def _base64_error(text: str) -> int | None:
    """Where Go's decoder stops, or None if it reads all of it."""
    matched = re.match(r"(?:[A-Za-z0-9+/]{4})*", text, re.ASCII)
    end = matched.end() if matched else 0
    last = text[end:]
    if not last or re.fullmatch(r"[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=", last, re.ASCII):
        return None
    inside = re.match(r"[A-Za-z0-9+/]*", last, re.ASCII)
    good = inside.end() if inside else 0
    if good < len(last) and last[good] != "=":
        return end + good  # a byte outside the alphabet
    if good == len(last):
        return end  # the text ends inside a group: Go names its start
    if good < 2:
        return end + good  # padding too early
    if good == 2 and last[good + 1 : good + 2] != "=":
        return end + good + 1 if len(last) > good + 1 else len(text)
    return end + good + (2 if good == 2 else 1)  # more after the padding


def _zero(node: Node) -> Any:
    """What a null inside a list or a map becomes: Go's zero value, as it is written."""
    match node.kind:
        case Kind.STRING | Kind.BYTES:
            return ""
        case Kind.BOOLEAN:
            return False
        case Kind.INT32 | Kind.INT64 | Kind.DOUBLE | Kind.INT_OR_STRING:
            return 0
        case Kind.QUANTITY:
            return "0"
        case Kind.STRUCT:
            return copy.deepcopy(zero_values(node.struct))
        case _:
            return None
