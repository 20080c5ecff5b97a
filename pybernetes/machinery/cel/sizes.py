"""How large the values of a structural schema can be: what the cost of an expression is estimated from.

Limits of the schema count (`maxItems`, `maxProperties`, `maxLength`, enums); where it has none, so does the size of a request.

Source: "Resource use by validation functions" in
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pybernetes.machinery.cel.types import unescaped

REQUEST_BYTES: Final = 3 * 1024 * 1024
_TEXT_MAX: Final = REQUEST_BYTES - 2  # without its quotation marks
# (longest, shortest) of formats whose values are no texts, with quotation marks
_FORMATS: Final[Mapping[str, tuple[int, int]]] = {"duration": (32, 3), "date": (12, 12), "date-time": (32, 21)}
_SHORTEST_TEXT: Final = 2
_SHORTEST: Final[Mapping[str, int]] = {"boolean": 4, "number": 1, "integer": 1}
_META: Final[Mapping[str, Any]] = {
    "kind": {"type": "string"}, "apiVersion": {"type": "string"},
    "metadata": {"type": "object", "properties": {"name": {"type": "string"}, "generateName": {"type": "string"}}},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of a value. `elements_max`: characters, bytes, items or entries, 0 for what has none; `json_min`: its shortest JSON."""

    elements_max: int
    json_min: int
    fields: Mapping[str, Sizes] = field(default_factory=dict)
    keys: Sizes | None = None
    values: Sizes | None = None  # of a map, or items of a list

    def at(self, path: tuple[str, ...]) -> Sizes | None:
        """Of a part: names of fields, `@items`, `@values`, `@keys`. None if nothing is known of it."""
        found: Sizes | None = self
        for name in path:
            if found is None:
                return None
            if name in ("@items", "@values"):
                found = found.values
            else:
                found = found.keys if name == "@keys" else found.fields.get(unescaped(name))
        return found

    @property
    def cardinality_max(self) -> int:
        """How often such a value can be in one request."""
        return REQUEST_BYTES // (self.json_min + 1)


_KEY: Final = Sizes(0, _SHORTEST_TEXT)


def of_schema(schema: Mapping[str, Any], *, is_root: bool = False) -> Sizes | None:
    """None for what expressions do not see: values whose type the schema leaves open."""
    if schema.get("x-kubernetes-int-or-string"):
        return Sizes(4 * _limit(schema, "maxLength") if "maxLength" in schema else _TEXT_MAX, 1)
    kind = schema.get("type")
    if kind == "object":
        extra = schema.get("additionalProperties")
        return _map(schema, extra) if isinstance(extra, dict) and not is_root else _object(schema, is_root=is_root)
    if kind == "array":
        return _list(schema)
    if kind == "string":
        return _text(schema)
    shortest = _SHORTEST.get(str(kind))
    return Sizes(0, shortest) if shortest is not None else None


def _limit(schema: Mapping[str, Any], name: str) -> int:
    return max(0, int(schema[name]))


def _inner(schema: Mapping[str, Any]) -> Sizes | None:
    return of_schema(schema, is_root=bool(schema.get("x-kubernetes-embedded-resource")))


def _map(schema: Mapping[str, Any], extra: Mapping[str, Any]) -> Sizes | None:
    values = _inner(extra)
    if values is None:
        return None
    most = (REQUEST_BYTES - 2) // (values.json_min + 6)  # a key, quotation marks, a colon and a comma
    return Sizes(_limit(schema, "maxProperties") if "maxProperties" in schema else most, 2, keys=_KEY, values=values)


def _list(schema: Mapping[str, Any]) -> Sizes | None:
    items = _inner(schema.get("items") or {})
    if items is None:
        return None
    most = (REQUEST_BYTES - 2) // (items.json_min + 1)
    return Sizes(_limit(schema, "maxItems") if "maxItems" in schema else most, 2, values=items)


def _object(schema: Mapping[str, Any], *, is_root: bool) -> Sizes:
    properties = dict(schema.get("properties") or {})
    if is_root:
        properties |= _META
    required = frozenset(schema.get("required") or ())
    fields, shortest = {}, 2
    for name, inner in properties.items():
        found = _inner(inner)
        if found is None:
            continue
        fields[name] = found
        if name in required and "default" not in inner:
            shortest += len(name.encode()) + found.json_min + 4
    return Sizes(0, shortest, fields=fields)


def _text(schema: Mapping[str, Any]) -> Sizes:
    named = schema.get("format", "")
    if named in _FORMATS:
        return Sizes(*_FORMATS[named])
    if "maxLength" in schema:  # is in characters, of up to four bytes
        return Sizes(_limit(schema, "maxLength") * (1 if named == "byte" else 4), _SHORTEST_TEXT)
    texts = [value for value in schema.get("enum") or () if isinstance(value, str)]
    if schema.get("enum") and named != "byte":
        return Sizes(max((len(text.encode()) for text in texts), default=0), _SHORTEST_TEXT)
    return Sizes(_TEXT_MAX, _SHORTEST_TEXT)
