"""The types of kinds, for expressions that are about one: of built-in kinds as the API's types have them, of others out of an
OpenAPI v3 document. Types refer to each other and to themselves, so that fields are looked up when an expression names them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from pybernetes.machinery.cel import types
from pybernetes.machinery.cel.types import DYN, Type
from pybernetes.machinery.meta import GroupVersionKind
from pybernetes.machinery.schema.types import Kind, Node, struct, struct_name_of

_REFERENCE: Final = "#/components/schemas/"
_KINDS: Final = "x-kubernetes-group-version-kind"
_SCALARS: Final[Mapping[Kind, Type]] = {
    Kind.STRING: "string", Kind.BOOLEAN: "bool", Kind.INT32: "int", Kind.INT64: "int", Kind.DOUBLE: "double",
    Kind.BYTES: "bytes", Kind.TIME: "timestamp", Kind.MICRO_TIME: "timestamp",
}  # fmt: skip


def of_builtin(gvk: GroupVersionKind) -> Type | None:
    """None for a kind that is not built in."""
    try:
        return _of_struct(struct_name_of(gvk))
    except KeyError:
        return None


@cache
def _of_struct(name: str) -> Type:
    def field(written: str) -> Type | None:
        found = struct(name).fields.get(types.unescaped(written))
        return None if found is None else _of_node(found.node)

    return ("fields", name, field)


def _of_node(node: Node) -> Type:
    if node.kind == Kind.STRUCT:
        return DYN if node.alternative else _of_struct(node.struct_name)
    if node.item is not None:
        inner = _of_node(node.item)
        return ("list", inner) if node.kind == Kind.LIST else ("map", "string", inner)
    return _SCALARS.get(node.kind, DYN)


class Definitions:
    """`components.schemas` of a document."""

    def __init__(self, schemas: Mapping[str, Any]) -> None:
        self._schemas = schemas
        self._structs: dict[str, Type] = {}  # of one definition there is one type

    def of_kind(self, gvk: GroupVersionKind) -> Type | None:
        """None if the document does not describe it."""
        wanted = {"group": gvk.group, "version": gvk.version, "kind": gvk.kind}
        for name, schema in self._schemas.items():
            if wanted in (schema.get(_KINDS) or ()):
                return self._of_name(name)
        return None

    def _of_name(self, name: str) -> Type:
        known = self._structs.get(name)
        if known is None:
            known = self._structs[name] = self._of(self._schemas.get(name) or {}, name)
        return known

    def _of(self, schema: Mapping[str, Any], name: str = "object") -> Type:
        reference = schema.get("$ref") or next((part["$ref"] for part in schema.get("allOf") or () if "$ref" in part), "")
        if reference:
            return self._of_name(reference.removeprefix(_REFERENCE))
        extra = schema.get("additionalProperties")
        if isinstance(extra, dict):
            return ("map", "string", self._of(extra))
        if schema.get("type") == "array":
            return ("list", self._of(schema.get("items") or {}))
        properties = schema.get("properties")
        if not properties:
            return DYN if schema.get("type") == "object" else types.of_schema(schema)

        def field(written: str) -> Type | None:
            found = properties.get(types.unescaped(written))
            return None if found is None else self._of(found)

        return ("fields", name, field)
