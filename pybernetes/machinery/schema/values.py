"""Value validation of structural schemas: types, bounds, patterns, formats, choices. Each schema becomes one function, once.

Errors are those of upstream's OpenAPI validation, sentences and causes alike. What did not change in an update is not held
against it (KEP-4008): with an old value at hand, equal parts are passed over.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.go_regexp import compile_pattern
from pybernetes.machinery.meta import Object
from pybernetes.machinery.schema.formats import FORMATS

Schema = Mapping[str, Any]
# (value, old value or ABSENT, path as messages show it) -> errors. The path is "" at the root, then `spec.a[0].b`.
Check = Callable[[Any, Any, str], Iterator[FieldError]]

ABSENT: Final = object()
NO_FIELD: Final = "<nil>"  # what upstream calls the field of an error that has none
_JSON_TYPES: Final = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}


def compile_checks(schema: Schema) -> Check:
    """The check of a schema and all below it. Raises ValueError for a malformed pattern."""
    own = list(_own_checks(schema))
    nullable = bool(schema.get("nullable"))

    def check(value: Any, old: Any, path: str) -> Iterator[FieldError]:
        if value is None and nullable:
            return
        if old is not ABSENT and old == value:
            return
        for part in own:
            yield from part(value, old, path)

    return check


def identity_of(old: Sequence[Any] | Any, keys: Sequence[str]) -> Mapping[Any, Any]:
    """The items of an old list by their map keys, to find what an item was before."""
    if not isinstance(old, list):
        return {}
    return {map_identity(item, keys): item for item in old if isinstance(item, dict)}


def map_identity(item: Object, keys: Sequence[str]) -> tuple[str, ...]:
    return tuple(json.dumps(item.get(key), sort_keys=True) for key in keys)


def _own_checks(schema: Schema) -> Iterator[Check]:
    if schema.get("x-kubernetes-int-or-string"):
        yield _check_type(("integer", "string"), "")
    elif schema.get("type"):
        yield _check_type((schema["type"],), schema.get("format", ""))
    yield from _junctors(schema)
    text = _text_checks(schema)
    if text is not None:
        yield text
    number = _number_checks(schema)
    if number is not None:
        yield number
    if schema.get("items") is not None or "maxItems" in schema or "minItems" in schema:
        yield _array_checks(schema)
    if schema.get("enum"):
        yield _enum_check(schema["enum"])
    fields = ("properties", "additionalProperties", "required", "maxProperties", "minProperties")
    if any(schema.get(field) is not None for field in fields):
        yield _object_checks(schema)


def json_type(value: Any) -> str:
    if value is None:
        return "null"
    if type(value) is float and value.is_integer():
        return "integer"
    return _JSON_TYPES[type(value)]


def _check_type(types: Sequence[str], format_: str) -> Check:
    fits = FORMATS.get(format_) if "string" in types else None
    shown = ",".join(types) if len(types) > 1 else types[0]

    def check(value: Any, _: Any, path: str) -> Iterator[FieldError]:
        found = json_type(value)
        if found not in types and not (found == "integer" and "number" in types):
            yield FieldError.type_invalid(_field(path), found, f'{path} in body must be of type {shown}: "{found}"')
        elif fits is not None and type(value) is str and not fits(value):
            yield FieldError.type_invalid(
                _field(path), value, f"{path} in body must be of type {format_}: {json.dumps(value, ensure_ascii=False)}"
            )

    return check


def _field(path: str) -> str:
    return path or NO_FIELD


def _text_checks(schema: Schema) -> Check | None:
    longest, shortest, pattern = schema.get("maxLength"), schema.get("minLength"), schema.get("pattern")
    if longest is None and not shortest and not pattern:
        return None
    matches = compile_pattern(pattern).matches if pattern else None

    def check(value: Any, _: Any, path: str) -> Iterator[FieldError]:
        if type(value) is not str:
            return
        if longest is not None and len(value) > longest:
            yield FieldError.too_long(_field(path), longest)
        if shortest and len(value) < shortest:
            yield FieldError.invalid(_field(path), value, f"{path} in body should be at least {shortest} chars long")
        if matches is not None and not matches(value):
            yield FieldError.invalid(_field(path), value, f"{path} in body should match '{pattern}'")

    return check


def _number_checks(schema: Schema) -> Check | None:
    high, low, step = schema.get("maximum"), schema.get("minimum"), schema.get("multipleOf")
    whole = schema.get("type") == "integer"
    bits = {"int32": 31, "int64": 63}.get(schema.get("format", ""))
    if high is None and low is None and step is None and not (bits and whole):
        return None
    above, below = bool(schema.get("exclusiveMinimum")), bool(schema.get("exclusiveMaximum"))

    def check(value: Any, _: Any, path: str) -> Iterator[FieldError]:
        if type(value) not in (int, float):
            return
        if whole and not _is_whole(value):
            detail = f"Checked value must be of type integer (default format) in {path}"
            yield FieldError.invalid(NO_FIELD, "", detail)
        elif whole and bits and not -(2**bits) <= value < 2**bits:
            detail = f"Checked value must be of type integer with format int{bits + 1} in {path}"
            yield FieldError.invalid(NO_FIELD, "", detail)
        if step is not None and not _is_whole(value / step):
            yield FieldError.invalid(_field(path), value, f"{path} in body should be a multiple of {_number(step)}")
        if high is not None and (value >= high if below else value > high):
            relation = "less than" if below else "less than or equal to"
            yield FieldError.invalid(_field(path), value, f"{path} in body should be {relation} {_number(high)}")
        if low is not None and (value <= low if above else value < low):
            relation = "greater than" if above else "greater than or equal to"
            yield FieldError.invalid(_field(path), value, f"{path} in body should be {relation} {_number(low)}")

    return check


def _is_whole(value: float) -> bool:
    return type(value) is int or float(value).is_integer()


def _number(value: float) -> str:
    """As Go's %v prints a float64."""
    return str(int(value)) if _is_whole(value) and abs(value) < 1e21 else repr(value)


