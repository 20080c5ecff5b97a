"""Shapes: what a type looks like to those who track who owns which field (server-side apply, managed fields).

Fewer distinctions than the schema makes, and other ones: is a value taken as a whole or part by part, what tells the items of
a list from each other, which names are fields and which are keys of a map. Built-in types and the structural schemas of custom
resources come down to the same shapes.

Source: API reference, "Server-Side Apply", "Merge strategy"; the `x-kubernetes-list-type`, `-list-map-keys` and `-map-type`
markers of the API definitions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Any, Final

from pybernetes.machinery.meta import Object
from pybernetes.machinery.schema.compile import zero_values
from pybernetes.machinery.schema.types import Field, Kind, Node, Struct, struct


class Form(Enum):
    SCALAR = 0
    LIST = 1
    OBJECT = 2  # a struct, a map, or both: named fields, and perhaps keys of a map besides
    DEDUCED = 3  # whatever the value says: objects part by part, lists as a whole
    ANY = 4  # as a whole, whatever it is


Members = Mapping[str, "tuple[str, Shape]"]


class Shape:
    """The shape of a value. Immutable, but for the fields of a struct, which are looked up when first asked for."""

    __slots__ = ("_load", "atomic", "form", "item", "keys", "leaf", "members", "scalar")
    members: Members  # the fields of a struct: name -> (path element, shape)

    def __init__(
        self,
        form: Form,
        *,
        atomic: bool = False,
        scalar: str = "",
        item: Shape | None = None,
        keys: Mapping[str, Any] | None = None,
        members: Callable[[], Mapping[str, Shape]] | None = None,
    ) -> None:
        self.form = form
        self.atomic = atomic  # of lists and objects: one value, owned as a whole
        self.scalar = scalar  # string, numeric, boolean, or "" for any of them
        self.item = item  # of lists; of the keys of a map. An object without one refuses keys that are no fields
        # Of lists whose items are known by some of their fields: each such field, and what it is where an item leaves it out
        # (REQUIRED: it may not). Empty for lists that are sets.
        self.keys: Mapping[str, Any] = keys or {}
        self.leaf = atomic or form in (Form.SCALAR, Form.ANY)  # nothing below it is owned apart
        self._load = members

    def __getattr__(self, name: str) -> Members:
        """The slot of `members` is filled when it is first read: types are recursive, and most are never used."""
        if name != "members":
            raise AttributeError(name)
        loaded = self._load() if self._load is not None else {}
        self.members = {field: (f"f:{field}", shape) for field, shape in loaded.items()}
        return self.members

    def below(self, name: str) -> Shape | None:
        """The shape of the field or key of an object; None if there may be none of that name."""
        member = self.members.get(name)
        return member[1] if member is not None else self.item


REQUIRED: Final = object()
ANY: Final = Shape(Form.ANY)
DEDUCED: Final = Shape(Form.DEDUCED)
SCALAR: Final = Shape(Form.SCALAR)
_SCALARS: Final = {scalar: Shape(Form.SCALAR, scalar=scalar) for scalar in ("string", "numeric", "boolean")}

_SCALAR_OF: Final = {
    Kind.STRING: "string", Kind.BYTES: "string", Kind.TIME: "string", Kind.MICRO_TIME: "string",
    Kind.BOOLEAN: "boolean", Kind.INT32: "numeric", Kind.INT64: "numeric", Kind.DOUBLE: "numeric",
}  # fmt: skip
_ZERO_KEYS: Final = {"string": "", "numeric": 0, "boolean": False}
# Defaults of key fields that are not required (API reference; all other optional keys have none).
_KEY_DEFAULTS: Final = {
    ("core.v1.ContainerPort", "protocol"): "TCP",
    ("core.v1.ServicePort", "protocol"): "TCP",
    ("core.v1.LocalObjectReference", "name"): "",
}


# Built-in types


@cache
def shape_of(struct_name: str) -> Shape:
    """The shape of a built-in type, `core.v1.Pod`."""
    return _struct_shape(struct_name, atomic=struct(struct_name).map_type == "atomic")


@cache
def zero_of(struct_name: str) -> Object:
    """The object of that type to which nobody gave anything, as Go writes it. Shared: not to be altered."""
    return _zero(struct(struct_name))


def _zero(structure: Struct) -> Object:
    zero = dict(zero_values(structure))
    for name, field in structure.fields.items():
        if field.node.kind == Kind.STRUCT and name in zero and zero[name] is not None:
            zero[name] = _zero(field.node.struct)
        elif field.required and field.node.kind in (Kind.LIST, Kind.MAP, Kind.BYTES):
            zero[name] = None
    return zero


@cache
def _struct_shape(struct_name: str, atomic: bool) -> Shape:
    def members() -> dict[str, Shape]:
        return {name: _field_shape(field) for name, field in struct(struct_name).fields.items()}

    return Shape(Form.OBJECT, atomic=atomic, members=members)


def _field_shape(field: Field) -> Shape:
    node = field.node
    match node.kind:
        case Kind.LIST:
            assert node.item is not None
            if field.list_type not in ("set", "map"):
                return Shape(Form.LIST, atomic=True, item=_node_shape(node.item))
            keys = {key: _key_default(node.item.struct, key) for key in field.list_keys}
            return Shape(Form.LIST, item=_node_shape(node.item), keys=keys)
        case Kind.MAP:
            assert node.item is not None
            return Shape(Form.OBJECT, atomic=field.map_type == "atomic", item=_node_shape(node.item))
        case Kind.STRUCT if field.map_type and not node.alternative:
            return _struct_shape(node.struct_name, field.map_type == "atomic")
    return _node_shape(node)


def _node_shape(node: Node) -> Shape:
    match node.kind:
        case Kind.STRUCT:
            return ANY if node.alternative else shape_of(node.struct_name)
        case Kind.LIST:
            assert node.item is not None
            return Shape(Form.LIST, atomic=True, item=_node_shape(node.item))
        case Kind.MAP:
            assert node.item is not None
            return Shape(Form.OBJECT, item=_node_shape(node.item))
        case Kind.ANY:
            return ANY
        case _:
            return _SCALARS[_SCALAR_OF[node.kind]] if node.kind in _SCALAR_OF else SCALAR


def _key_default(structure: Struct, key: str) -> Any:
    known = _KEY_DEFAULTS.get((structure.name, key))
    if known is not None:
        return known
    field = structure.fields[key]
    shape = _node_shape(field.node)
    return _ZERO_KEYS[shape.scalar] if field.required and shape.scalar else REQUIRED


# Custom resources


def shape_of_structural(schema: Mapping[str, Any], *, preserves_unknown: bool = False, root: bool = True) -> Shape:
    """The shape of a structural schema (OpenAPI v3, `x-kubernetes-*` extensions). At the root, metadata is ObjectMeta.

    `preserves_unknown`: something above it says `x-kubernetes-preserve-unknown-fields`.
    """
    preserves_unknown = bool(schema.get("x-kubernetes-preserve-unknown-fields", preserves_unknown))
    embedded = root or bool(schema.get("x-kubernetes-embedded-resource"))
    if schema.get("x-kubernetes-int-or-string"):
        return SCALAR
    match schema.get("type"):
        case "string" | "boolean" as scalar:
            return _SCALARS[scalar]
        case "integer" | "number":
            return _SCALARS["numeric"]
        case "array":
            return _structural_list(schema, preserves_unknown)
        case "object":
            return _structural_object(schema, preserves_unknown, embedded)
    return DEDUCED


def _structural_list(schema: Mapping[str, Any], preserves_unknown: bool) -> Shape:
    given = schema.get("items") or {}
    item = shape_of_structural(given, preserves_unknown=preserves_unknown, root=False)
    match schema.get("x-kubernetes-list-type", "atomic"):
        case "map":
            properties = given.get("properties") or {}
            keys = {
                key: properties.get(key, {}).get("default", REQUIRED) for key in schema.get("x-kubernetes-list-map-keys") or ()
            }
            return Shape(Form.LIST, item=item, keys=keys)
        case "set":
            return Shape(Form.LIST, item=item)
    return Shape(Form.LIST, atomic=True, item=item)


def _structural_object(schema: Mapping[str, Any], preserves_unknown: bool, embedded: bool) -> Shape:
    properties: Mapping[str, Any] = schema.get("properties") or {}
    extra = schema.get("additionalProperties")
    item: Shape | None = None
    if isinstance(extra, dict) and extra:
        item = shape_of_structural(extra, preserves_unknown=preserves_unknown, root=False)
    elif extra or preserves_unknown:
        item = DEDUCED

    def members() -> dict[str, Shape]:
        found = {
            name: shape_of_structural(inner, preserves_unknown=preserves_unknown, root=False)
            for name, inner in properties.items()
        }
        if embedded:
            found |= {"apiVersion": _SCALARS["string"], "kind": _SCALARS["string"], "metadata": shape_of("meta.v1.ObjectMeta")}
        return found

    return Shape(Form.OBJECT, atomic=schema.get("x-kubernetes-map-type") == "atomic", item=item, members=members)
