"""Structural schemas: the types of custom resources, compiled once into functions like those of the built-in types.

A `Structural` answers to the same calls as a built-in kind's `Schema`: `conform` makes an object what is stored (metadata is
ObjectMeta, what the schema does not name is dropped, and reported), `default` fills in, `validate` judges.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
(structural schema, field pruning, defaulting and nullable).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from pybernetes.machinery.errors import DecodeError, FieldError
from pybernetes.machinery.meta import GroupVersionKind, Object, clone
from pybernetes.machinery.schema.compile import Unfit, conformer
from pybernetes.machinery.schema.decode import Refused, decode
from pybernetes.machinery.schema.list_types import compile_list_types
from pybernetes.machinery.schema.types import struct
from pybernetes.machinery.schema.values import ABSENT, compile_checks

_META: Final = frozenset(("apiVersion", "kind", "metadata"))
_EVERYTHING: Final[Mapping[str, Any]] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}

Prune = Callable[[Any, str, list[str]], None]  # value, path, unknown fields found
Default = Callable[[Any], None]


class Structural:
    """A version of a custom resource. `definition` is its `openAPIV3Schema`. Raises ValueError for a malformed pattern."""

    __slots__ = ("_check", "_default", "_drop_nulls", "_find_repeated", "_prune", "definition", "gvk")

    def __init__(self, gvk: GroupVersionKind, definition: Mapping[str, Any] | None) -> None:
        self.gvk = gvk
        self.definition: Mapping[str, Any] = definition or _EVERYTHING
        self._prune = compile_prune(self.definition, is_root=True)
        self._default = compile_default(self.definition)
        self._drop_nulls = _compile_null_drop(self.definition)
        self._check = compile_checks(self.definition)
        self._find_repeated = compile_list_types(self.definition)

    def conform(self, obj: Object, *, expected_kind: str = "") -> list[str]:
        """As `Schema.conform`: in place, idempotent; the paths of what was dropped. Raises `DecodeError`."""
        unknown = self._conform_metadata(obj)
        found: list[str] = []
        try:
            self._prune(obj, "", found)
            if self._drop_nulls is not None:
                self._drop_nulls(obj)
        except RecursionError:
            raise self._error("exceeded max depth") from None
        return unknown + sorted(found)

    def blank(self) -> Object:
        """As `Schema.blank`: nothing is written that was not given."""
        return {}

    def default(self, obj: Object) -> None:
        """Fill in what the schema has defaults for; a null that may not be one counts as absent."""
        if self._default is not None:
            self._default(obj)

    def validate(self, obj: Object, old: Object | None = None) -> Iterable[FieldError]:
        """What is wrong with the values; of an update, only where they changed."""
        yield from self._check(obj, ABSENT if old is None else old, "")
        if self._find_repeated is not None:
            repeated = list(self._find_repeated(obj, ""))
            if repeated and not (old is not None and any(True for _ in self._find_repeated(old, ""))):
                yield from repeated

    def _conform_metadata(self, obj: Object) -> list[str]:
        metadata = obj.get("metadata")
        if metadata is None:
            obj["metadata"] = {}
            return []
        if type(metadata) is not dict:
            raise self._error(wrong_metadata(metadata))
        try:
            return [f"metadata.{path}" for path in conform_object_meta(metadata)]
        except Refused as error:
            raise self._error(str(error)) from None

    def _error(self, why: str) -> DecodeError:
        gvk = self.gvk
        return DecodeError(f'{gvk.kind} in version "{gvk.version}" cannot be handled as a {gvk.kind}: {why}', why)


def conform_object_meta(metadata: Object) -> list[str]:
    """Make it an ObjectMeta; the unknown fields dropped. Raises Refused."""
    structure = struct("meta.v1.ObjectMeta")
    try:
        conformer(structure)(None, None, metadata)
    except Unfit:
        return decode(structure, metadata)
    return []


def wrong_metadata(value: Any) -> str:
    """What is said of metadata that is not even an object."""
    name = {list: "array", str: "string", bool: "bool"}.get(type(value), "number")
    return f"json: cannot unmarshal {name} into Go value of type v1.ObjectMeta"


# Pruning


def compile_prune(schema: Mapping[str, Any], *, is_root: bool = False) -> Prune:
    """Drops the fields that the schema does not name."""
    keeps = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    keeps_meta = is_root or bool(schema.get("x-kubernetes-embedded-resource"))
    properties = {name: compile_prune(inner) for name, inner in (schema.get("properties") or {}).items()}
    extra = schema.get("additionalProperties")
    others = compile_prune(extra) if isinstance(extra, dict) and extra else _prune_all if extra else None
    given = schema.get("items")
    items = compile_prune(given) if isinstance(given, dict) else None
    embeds = keeps_meta and not is_root

    def prune(value: Any, path: str, unknown: list[str]) -> None:
        if type(value) is dict:
            head = f"{path}." if path else ""
            for name in list(value):
                if keeps_meta and name in _META:
                    continue
                inner = properties.get(name, others)
                if inner is not None:
                    if type(value[name]) in (dict, list):
                        inner(value[name], head + name, unknown)
                elif not keeps:
                    unknown.append(head + name)
                    del value[name]
            if embeds and type(value.get("metadata")) is dict:
                _conform_embedded(value["metadata"], f"{head}metadata", unknown)
        elif type(value) is list:
            inner = items or (None if keeps else _prune_all)
            if inner is not None:
                for place, item in enumerate(value):
                    if type(item) in (dict, list):
                        inner(item, f"{path}[{place}]", unknown)

    return prune


def _conform_embedded(metadata: Object, path: str, unknown: list[str]) -> None:
    try:
        unknown += [f"{path}.{name}" for name in conform_object_meta(metadata)]
    except Refused:
        pass  # validation says so


def _prune_all(value: Any, path: str, unknown: list[str]) -> None:
    """Where no schema is: objects lose all their fields."""
    if type(value) is dict:
        unknown += [f"{path}.{name}" for name in value]
        value.clear()
    elif type(value) is list:
        for place, item in enumerate(value):
            _prune_all(item, f"{path}[{place}]", unknown)


# Defaulting


def compile_default(schema: Mapping[str, Any]) -> Default | None:
    """Fills in defaults; None if there are none in the schema."""
    schemas: Mapping[str, Any] = schema.get("properties") or {}
    defaults = [
        (name, inner["default"], not inner.get("nullable"))
        for name, inner in schemas.items() if inner.get("default") is not None
    ]  # fmt: skip
    below = {name: made for name, inner in schemas.items() if (made := compile_default(inner)) is not None}
    extra = schema.get("additionalProperties")
    others = compile_default(extra) if isinstance(extra, dict) else None
    extra_default = extra.get("default") if isinstance(extra, dict) and not extra.get("nullable") else None
    given = schema.get("items")
    items = compile_default(given) if isinstance(given, dict) else None
    item_default = given.get("default") if isinstance(given, dict) and not given.get("nullable") else None
    if not (defaults or below or others or items or extra_default is not None or item_default is not None):
        return None

    def fill(value: Any) -> None:
        if type(value) is dict:
            for name, default, replaces_null in defaults:
                if name not in value or (replaces_null and value[name] is None):
                    value[name] = clone(default)
            for name, step in below.items():
                if name in value:
                    step(value[name])
            if others is not None or extra_default is not None:
                for name in value:
                    if name not in schemas:
                        if value[name] is None and extra_default is not None:
                            value[name] = clone(extra_default)
                        if others is not None:
                            others(value[name])
        elif type(value) is list:
            for place, item in enumerate(value):
                if item is None and item_default is not None:
                    value[place] = clone(item_default)
                if items is not None:
                    items(value[place])

    return fill


def _compile_null_drop(schema: Mapping[str, Any]) -> Default | None:
    """Drops nulls that may not be ones and have no default to take their place."""
    schemas: Mapping[str, Any] = schema.get("properties") or {}
    dropped = frozenset(name for name, inner in schemas.items() if not inner.get("nullable") and inner.get("default") is None)
    below = {name: made for name, inner in schemas.items() if (made := _compile_null_drop(inner)) is not None}
    extra = schema.get("additionalProperties")
    extra = extra if isinstance(extra, dict) else None
    others = _compile_null_drop(extra) if extra else None
    drops_others = extra is not None and not extra.get("nullable") and extra.get("default") is None
    given = schema.get("items")
    items = _compile_null_drop(given) if isinstance(given, dict) else None
    if not (dropped or below or others or drops_others or items):
        return None

    def drop(value: Any) -> None:
        if type(value) is dict:
            if None in value.values():
                nulls = [name for name, inner in value.items() if inner is None]
                for name in nulls:
                    if name in dropped or (drops_others and name not in schemas):
                        del value[name]
            for name, step in below.items():
                if name in value:
                    step(value[name])
            if others is not None:
                for name, inner in value.items():
                    if name not in schemas:
                        others(inner)
        elif type(value) is list and items is not None:
            for item in value:
                items(item)

    return drop