def _enum_check(choices: Sequence[Any]) -> Check:
    shown = [choice if isinstance(choice, str) else json.dumps(choice, separators=(",", ":")) for choice in choices]

    def check(value: Any, _: Any, path: str) -> Iterator[FieldError]:
        if not any(value == choice and isinstance(value, bool) == isinstance(choice, bool) for choice in choices):
            yield FieldError.not_supported(_field(path), value, shown)

    return check


def _array_checks(schema: Schema) -> Check:
    most, fewest = schema.get("maxItems"), schema.get("minItems")
    items = compile_checks(schema["items"]) if isinstance(schema.get("items"), dict) else None
    keys = schema.get("x-kubernetes-list-map-keys") or () if schema.get("x-kubernetes-list-type") == "map" else ()

    def check(value: Any, old: Any, path: str) -> Iterator[FieldError]:
        if type(value) is not list:
            return
        if items is not None:
            before = identity_of(old, keys) if keys and old is not ABSENT else {}
            for place, item in enumerate(value):
                was = before.get(map_identity(item, keys), ABSENT) if before and isinstance(item, dict) else ABSENT
                yield from items(item, was, f"{path}[{place}]")
        if fewest and len(value) < fewest:
            yield FieldError.invalid(_field(path), len(value), f"{path} in body should have at least {fewest} items")
        if most is not None and len(value) > most:
            yield FieldError.too_many(_field(path), len(value), most)

    return check


def _object_checks(schema: Schema) -> Check:
    most, fewest = schema.get("maxProperties"), schema.get("minProperties")
    required: Sequence[str] = schema.get("required") or ()
    properties = {name: compile_checks(inner) for name, inner in (schema.get("properties") or {}).items()}
    extra = schema.get("additionalProperties")
    others = compile_checks(extra) if isinstance(extra, dict) else None

    def check(value: Any, old: Any, path: str) -> Iterator[FieldError]:
        if type(value) is not dict:
            return
        if fewest and len(value) < fewest:
            yield FieldError.invalid(_field(path), len(value), f"{path} in body should have at least {fewest} properties")
        if most is not None and len(value) > most:
            yield FieldError.too_many(_field(path), len(value), most)
        head = f"{path}." if path else ""
        for name in required:
            if name not in value:
                yield FieldError.required(head + name)
        was = old if type(old) is dict else {}
        for name, inner in value.items():
            below = properties.get(name, others)
            if below is not None:
                yield from below(inner, was.get(name, ABSENT), head + name)

    return check


# allOf, anyOf, oneOf, not


def _junctors(schema: Schema) -> Iterator[Check]:
    every = [compile_checks(inner) for inner in schema.get("allOf") or ()]
    if every:
        yield _all_of(every)
    some = [compile_checks(inner) for inner in schema.get("anyOf") or ()]
    if some and not schema.get("x-kubernetes-int-or-string"):
        yield _any_of(some)
    one = [compile_checks(inner) for inner in schema.get("oneOf") or ()]
    if one:
        yield _one_of(one)
    if schema.get("not") is not None:
        yield _none_of(compile_checks(schema["not"]))


def _composite(path: str, sentence: str) -> FieldError:
    return FieldError.invalid(NO_FIELD, "", f'"{path}" {sentence}')


def _all_of(branches: Sequence[Check]) -> Check:
    def check(value: Any, old: Any, path: str) -> Iterator[FieldError]:
        failed = 0
        for branch in branches:
            errors = list(branch(value, old, path))
            failed += bool(errors)
            yield from errors
        if failed:
            none = ". None validated" if failed == len(branches) else ""
            yield _composite(path, f"must validate all the schemas (allOf){none}")

    return check


def _any_of(branches: Sequence[Check]) -> Check:
    def check(value: Any, old: Any, path: str) -> Iterator[FieldError]:
        best: list[FieldError] | None = None
        for branch in branches:
            errors = list(branch(value, old, path))
            if not errors:
                return
            best = errors if best is None else best
        yield _composite(path, "must validate at least one schema (anyOf)")
        yield from best or ()

    return check


def _one_of(branches: Sequence[Check]) -> Check:
    def check(value: Any, old: Any, path: str) -> Iterator[FieldError]:
        first: list[FieldError] | None = None
        valid = 0
        for branch in branches:
            errors = list(branch(value, old, path))
            valid += not errors
            first = errors if first is None and errors else first
        if valid == 1:
            return
        found = f"Found {valid} valid alternatives" if valid else "Found none valid"
        yield _composite(path, f"must validate one and only one schema (oneOf). {found}")
        if not valid:
            yield from first or ()

    return check


def _none_of(branch: Check) -> Check:
    def check(value: Any, _: Any, path: str) -> Iterator[FieldError]:
        if not any(True for _ in branch(value, ABSENT, path)):
            yield _composite(path, "must not validate the schema (not)")

    return check
