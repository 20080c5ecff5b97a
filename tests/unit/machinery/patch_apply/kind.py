"""A small kind with every way of merging, and values of it."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from pybernetes.machinery.patch.apply import fieldsets, managers
from pybernetes.machinery.patch.apply.managers import Writer
from pybernetes.machinery.schema.shapes import Shape, shape_of, shape_of_structural, zero_of

TEXT = {"type": "string"}
PORTS = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["port", "protocol"],
    "items": {
        "type": "object",
        "properties": {"port": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"}, "name": TEXT},
    },
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "size": {"type": "integer"},
                "on": {"type": "boolean"},
                "labels": {"type": "object", "additionalProperties": TEXT},
                "selector": {"type": "object", "additionalProperties": TEXT, "x-kubernetes-map-type": "atomic"},
                "args": {"type": "array", "items": TEXT},
                "tags": {"type": "array", "items": TEXT, "x-kubernetes-list-type": "set"},
                "parts": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {"type": "object", "properties": {"name": TEXT, "image": TEXT, "ports": PORTS}},
                },
                "nested": {"type": "object", "properties": {"inner": {"type": "object", "properties": {"deep": TEXT}}}},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            },
        },
        "status": {"type": "object", "properties": {"phase": TEXT}},
    },
}
SHAPE = shape_of_structural(SCHEMA)
V1 = "example.com/v1"


class Types:
    """One version, whose shape is given; the zero object has nothing in it."""

    def __init__(self, shape: Shape = SHAPE, zero: dict[str, Any] | None = None) -> None:
        self._shape, self._zero = shape, zero or {}

    def shape(self, api_version: str) -> Shape | None:
        return self._shape if "lost" not in api_version else None

    def zero(self, api_version: str) -> dict[str, Any]:
        return self._zero

    def convert(self, obj: dict[str, Any], api_version: str) -> dict[str, Any]:
        return obj


def builtin(name: str) -> Types:
    return Types(shape_of(name), zero_of(name))


class World:
    """One object and those who write it."""

    def __init__(self, types: Types | None = None, api_version: str = V1) -> None:
        self.types = types or Types()
        self.api_version = api_version
        self.obj: dict[str, Any] = dict(self.types.zero(api_version))
        self.entries: list[dict[str, Any]] = []
        self.clock = 0

    def _writer(self, manager: str, **more: Any) -> Writer:
        self.clock += 1
        return Writer(manager, self.api_version, f"2026-01-01T00:{self.clock // 60:02}:{self.clock % 60:02}Z", **more)

    def create(self, manager: str, obj: dict[str, Any], **more: Any) -> None:
        self.obj, self.entries = obj, managers.created(self.types, obj, self._writer(manager, **more))

    def update(self, manager: str, new: dict[str, Any], **more: Any) -> None:
        self.entries = managers.updated(self.types, self.obj, new, self.entries, self._writer(manager, **more))
        self.obj = new

    def apply(self, manager: str, config: dict[str, Any], *, force: bool = False, **more: Any) -> bool:
        """Whether the object changed."""
        writer = self._writer(manager, **more)
        new, self.entries = managers.applied(self.types, self.obj, config, self.entries, writer, force=force)
        if new is not None:
            self.obj = new
        return new is not None

    def fields(self, manager: str) -> dict[str, Any]:
        """What it owns in all, {} if it is no manager."""
        found: dict[str, Any] = {}
        for entry in self.entries:
            if entry["manager"] == manager:
                found = fieldsets.union(found, entry["fieldsV1"])
        return found


def without_nulls(value: Any) -> Any:
    """As decoding leaves a value: absent is absent."""
    if isinstance(value, dict):
        return {name: without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value


# Values

Values = st.SearchStrategy[Any]
words: Values = st.sampled_from(["a", "b", "c", "d"])
texts: Values = st.dictionaries(words, words, min_size=1, max_size=3)
ports: Values = st.fixed_dictionaries(
    {"port": st.integers(1, 3)}, optional={"protocol": st.sampled_from(["TCP", "UDP"]), "name": words}
)


def _port(port: dict[str, Any]) -> tuple[int, str]:
    return port["port"], port.get("protocol", "TCP")


parts: Values = st.fixed_dictionaries(
    {"name": words}, optional={"image": words, "ports": st.lists(ports, unique_by=_port, min_size=1, max_size=2)}
)
specs: Values = st.fixed_dictionaries(
    {},
    optional={
        "size": st.integers(0, 2),
        "on": st.booleans(),
        "labels": texts,
        "selector": texts,
        "args": st.lists(words, min_size=1, max_size=2),
        "tags": st.lists(words, unique=True, min_size=1, max_size=3),
        "parts": st.lists(parts, unique_by=lambda part: part["name"], min_size=1, max_size=3),
        "nested": st.just({"inner": {"deep": "x"}}),
        "free": st.fixed_dictionaries({"word": words}, optional={"map": texts, "list": st.lists(words, min_size=1)}),
    },
)
objects: Values = specs.map(lambda spec: {"spec": spec} if spec else {})
