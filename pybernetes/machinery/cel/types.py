"""The types of CEL: what a checker knows of each part of an expression.

A type is a word (`int`, `string`, `dyn` for anything, a name such as `net.IP`) or a tuple: ("list", item), ("map", key, value),
("optional", inner), ("type", of what), ("object", schema, is_root), ("meta",) for what rules see of an object's metadata, and
("fields", name, lookup), whose `lookup` gives the type of the field of a name, or None. In declarations, a capital letter is a
type parameter.

Source: https://github.com/google/cel-spec/blob/master/doc/langdef.md#gradual-type-checking
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Type = Any

DYN: Final = "dyn"
FREE: Final = "free"  # of the items of `[]`: any type that others ask for
STRUCTURED: Final = frozenset(("map", "object", "meta", "fields"))  # kinds that have fields
_FORMATS: Final = {
    "byte": "bytes",
    "date": "timestamp",
    "date-time": "timestamp",
    "duration": "duration",
}
_META: Final[Mapping[str, Type]] = {"apiVersion": "string", "kind": "string", "metadata": ("meta",)}
RESERVED: Final = frozenset((
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop",
    "package", "namespace", "return", "var", "void", "while",
))  # fmt: skip
_NEVER_NULL: Final = frozenset(("int", "uint", "double", "bool", "string", "bytes", "type"))
_SHOWN: Final = {
    "timestamp": "google.protobuf.Timestamp", "duration": "google.protobuf.Duration", FREE: DYN,
}  # fmt: skip


def kind(of: Type) -> str:
    """The word, or the first of the tuple."""
    return of if isinstance(of, str) else str(of[0])


def of_schema(schema: Mapping[str, Any], *, is_root: bool = False) -> Type:
    """The type of a structural schema's values."""
    if schema.get("x-kubernetes-int-or-string"):
        return DYN
    named = schema.get("type", "")
    if named == "object":
        extra = schema.get("additionalProperties")
        if isinstance(extra, dict) and not is_root:
            return ("map", "string", of_schema(extra))
        return ("object", schema, is_root)
    if named == "array":
        return ("list", of_schema(schema.get("items") or {}))
    if named == "string":
        return _FORMATS.get(schema.get("format", ""), "string")
    return {"integer": "int", "number": "double", "boolean": "bool"}.get(named, DYN)


def field(of: Type, name: str) -> Type | None:
    """The type of a field or key; None if there is none of that name."""
    named = kind(of)
    if named in (DYN, FREE):
        return DYN
    if named == "map":
        return of[2]
    if named == "fields":
        found_type: Type | None = of[2](name)
        return found_type
    if named == "meta":
        return "string" if name in ("name", "generateName") else None
    if named == "optional":
        inner = field(of[1], name) if len(of) == 2 else DYN
        return None if inner is None else ("optional", inner)
    if named == "object":
        schema = of[1]
        if (of[2] or schema.get("x-kubernetes-embedded-resource")) and name in _META:
            return _META[name]
        found = (schema.get("properties") or {}).get(unescaped(name))
        if found is None or not _is_exposed(found):
            return None
        return of_schema(found, is_root=bool(found.get("x-kubernetes-embedded-resource")))
    return None


def _is_exposed(schema: Mapping[str, Any]) -> bool:
    """Rules do not see values of which the schema says nothing, nor lists and maps of such."""
    if schema.get("type") == "array":
        return _is_exposed(schema.get("items") or {})
    extra = schema.get("additionalProperties")
    if schema.get("type") == "object" and isinstance(extra, dict):
        return _is_exposed(extra)
    return bool(schema.get("type") or not schema.get("x-kubernetes-preserve-unknown-fields"))


# Which type may stand for which


def fits(wanted: Type, given: Type, bound: dict[str, Type]) -> bool:
    """Whether a value of the one type may be where the other is wanted; `bound` learns what the parameters stand for."""
    if isinstance(wanted, str) and wanted in _PARAMETERS:
        known = bound.get(wanted)
        if known is None:
            bound[wanted] = given
        elif fits(known, given, bound):
            bound[wanted] = most_general(known, given)
        else:
            return False
        return True
    if wanted in (DYN, FREE) or given in (DYN, FREE) or wanted == given:
        return True
    if kind(wanted) == kind(given) == "type":  # types are values of one kind
        return True
    if given == "null" or wanted == "null":  # what has no value of its own for "nothing" may be null
        return kind(given if wanted == "null" else wanted) not in _NEVER_NULL | {"list", "map"}
    if isinstance(wanted, str) or isinstance(given, str) or wanted[0] != given[0] or len(wanted) != len(given):
        return False
    if wanted[0] in ("object", "fields"):
        return False
    return all(fits(a, b, bound) for a, b in zip(wanted[1:], given[1:], strict=True))


def most_general(a: Type, b: Type) -> Type:
    """Of two types that fit each other."""
    if a == b or b in (FREE, "null"):
        return a
    if a in (FREE, "null"):
        return b
    if isinstance(a, str) or isinstance(b, str) or a[0] not in ("list", "map", "optional"):
        return DYN
    return (a[0], *(most_general(x, y) for x, y in zip(a[1:], b[1:], strict=True)))


def substituted(of: Type, bound: Mapping[str, Type]) -> Type:
    """With the parameters replaced; one that nothing was said of is anything."""
    if isinstance(of, str):
        return bound.get(of, FREE) if of in _PARAMETERS else of
    if of[0] in ("object", "fields"):
        return of
    return (of[0], *(substituted(inner, bound) for inner in of[1:]))


def settled(of: Type) -> Type:
    """As those outside see it: what is still open may be anything."""
    if isinstance(of, str):
        return DYN if of == FREE else of
    return (of[0], *map(settled, of[1:])) if of[0] in ("list", "map", "optional") else of


_PARAMETERS: Final = frozenset("ABCKTUV")


def shown(of: Type) -> str:
    """As upstream's checker writes it."""
    if isinstance(of, str):
        return _SHOWN.get(of, of)
    if of[0] in ("object", "meta"):
        return "object"
    if of[0] == "fields":
        return str(of[1])
    name = "optional_type" if of[0] == "optional" else of[0]
    return f"{name}({', '.join(shown(inner) for inner in of[1:])})"


def runtime_name(of: Type) -> str:
    """What `type()` would say of a value of it."""
    named = kind(of)
    return {"null": "null_type", "optional": "optional_type"}.get(named) or _SHOWN.get(named, named)


# Names of fields

_MARKS: Final = (("__dot__", "."), ("__dash__", "-"), ("__slash__", "/"))


def unescaped(name: str) -> str:
    """A field's name out of how expressions must spell it: `a__dash__b`, `__namespace__`."""
    if "__" not in name:
        return name
    if name.startswith("__") and name.endswith("__") and name[2:-2] in RESERVED:
        return name[2:-2]
    parts = name.split("__underscores__")
    for mark, character in _MARKS:
        parts = [part.replace(mark, character) for part in parts]
    return "__".join(parts)
