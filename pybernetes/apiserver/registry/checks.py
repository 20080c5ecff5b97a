"""The vocabulary of validation: checks of one field, each a generator of `FieldError`s.

Paths are strings (`spec.containers[0].name`), built by the caller; nothing is built or yielded for a field that is right
beyond the path itself. Sentences are upstream's (`machinery/validation.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pybernetes.machinery import validation as v
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object

NOT_NEGATIVE = "must be greater than or equal to 0"
POSITIVE = "must be greater than 0"
IMMUTABLE = "field is immutable"
MAX_INT32 = 2**31 - 1
Sentences = Callable[[str], Sequence[str]]


def invalid_by(path: str, value: str, sentences: Sentences) -> Iterator[FieldError]:
    """One `Invalid value` for each sentence that the value earns."""
    for sentence in sentences(value):
        yield FieldError.invalid(path, value, sentence)


def not_negative(value: int | None, path: str) -> Iterator[FieldError]:
    if value is not None and value < 0:
        yield FieldError.invalid(path, value, NOT_NEGATIVE)


def between(value: int, low: int, high: int, path: str) -> Iterator[FieldError]:
    if not low <= value <= high:
        yield FieldError.invalid(path, value, f"must be between {low} and {high}, inclusive")


def port_number(value: int, path: str) -> Iterator[FieldError]:
    return between(value, 1, 65535, path)


def port_number_or_name(value: int | str, path: str) -> Iterator[FieldError]:
    if isinstance(value, int):
        yield from port_number(value, path)
    else:
        yield from invalid_by(path, value, v.port_name_errors)


def one_of(value: str, choices: Sequence[str], path: str) -> Iterator[FieldError]:
    if value not in choices:
        yield FieldError.not_supported(path, value, choices)


def required_one_of(value: str, choices: Sequence[str], path: str) -> Iterator[FieldError]:
    """As `one_of`; nothing at all is "required", not "unsupported"."""
    if not value:
        yield FieldError.required(path)
    elif value not in choices:
        yield FieldError.not_supported(path, value, choices)


def immutable(new: Any, old: Any, path: str) -> Iterator[FieldError]:
    if new != old:
        yield FieldError.invalid(path, new, IMMUTABLE)


def int_or_percent(value: int | str, path: str) -> Iterator[FieldError]:
    """A number that is not negative, or a percentage (`25%`)."""
    if isinstance(value, int):
        yield from not_negative(value, path)
    else:
        yield from invalid_by(path, value, v.percent_errors)


def percent_of(value: int | str) -> int | None:
    """The number before the `%`, None for anything else."""
    return int(value[:-1]) if isinstance(value, str) and not v.percent_errors(value) else None


def at_most_100_percent(value: int | str, path: str) -> Iterator[FieldError]:
    percent = percent_of(value)
    if percent is not None and percent > 100:
        yield FieldError.invalid(path, value, "must not be greater than 100%")


def absolute_path(path_value: str, path: str) -> Iterator[FieldError]:
    if not path_value.startswith("/"):
        yield FieldError.invalid(path, path_value, "must be an absolute path")


def no_back_steps(path_value: str, path: str) -> Iterator[FieldError]:
    if ".." in path_value.split("/"):
        yield FieldError.invalid(path, path_value, "must not contain '..'")


def relative_path(path_value: str, path: str) -> Iterator[FieldError]:
    """A path that stays below where it starts."""
    if path_value.startswith("/"):
        yield FieldError.invalid(path, path_value, "must be a relative path")
    yield from no_back_steps(path_value, path)


def relative_path_without_dots(path_value: str, path: str) -> Iterator[FieldError]:
    """As `relative_path`, for files in a volume: `..data` is kept for the volume's own use."""
    yield from relative_path(path_value, path)
    if path_value.startswith("..") and ".." not in path_value.split("/"):
        yield FieldError.invalid(path, path_value, "must not start with '..'")


def label_map(found: Mapping[str, str] | None, path: str) -> Iterator[FieldError]:
    """Label keys and values, as in `metadata.labels` and `matchLabels`."""
    for key, value in (found or {}).items():
        yield from invalid_by(path, key, v.label_key_errors)
        yield from invalid_by(path, value, v.label_value_errors)


def annotation_map(found: Mapping[str, str] | None, path: str) -> Iterator[FieldError]:
    size = 0
    for key, value in (found or {}).items():
        yield from invalid_by(path, key.lower(), v.label_key_errors)
        size += len(key) + len(value)
    if size > 256 * 1024:
        yield FieldError.too_long(path, 256 * 1024)


def label_selector(selector: Object | None, path: str, *, strict_values: bool = True) -> Iterator[FieldError]:
    """`metav1.LabelSelector`."""
    if not selector:
        return
    yield from label_map(selector.get("matchLabels"), path + ".matchLabels")
    for i, expression in enumerate(selector.get("matchExpressions") or ()):
        yield from label_expression(expression, f"{path}.matchExpressions[{i}]", strict_values=strict_values)


def label_expression(
    expression: Object, path: str, *, strict_values: bool = True, known_operators: bool = True
) -> Iterator[FieldError]:
    """`known_operators`: whether the operators of later versions are wrong."""
    values = expression.get("values") or ()
    operator = expression.get("operator", "")
    yield from values_fit_operator(expression, path)
    if known_operators and operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
        yield FieldError.invalid(path + ".operator", operator, "not a valid selector operator")
    yield from invalid_by(path + ".key", expression.get("key", ""), v.label_key_errors)
    if strict_values:
        for i, value in enumerate(values):
            yield from invalid_by(f"{path}.values[{i}]", value, v.label_value_errors)


def values_fit_operator(requirement: Object, path: str) -> Iterator[FieldError]:
    """Of a selector's requirement, for labels or for fields."""
    values, operator = requirement.get("values") or (), requirement.get("operator", "")
    if operator in ("In", "NotIn") and not values:
        yield FieldError.required(path + ".values", "must be specified when `operator` is 'In' or 'NotIn'")
    if operator in ("Exists", "DoesNotExist") and values:
        yield FieldError.forbidden(path + ".values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")


def is_empty_selector(selector: Object | None) -> bool:
    return not selector or not (selector.get("matchLabels") or selector.get("matchExpressions"))


def unique(values: Iterable[Any], path: str, field: str = "") -> Iterator[FieldError]:
    """`path[i]field` is where the i-th value is."""
    seen = set()
    for i, value in enumerate(values):
        if value in seen:
            yield FieldError.duplicate(f"{path}[{i}]{field}", value)
        seen.add(value)


def invalid_struct(path: str, obj: Object | None, fields: Mapping[str, Any], detail: str) -> FieldError:
    """`Invalid value` of a whole struct, printed as Go prints its internal type: all fields in order, in Go's names.

    `fields` maps Go's name to what an absent one shows; the JSON name is the same with a small first letter.
    """
    found = obj or {}
    shown = {name: found.get(name[0].lower() + name[1:], default) for name, default in fields.items()}
    return FieldError("FieldValueInvalid", path, f"Invalid value: {_compact(shown)}: {detail}")


def invalid_selector(path: str, selector: Object | None, detail: str) -> FieldError:
    """As `FieldError.invalid` of a `metav1.LabelSelector`, whose fields have an order in Go."""
    shown = None
    if selector is not None:
        shown = {name: selector[name] for name in ("matchLabels", "matchExpressions") if selector.get(name)}
    return FieldError("FieldValueInvalid", path, f"Invalid value: {_compact(shown)}: {detail}")


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
