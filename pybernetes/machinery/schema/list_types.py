"""Lists that are sets or maps (`x-kubernetes-list-type`) hold nothing twice. Each schema becomes one function, once.

Apart from the other checks, for an update is judged otherwise: one duplicate that was there excuses them all, as upstream.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.schema.values import map_identity

# (value, path as errors have it) -> errors
ListCheck = Callable[[Any, str], Iterator[FieldError]]


def compile_list_types(schema: Mapping[str, Any]) -> ListCheck | None:
    """None if there are neither sets nor maps in the schema."""
    own = _own(schema) if schema.get("x-kubernetes-list-type") in ("set", "map") else None
    given, extra = schema.get("items"), schema.get("additionalProperties")
    items = compile_list_types(given) if isinstance(given, dict) else None
    others = compile_list_types(extra) if isinstance(extra, dict) else None
    known = schema.get("properties") or {}
    properties = {name: made for name, inner in known.items() if (made := compile_list_types(inner)) is not None}
    if own is None and items is None and others is None and not properties:
        return None

    def check(value: Any, path: str) -> Iterator[FieldError]:
        if type(value) is list:
            if own is not None:
                yield from own(value, path)
            if items is not None:
                for place, item in enumerate(value):
                    yield from items(item, f"{path}[{place}]")
        elif type(value) is dict:
            for name, inner in properties.items():
                if name in value:
                    yield from inner(value[name], f"{path}.{name}" if path else name)
            if others is not None:
                for name, item in value.items():
                    if name not in known:
                        yield from others(item, f"{path}[{name}]")

    return check


def _own(schema: Mapping[str, Any]) -> ListCheck:
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    is_map = schema["x-kubernetes-list-type"] == "map"

    def check(value: Any, path: str) -> Iterator[FieldError]:
        seen: set[Any] = set()
        for place, item in enumerate(value):
            if is_map and type(item) is dict:
                shown: Any = {key: item[key] for key in keys if key in item}
                identity: Any = map_identity(item, keys)
            else:
                shown, identity = item, json.dumps(item, sort_keys=True)
            if identity in seen:
                yield FieldError.duplicate(f"{path}[{place}]", shown)
            seen.add(identity)

    return check
