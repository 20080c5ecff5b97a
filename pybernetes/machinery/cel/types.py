"""What is known of the types of an expression's parts: enough to find fields that do not exist and operands that do not fit.

A type is a word (`int`, `string`, `dyn` for anything) or a tuple: ("list", item), ("map", value), ("object", schema, is_root),
("fields", name, lookup), whose `lookup` gives the type of the field of a name, or None.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Type = Any

DYN: Final = "dyn"
_FORMATS: Final = {
    "byte": "bytes",
    "date": "timestamp",
    "date-time": "timestamp",
    "datetime": "timestamp",
    "duration": "duration",
}
_META: Final[Mapping[str, Type]] = {"apiVersion": "string", "kind": "string", "metadata": ("meta",)}
_RESERVED: Final = frozenset((
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop",
    "package", "namespace", "return", "var", "void", "while",
))  # fmt: skip


def of_schema(schema: Mapping[str, Any], *, is_root: bool = False) -> Type:
    """The type of a structural schema's values."""
    if schema.get("x-kubernetes-int-or-string"):
        return DYN
    kind = schema.get("type", "")
    if kind == "object":
        if schema.get("properties") or is_root or schema.get("x-kubernetes-embedded-resource"):
            return ("object", schema, is_root)
        extra = schema.get("additionalProperties")
        return ("map", of_schema(extra) if isinstance(extra, dict) else DYN)
    if kind == "array":
        return ("list", of_schema(schema.get("items") or {}))
    if kind == "string":
        return _FORMATS.get(schema.get("format", ""), "string")
    return {"integer": "int", "number": "double", "boolean": "bool"}.get(kind, DYN)


def field(of: Type, name: str) -> Type | None:
    """The type of a field or key; None if there is none of that name."""
    if isinstance(of, str):
        return DYN if of == DYN or of == "optional" else None
    if of[0] == "map":
        return of[1]
    if of[0] == "fields":
        found_type: Type | None = of[2](name)
        return found_type
    if of[0] == "meta":
        return "string" if name in ("name", "generateName") else None
    if of[0] == "object":
        schema = of[1]
        found = (schema.get("properties") or {}).get(unescaped(name))
        if (of[2] or schema.get("x-kubernetes-embedded-resource")) and name in _META:
            return _META[name]
        if found is not None:
            return of_schema(found)
        return None
    return None


def shown(of: Type) -> str:
    if isinstance(of, str):
        return {"timestamp": "google.protobuf.Timestamp", "duration": "google.protobuf.Duration"}.get(of, of)
    if of[0] == "list":
        return f"list({shown(of[1])})"
    if of[0] == "fields":
        return str(of[1])
    return f"map(string, {shown(of[1])})" if of[0] == "map" else "object"


_MARKS: Final = (("__dot__", "."), ("__dash__", "-"), ("__slash__", "/"))


def unescaped(name: str) -> str:
    """A field's name out of how expressions must spell it: `a__dash__b`, `__namespace__`."""
    if "__" not in name:
        return name
    if name.startswith("__") and name.endswith("__") and name[2:-2] in _RESERVED:
        return name[2:-2]
    parts = name.split("__underscores__")
    for mark, character in _MARKS:
        parts = [part.replace(mark, character) for part in parts]
    return "__".join(parts)
