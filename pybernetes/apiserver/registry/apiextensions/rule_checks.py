"""The CEL rules of a schema (`x-kubernetes-validations`): is each of them one, and does it cost too much.

What a rule may cost at worst is estimated from the limits that the schema sets (`machinery/cel/estimates`), times how often its
value can be in one object. Rules are not looked at where the schema is wrong: their errors would go away with its own.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from pybernetes.machinery.errors import FieldError

if TYPE_CHECKING:
    from pybernetes.machinery.cel.sizes import Sizes

Schema = Mapping[str, Any]

_REASONS: Final = ("FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired", "FieldValueDuplicate")
EXPRESSION_COST_LIMIT: Final = 10_000_000
SCHEMA_COST_LIMIT: Final = 100_000_000
_MOST: Final = 2**64 - 1
_SHOWN_MAX: Final = 4  # of the expressions that make a schema too expensive


def validate(schema: Schema, path: str, *, unchanged: bool = False) -> Iterator[FieldError]:
    """`unchanged`: the schema is stored as it is, and single expressions that cost too much by now are let be."""
    check = _Check(unchanged)
    check.level(schema, _Place(path, is_root=True))
    yield from check.schema_errors
    yield from check.rule_errors
    yield from check.total_errors(path)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the schema. `cardinality`: how often its values can be in one object, None where nothing limits that.
    `uncorrelatable`: the path from which on values cannot be told to be what others were before; items of lists cannot, unless
    the list is a map."""

    path: str
    is_root: bool = False
    cardinality: int | None = 1
    uncorrelatable: str = ""

    def below(self, path: str, schema: Schema, *, correlatable: bool) -> _Place:
        times = _elements_max(schema)
        count = None if self.cardinality is None or times is None else _product(self.cardinality, times)
        start = self.uncorrelatable or ("" if correlatable else self.path)
        return _Place(f"{self.path}.{path}", cardinality=count, uncorrelatable=start)


def _elements_max(schema: Schema) -> int | None:
    """By how much a schema multiplies what is below it."""
    limit = None
    if schema.get("type") == "array":
        limit = "maxItems"
    elif schema.get("type") == "object" and schema.get("additionalProperties") is not None:
        limit = "maxProperties"
    if limit is None:
        return 1
    return max(0, int(schema[limit])) if limit in schema else None


def _product(a: int, b: int) -> int:
    return min(a * b, _MOST)


@dataclass(slots=True)
class _Check:
    unchanged: bool
    schema_errors: list[FieldError] = field(default_factory=list)
    rule_errors: list[FieldError] = field(default_factory=list)
    _total: int = 0
    _expensive: list[tuple[int, str]] = field(default_factory=list)

    def level(self, schema: Schema, place: _Place) -> None:
        before = len(self.schema_errors)
        extra, items = schema.get("additionalProperties"), schema.get("items")
        if isinstance(extra, dict):
            self.level(extra, place.below("additionalProperties", schema, correlatable=True))
        for name, inner in (schema.get("properties") or {}).items():
            below = place.below(f"properties[{name}]", schema, correlatable=True)
            self.level(inner, replace(below, is_root=bool(inner.get("x-kubernetes-embedded-resource"))))
        if isinstance(items, dict):
            correlatable = schema.get("x-kubernetes-list-type") == "map"
            self.level(items, place.below("items", schema, correlatable=correlatable))
        rules = schema.get("x-kubernetes-validations") or ()
        for i, rule in enumerate(rules):
            self.schema_errors += _form_errors(rule, schema, f"{place.path}.x-kubernetes-validations[{i}]")
        if rules and len(self.schema_errors) == before:
            self._compile(schema, place)

    def _compile(self, schema: Schema, place: _Place) -> None:
        from pybernetes.machinery.cel import sizes  # most definitions have no rules

        path = f"{place.path}.x-kubernetes-validations"
        known = sizes.of_schema(schema, is_root=place.is_root)
        if known is None:
            detail = "failed to construct type information for x-kubernetes-validations rules"
            sentence = f"Internal error: internal error: {detail}: unable to convert structural schema to CEL declarations"
            self.rule_errors.append(FieldError("InternalError", path, sentence))
            return
        for i, rule in enumerate(schema["x-kubernetes-validations"]):
            self._rule(rule, schema, replace(place, path=f"{path}[{i}]"), known)

    def _rule(self, rule: Mapping[str, Any], schema: Schema, place: _Place, known: Sizes) -> None:
        from pybernetes.machinery.cel import CompileError, estimates, rules

        variables = rules.variables_of(rule, schema, is_root=place.is_root)
        try:
            program = rules.rule_program(rule, variables)
        except CompileError as error:
            self._invalid(f"{place.path}.rule", rule, error, "compilation failed")
            return
        times = known.cardinality_max if place.cardinality is None else place.cardinality
        cost = _product(estimates.worst_cost(program.tree, known), times)
        self._observe("estimated rule cost", f"{place.path}.rule", cost)
        try:
            message = rules.message_program(rule, variables)
        except CompileError as error:
            self._invalid(f"{place.path}.messageExpression", rule, error, "messageExpression compilation failed")
        else:
            if message is not None:
                cost = estimates.worst_cost(message.tree, known)
                self._observe("estimated messageExpression cost", f"{place.path}.messageExpression", cost)
        self.rule_errors += _transition_errors(rule, place, uses_old="oldSelf" in program.names)

    def _invalid(self, path: str, rule: Mapping[str, Any], error: Exception, kind: str) -> None:
        from pybernetes.machinery.cel.rules import WrongResult

        detail = str(error) if isinstance(error, WrongResult) else f"{kind}: {error}"
        self.rule_errors.append(FieldError("FieldValueInvalid", path, f"Invalid value: {_shown(rule)}: {detail}"))

    def _observe(self, name: str, path: str, cost: int) -> None:
        if cost > EXPRESSION_COST_LIMIT and not self.unchanged:
            self.rule_errors.append(FieldError.forbidden(path, _too_expensive(name, cost, EXPRESSION_COST_LIMIT)))
        self._total = min(self._total + cost, _MOST)
        if cost >= SCHEMA_COST_LIMIT // 100:
            self._expensive.append((cost, path))

    def total_errors(self, path: str) -> Iterator[FieldError]:
        if self._total <= SCHEMA_COST_LIMIT:
            return
        for _, expensive in sorted(self._expensive, key=lambda found: -found[0])[:_SHOWN_MAX]:
            sentence = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
            yield FieldError.forbidden(expensive, sentence)
        name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        yield FieldError.forbidden(path, _too_expensive(name, self._total, SCHEMA_COST_LIMIT))


