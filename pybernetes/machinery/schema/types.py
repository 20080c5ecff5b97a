"""The API's types as data: structs of fields, read from `facts/types.json` when they are first asked for.

A field's expression there is `type[!][|attribute=value…]`. Types: `s` text, `b` boolean, `i`/`l` 32/64-bit integer, `d` double,
`y` base64 text, `t`/`u` time to the second/microsecond, `q` quantity, `x` integer or text, `j` any JSON, `[T` list, `{T` map
from text, `@name` struct (`@name?bool`, `?array`, `?strings`: or a boolean, a list of such structs, a list of texts).
Attributes: `lt`, `lk` list type and map keys; `mt` map type; `ps`, `mk` patch strategy and merge key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Final

import orjson

from pybernetes.machinery.meta import GroupVersionKind
from pybernetes.machinery.schema import go_types


class Kind(StrEnum):
    STRING = "s"
    BOOLEAN = "b"
    INT32 = "i"
    INT64 = "l"
    DOUBLE = "d"
    BYTES = "y"
    TIME = "t"
    MICRO_TIME = "u"
    QUANTITY = "q"
    INT_OR_STRING = "x"
    ANY = "j"
    LIST = "["
    MAP = "{"
    STRUCT = "@"


_GO_NAMES: Final = {
    Kind.STRING: "string", Kind.BOOLEAN: "bool", Kind.INT32: "int32", Kind.INT64: "int64", Kind.DOUBLE: "float64",
    Kind.BYTES: "[]uint8", Kind.TIME: "v1.Time", Kind.MICRO_TIME: "v1.MicroTime", Kind.QUANTITY: "resource.Quantity",
    Kind.INT_OR_STRING: "intstr.IntOrString", Kind.ANY: "interface {}",
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """The type of a value. `go` is the name that Go's error sentences give to it."""

    kind: Kind
    go: str
    item: Node | None = None  # of lists and maps
    struct_name: str = ""  # of structs
    # A struct in whose place something simpler may stand: a boolean, a list of such structs ("array"), a list of texts.
    alternative: str = ""
    is_resource_list: bool = False

    @property
    def struct(self) -> Struct:
        """Raises AssertionError for anything that is no struct."""
        assert self.kind == Kind.STRUCT
        return struct(self.struct_name)


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """A field of a struct."""

    name: str
    node: Node
    required: bool = False
    keeps_zero: bool = False  # an empty text, 0 or false is a value, and written
    present: bool = False  # a struct that is written even if nobody gave it
    null_when_empty: bool = False  # written as null then, not left out
    list_type: str = ""  # atomic, set, map
    list_keys: tuple[str, ...] = ()
    map_type: str = ""  # atomic, granular
    patch_strategies: frozenset[str] = frozenset()  # merge, replace, retainKeys
    merge_key: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Struct:
    """A named type with fields, in the order of their names."""

    name: str  # core.v1.Container
    fields: Mapping[str, Field] = field(repr=False)
    map_type: str = ""  # atomic: server-side apply takes it as one value

    @property
    def go_name(self) -> str:
        return self.name.rpartition(".")[2]

    @property
    def go(self) -> str:
        return ".".join(self.name.split(".")[-2:])


@cache
def _facts() -> dict[str, Any]:
    facts: dict[str, Any] = orjson.loads((Path(__file__).parent.parent / "facts" / "types.json").read_bytes())
    return facts


def struct_name_of(gvk: GroupVersionKind) -> str:
    """Raises KeyError for kinds that are not built in."""
    name: str = _facts()["kinds"][f"{gvk.api_version}/{gvk.kind}"]
    return name


@cache
def struct(name: str) -> Struct:
    """The struct of that name, `core.v1.Container`. Raises KeyError."""
    expressions: dict[str, str] = _facts()["types"][name]
    own = _attributes(expressions.get("", ""))
    fields = {key: _field(name, key, expression) for key, expression in expressions.items() if key}
    return Struct(name, fields, own.get("mt", ""))


def _attributes(expression: str) -> dict[str, str]:
    return dict(attribute.split("=", 1) for attribute in expression.split("|")[1:])


def _field(struct_name: str, name: str, expression: str) -> Field:
    head = expression.partition("|")[0]
    attributes = _attributes(expression)
    required = head.endswith("!")
    node = _node(head.removesuffix("!"), struct_name)
    key = (struct_name.rpartition(".")[2], name)
    if node.kind == Kind.STRING:
        keeps_zero = key in go_types.TEXT_POINTERS
    else:
        keeps_zero = key not in go_types.ZERO_IS_UNSET
    if node.kind == Kind.STRUCT and required:
        present = key not in go_types.REQUIRED_POINTERS
    else:
        present = node.struct_name == "meta.v1.ObjectMeta" or key in go_types.PRESENT
    return Field(
        name=name,
        node=node,
        required=required or key in go_types.ALWAYS_WRITTEN,
        keeps_zero=keeps_zero or required,
        present=present,
        null_when_empty=key in go_types.NULL_WHEN_EMPTY,
        list_type=attributes.get("lt", ""),
        list_keys=tuple(attributes["lk"].split(",")) if "lk" in attributes else (),
        map_type=attributes.get("mt", ""),
        patch_strategies=frozenset(attributes["ps"].split(",")) if "ps" in attributes else frozenset(),
        merge_key=attributes.get("mk", ""),
    )


def _node(expression: str, struct_name: str) -> Node:
    kind = Kind(expression[0])
    if kind == Kind.STRUCT:
        name, _, alternative = expression[1:].partition("?")
        return Node(kind, ".".join(name.split(".")[-2:]), struct_name=name, alternative=alternative)
    if kind in (Kind.LIST, Kind.MAP):
        item = _node(expression[1:], struct_name)
        if kind == Kind.LIST:
            return Node(kind, f"[]{item.go}", item)
        is_resource_list = item.kind == Kind.QUANTITY and not struct_name.startswith("resource.")
        return Node(
            kind, "v1.ResourceList" if is_resource_list else f"map[string]{item.go}", item, is_resource_list=is_resource_list
        )
    return Node(kind, _GO_NAMES[kind])
