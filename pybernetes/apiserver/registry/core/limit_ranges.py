"""LimitRanges: defaults and bounds for the resources of one object."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import printing
from pybernetes.apiserver.registry.core.pod_spec import resources as resource_checks
from pybernetes.apiserver.registry.strategy import NAME, Column, Strategy
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.quantity import Quantity, parse
from pybernetes.machinery.resources import LIMIT_RANGES

_TYPES = ("Pod", "Container", "PersistentVolumeClaim")


def default(limit_range: Object) -> None:
    """For containers, what is not said follows: default from max, defaultRequest from default and then from min."""
    for item in limit_range.setdefault("spec", {}).get("limits") or ():
        if item.get("type") == "Container":
            defaults = {**(item.get("max") or {}), **(item.get("default") or {})}
            requests = {**(item.get("min") or {}), **defaults, **(item.get("defaultRequest") or {})}
            for field, value in (("default", defaults), ("defaultRequest", requests)):
                if value:
                    item[field] = value


def validate(limit_range: Object) -> Iterator[FieldError]:
    seen = set()
    for i, item in enumerate(limit_range["spec"].get("limits") or ()):
        type_, path = item.get("type", ""), f"spec.limits[{i}]"
        if type_ not in _TYPES:
            yield from _each(path + ".type", type_, validation.label_key_errors(type_))
            if "/" not in type_:
                sentence = "must be a standard limit type or fully qualified"
                yield FieldError.invalid(path + ".type", type_, sentence)
        if type_ in seen:
            yield FieldError.duplicate(path + ".type", type_)
        seen.add(type_)
        yield from _validate_item(item, type_, path)


def _each(path: str, value: str, sentences: list[str]) -> Iterator[FieldError]:
    for sentence in sentences:
        yield FieldError.invalid(path, value, sentence)


def _validate_item(item: Object, type_: str, path: str) -> Iterator[FieldError]:
    found: dict[str, dict[str, Quantity]] = {}
    for field in ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio"):
        found[field] = {name: parse(text) for name, text in (item.get(field) or {}).items()}
        for name in found[field]:
            check = (
                resource_checks.validate_container_resource_name
                if type_ == "Container"
                else resource_checks.validate_resource_name
            )
            if not (type_ == "PersistentVolumeClaim" and name == "storage"):
                yield from check(name, f"{path}.{field}[{name}]")
    if type_ == "Pod":
        for field in ("default", "defaultRequest"):
            if found[field]:
                yield FieldError.forbidden(f"{path}.{field}", "may not be specified when `type` is 'Pod'")
    if type_ == "PersistentVolumeClaim" and "storage" not in found["min"] and "storage" not in found["max"]:
        yield FieldError.required(
            path + ".limits", "either minimum or maximum storage value is required, but neither was provided"
        )
    for name in sorted({name for amounts in found.values() for name in amounts}):
        yield from _validate_order(name, {field: amounts[name] for field, amounts in found.items() if name in amounts}, path)


# (what, where, not more than): in upstream's order.
_ORDER = (
    ("min", "min", "max"), ("defaultRequest", "defaultRequest", "max"), ("default", "default", "max"),
    ("min", "default", "defaultRequest"), ("min", "default", "default"), ("defaultRequest", "defaultRequest", "default"),
)  # fmt: skip
_WORDS = {"min": "min", "max": "max", "default": "default", "defaultRequest": "default request"}


def _validate_order(name: str, amounts: dict[str, Quantity], path: str) -> Iterator[FieldError]:
    for low, where, high in _ORDER:
        if low in amounts and high in amounts and amounts[low] > amounts[high]:
            shown, limit = amounts[low].canonical(), amounts[high].canonical()
            field = f"{path}.{where if low != 'min' or high != 'max' else 'min'}[{name}]"
            sentence = f"{_WORDS[low]} value {shown} is greater than {_WORDS[high]} value {limit}"
            yield FieldError.invalid(field, amounts[where if where in amounts else low].canonical(), sentence)
    ratio = amounts.get("maxLimitRequestRatio")
    if ratio is not None:
        here, shown = f"{path}.maxLimitRequestRatio[{name}]", ratio.canonical()
        if ratio < parse(1):
            yield FieldError.invalid(here, shown, f"ratio {shown} is less than 1")
        if "min" in amounts and "max" in amounts and amounts["min"].nanos:
            limit_ratio = amounts["max"].nanos / amounts["min"].nanos
            if ratio.nanos / 10**9 > limit_ratio:
                sentence = f"ratio {shown} is greater than max/min = {limit_ratio:f}"
                yield FieldError.invalid(here, shown, sentence)


def cells(limit_range: Object, _: datetime) -> list[Any]:
    return [name_of(limit_range), printing.created_at(limit_range)]


STRATEGY = Strategy(
    resource=LIMIT_RANGES,
    default=default,
    validate=validate,
    columns=(NAME, Column("Created At", "date")),
    cells=cells,
)