def _too_expensive(name: str, cost: int, limit: int) -> str:
    factor = cost / limit
    shown = "more than 100x" if factor > 100 else f"{factor:f}x" if factor < 1.5 else f"{factor:.1f}x"
    return (
        f"{name} exceeds budget by factor of {shown} (try simplifying the rule, or adding maxItems, maxProperties, and "
        "maxLength where arrays, maps, and strings are declared)"
    )


def _form_errors(rule: Mapping[str, Any], schema: Schema, path: str) -> Iterator[FieldError]:
    """What can be said of a rule before it is compiled."""
    text, message = rule.get("rule", ""), rule.get("message", "")
    if not text.strip():
        yield FieldError.required(path + ".rule", "rule is not specified")
    elif message and not message.strip():
        yield FieldError.invalid(path + ".message", message, "message must be non-empty if specified")
    elif _has_line_breaks(message.strip()):
        yield FieldError.invalid(path + ".message", message, "message must not contain line breaks")
    elif _has_line_breaks(text.strip()) and not message.strip():
        yield FieldError.required(path + ".message", "message must be specified if rule contains line breaks")
    if rule.get("messageExpression") and not rule["messageExpression"].strip():
        yield FieldError.required(path + ".messageExpression", "messageExpression must be non-empty if specified")
    reason = rule.get("reason")
    if reason is not None and reason not in _REASONS:
        yield FieldError.not_supported(path + ".reason", reason, _REASONS)
    if rule.get("fieldPath"):
        yield from _field_path_errors(rule["fieldPath"], schema, path + ".fieldPath")


def _has_line_breaks(text: str) -> bool:
    return "\n" in text or "\r" in text


def _field_path_errors(given: str, schema: Schema, path: str) -> Iterator[FieldError]:
    from pybernetes.machinery.cel import rules

    if not given.strip():
        yield FieldError.invalid(path, given, "fieldPath must be non-empty if specified")
    if _has_line_breaks(given):
        yield FieldError.invalid(path, given, "fieldPath must not contain line breaks")
    try:
        rules.normalized_path(given, schema)
    except ValueError:
        yield FieldError.invalid(path, given, "fieldPath must be a valid path")


def _transition_errors(rule: Mapping[str, Any], place: _Place, *, uses_old: bool) -> Iterator[FieldError]:
    if uses_old and place.uncorrelatable:
        sentence = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {place.uncorrelatable}"
        yield FieldError.invalid(f"{place.path}.rule", rule["rule"], sentence)
    elif not uses_old and rule.get("optionalOldSelf") is not None:
        sentence = "may not be set if oldSelf is not used in rule"
        yield FieldError.invalid(f"{place.path}.optionalOldSelf", rule["optionalOldSelf"], sentence)


def _shown(rule: Mapping[str, Any]) -> str:
    """As Go prints its internal type."""
    fields = (
        ("Rule", "rule", ""), ("Message", "message", ""), ("MessageExpression", "messageExpression", ""),
        ("Reason", "reason", None), ("FieldPath", "fieldPath", ""), ("OptionalOldSelf", "optionalOldSelf", None),
    )  # fmt: skip
    return json.dumps({name: rule.get(key, absent) for name, key, absent in fields}, separators=(",", ":"), ensure_ascii=False)
