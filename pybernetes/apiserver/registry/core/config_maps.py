"""ConfigMaps (KEP-1412: immutable ones)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks, printing
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Strategy
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.resources import CONFIG_MAPS

SIZE_MAX = 1024 * 1024  # bytes of all values
_FROZEN = "field is immutable when `immutable` is set"


def validate(config_map: Object) -> Iterator[FieldError]:
    data, binary = config_map.get("data") or {}, config_map.get("binaryData") or {}
    size = 0
    for key, value in data.items():
        yield from checks.invalid_by(f"data[{key}]", key, validation.config_key_errors)
        if key in binary:
            yield FieldError.invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
        size += len(value)
    for key, value in binary.items():
        yield from checks.invalid_by(f"binaryData[{key}]", key, validation.config_key_errors)
        size += decoded_size(value)
    if size > SIZE_MAX:
        yield FieldError.too_long("", SIZE_MAX)


def decoded_size(base64: str) -> int:
    return len(base64) * 3 // 4 - base64.count("=", -2)


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    """Once immutable, the payload is frozen and the flag cannot be taken back."""
    yield from frozen(new, old, ("data", "binaryData"))


def frozen(new: Object, old: Object, fields: tuple[str, ...]) -> Iterator[FieldError]:
    if not old.get("immutable"):
        return
    if not new.get("immutable"):
        yield FieldError.forbidden("immutable", _FROZEN)
    for field in fields:
        if (new.get(field) or {}) != (old.get(field) or {}):
            yield FieldError.forbidden(field, _FROZEN)


def cells(config_map: Object, now: datetime) -> list[Any]:
    count = len(config_map.get("data") or ()) + len(config_map.get("binaryData") or ())
    return [name_of(config_map), count, printing.age(config_map, now)]


STRATEGY = Strategy(
    resource=CONFIG_MAPS,
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("Data"), AGE),
    cells=cells,
)
