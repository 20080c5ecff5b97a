"""The rules of a structural schema (`x-kubernetes-validations`), compiled once and asked of each object.

`self` is the value where the rule stands, `oldSelf` what it was before the update; a rule that reads `oldSelf` is asked only
where there is an old value, unless it says `optionalOldSelf`. What a rule that does not says of values which the update left as
they were is a warning (KEP-4008).

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pybernetes.machinery.cel import conversions, types
from pybernetes.machinery.cel.compiler import COST_LIMIT, Program, compile_expression
from pybernetes.machinery.cel.types import Type
from pybernetes.machinery.cel.values import NONE, CelError, CompileError, CostExceeded, MapList, Optional, SetList, quoted
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.schema.values import identity_of, map_identity
from pybernetes.machinery.turns import spend

# What all the rules of one object may cost together: upstream's bound. It is one to two seconds with what rules usually do, and
# ten with the slowest calls (tests/bench/cel_evaluation.py).
BUDGET: Final = 10_000_000
_LEVEL_UNITS: Final = 5  # of looking at a value, besides what its rules cost
_CONVERSION_UNITS: Final = 10  # of a text
_MESSAGE_BYTES: Final = 5 * 1024
_FIELD_PATH: Final = re.compile(r"\.([A-Za-z_][\w-]*)|\['((?:[^'\\]|\\.)*)'\]", re.ASCII)

Convert = Callable[[Any], Any]
Schema = Mapping[str, Any]


@dataclass(slots=True)
class Rule:
    """One rule, compiled."""

    rule: str
    program: Program | None  # None: it is no expression, and `why` says so
    message: str = ""
    message_program: Program | None = None
    reason: str = ""
    field_path: str = ""  # as it is appended to the path of the value: `.min`
    optional_old: bool = False
    why: str = ""

    @property
    def uses_old(self) -> bool:
        return self.program is not None and "oldSelf" in self.program.names

    @property
    def shown(self) -> str:
        return self.message.strip() or self.rule.strip()


@dataclass(slots=True)
class _Level:
    """The rules at one place of the schema, and the places below that have some."""

    type: str
    convert: Convert | None
    rules: Sequence[Rule] = ()
    properties: Mapping[str, _Level] = field(default_factory=dict)
    others: _Level | None = None  # of the values of a map
    items: _Level | None = None
    keys: Sequence[str] = ()  # of lists that are maps


class Rules:
    """All the rules of a schema."""

    def __init__(self, schema: Schema) -> None:
        self._root = _level(schema, is_root=True)

    def validate(self, obj: Any, old: Any | None = None) -> Iterator[FieldError]:
        """What the rules say of an object that fits its schema; None: there was no old object. Long ones are worth evaluating
        `by_turns`."""
        if self._root is not None:
            yield from _Evaluation().level(self._root, obj, old, "", is_kept=False)


_NO_MORE: Final = "no further validation rules will be run"


class _OutOfBudget(CostExceeded):
    """Of all the rules together."""


class _Evaluation:
    def __init__(self) -> None:
        self._left = BUDGET
        self._ended = False  # by something that costs too much: no further rules are asked

    def level(self, level: _Level, value: Any, old: Any, path: str, *, is_kept: bool) -> Iterator[FieldError]:
        """`old`: None if there is nothing to compare with; `is_kept`: what is around it is as it was."""
        if value is None or self._ended:
            return
        spend(_LEVEL_UNITS)
        if old is not None and not is_kept:
            is_kept = bool(old == value)
        if level.rules:
            if self._left <= 0:
                yield self._end(level, path)
                return
            seen = level.convert(value) if level.convert else value
            before = level.convert(old) if level.convert and old is not None else old
            for rule in level.rules:
                if self._ended:
                    return
                yield from self._rule(rule, level, value, seen, before, path or "<nil>", warns=is_kept and not rule.uses_old)
        yield from self._below(level, value, old, path, is_kept=is_kept)

    def _below(self, level: _Level, value: Any, old: Any, path: str, *, is_kept: bool) -> Iterator[FieldError]:
        if type(value) is dict:
            was = old if type(old) is dict else {}
            head = f"{path}." if path else ""
            for name, inner in level.properties.items():
                if name in value:
                    yield from self.level(inner, value[name], was.get(name), head + name, is_kept=is_kept)
            if level.others is not None:
                for name, item in value.items():
                    if name not in level.properties:
                        yield from self.level(level.others, item, was.get(name), f"{path}[{name}]", is_kept=is_kept)
        elif type(value) is list and level.items is not None:
            known = identity_of(old, level.keys) if level.keys else {}
            for place, item in enumerate(value):
                before = known.get(map_identity(item, level.keys)) if known and type(item) is dict else None
                yield from self.level(level.items, item, before, f"{path}[{place}]", is_kept=is_kept)

    def _rule(
        self, rule: Rule, level: _Level, value: Any, seen: Any, old: Any, path: str, *, warns: bool
    ) -> Iterator[FieldError]:
        if rule.program is None:
            yield FieldError.invalid(path, level.type, f"rule compile error: {rule.why}")
            return
        variables = {"self": seen}
        if rule.optional_old:
            variables["oldSelf"] = NONE if old is None else Optional(True, old)
        elif rule.uses_old:
            if old is None:
                return
            variables["oldSelf"] = old
        try:
            result = self._evaluate(rule.program, variables)
        except _OutOfBudget:
            yield self._end(level, path)
            return
        except CostExceeded as error:
            self._ended = True
            detail = f"'{error}': {_NO_MORE} due to call cost exceeds limit for rule: {rule.shown}"
            yield FieldError.invalid(path, level.type, detail)
            return
        except CelError as error:
            if str(error).startswith("no such overload"):
                detail = f"'{error}': call arguments did not match a supported operator, function or macro signature for rule"
                yield FieldError.invalid(path, level.type, f"{detail}: {rule.shown}")
            else:
                yield FieldError.invalid(path, level.type, f"{error} evaluating rule: {rule.shown}")
            return
        if result is not True:
            try:
                failure = _failure(rule, value, path, self._message(rule, variables))
            except CostExceeded as error:
                self._ended = True
                failure = FieldError.invalid(_path_of(rule, path), level.type, str(error))
            yield replace(failure, warns=warns)

    def _end(self, level: _Level, path: str) -> FieldError:
        self._ended = True
        return FieldError.invalid(path, level.type, f"validation failed due to running out of cost budget, {_NO_MORE}")

    def _evaluate(self, program: Program, variables: Mapping[str, Any]) -> Any:
        """Raises `CelError`."""
        limit = min(COST_LIMIT, self._left)
        try:
            result, cost = program.evaluate(variables, limit=limit)
        except CostExceeded as error:
            self._left -= limit
            if limit < COST_LIMIT:
                raise _OutOfBudget(str(error)) from None
            raise
        except CelError as error:
            self._left -= error.cost
            raise
        self._left -= cost
        return result

    def _message(self, rule: Rule, variables: Mapping[str, Any]) -> str:
        """`messageExpression`'s text; the plain message, or the rule, where it gives none that can be shown. Raises
        `CostExceeded` with upstream's sentence."""
        if rule.message_program is not None:
            try:
                text = self._evaluate(rule.message_program, variables)
            except _OutOfBudget:
                why = f"messageExpression evaluation failed due to running out of cost budget, {_NO_MORE}"
                raise CostExceeded(why) from None
            except CostExceeded:
                shown = quoted(rule.message_program.text)
                raise CostExceeded(f"{_NO_MORE} due to call cost exceeds limit for messageExpression: {shown}") from None
            except CelError:
                text = ""
            if isinstance(text, str) and text.strip() and "\n" not in text.strip() and len(text.encode()) <= _MESSAGE_BYTES:
                return text.strip()
        return rule.message.strip() or f"failed rule: {rule.rule.strip()}"


def _path_of(rule: Rule, path: str) -> str:
    """Where its failures are: at the field that it names, below `path`."""
    if path == "<nil>":
        return rule.field_path.removeprefix(".") or path
    return f"{path}{rule.field_path}"


def _failure(rule: Rule, value: Any, path: str, detail: str) -> FieldError:
    path = _path_of(rule, path)
    whole = isinstance(value, dict | list)  # not shown
    if rule.reason == "FieldValueForbidden":
        return FieldError.forbidden(path, detail)
    if rule.reason == "FieldValueRequired":
        return FieldError.required(path, detail)
    if rule.reason == "FieldValueDuplicate":
        return FieldError("FieldValueDuplicate", path, "Duplicate value") if whole else FieldError.duplicate(path, value)
    if whole:
        return FieldError("FieldValueInvalid", path, f"Invalid value: {detail}")
    return FieldError.invalid(path, value, detail)


# Compiling


class WrongResult(CompileError):
    """An expression that gives another type than it must; `str()` is upstream's sentence."""

    def __init__(self, text: str, why: str) -> None:
        super().__init__(text, 0, why)
        self.args = (why,)


def compile_rule(given: Mapping[str, Any], schema: Schema, *, is_root: bool = False) -> Rule:
    variables = variables_of(given, schema, is_root=is_root)
    path = given.get("fieldPath", "")
    rule = Rule(
        given["rule"], None, given.get("message", ""), None, given.get("reason", ""),
        normalized_path(path, schema) if path else "", bool(given.get("optionalOldSelf")),
    )  # fmt: skip
    try:
        rule.program = rule_program(given, variables)
        rule.message_program = message_program(given, variables)
    except CompileError as error:  # was accepted once, by those who knew less
        rule.why = str(error) if isinstance(error, WrongResult) else f"compilation failed: {error}"
    return rule


def variables_of(given: Mapping[str, Any], schema: Schema, *, is_root: bool = False) -> Mapping[str, Type]:
    """What a rule sees, with its types."""
    kind = types.of_schema(schema, is_root=is_root)
    return {"self": kind, "oldSelf": ("optional", kind) if given.get("optionalOldSelf") else kind}


def rule_program(given: Mapping[str, Any], variables: Mapping[str, Type]) -> Program:
    """Raises `CompileError`."""
    program = compile_expression(given["rule"], variables)
    if program.result != "bool":
        raise WrongResult(given["rule"], "cel expression must evaluate to a bool")
    return program


def message_program(given: Mapping[str, Any], variables: Mapping[str, Type]) -> Program | None:
    """None if there is no `messageExpression`. Raises `CompileError`."""
    if not given.get("messageExpression"):
        return None
    program = compile_expression(given["messageExpression"], variables)
    if program.result != "string":
        raise WrongResult(given["messageExpression"], "messageExpression must evaluate to a string")
    return program


def normalized_path(path: str, schema: Schema) -> str:
    """`fieldPath` as it is appended to the path of the value. Raises ValueError where it leads nowhere."""
    shown, at = "", 0
    while at < len(path):
        match = _FIELD_PATH.match(path, at)
        if match is None:
            raise ValueError("fieldPath must be a valid path")
        name = match[1] or match[2].replace("\\'", "'")
        extra = schema.get("additionalProperties")
        if name in (schema.get("properties") or {}):
            schema, shown = schema["properties"][name], f"{shown}.{name}"
        elif isinstance(extra, dict):
            schema, shown = extra, f"{shown}[{name}]"
        else:
            raise ValueError(f"fieldPath {path} does not refer to a valid field")
        at = match.end()
    return shown


def _level(schema: Schema, *, is_root: bool = False) -> _Level | None:
    rules = [compile_rule(given, schema, is_root=is_root) for given in schema.get("x-kubernetes-validations") or ()]
    properties = {
        name: below for name, inner in (schema.get("properties") or {}).items() if (below := _level(inner)) is not None
    }
    extra = schema.get("additionalProperties")
    others = _level(extra) if isinstance(extra, dict) else None
    given = schema.get("items")
    items = _level(given) if isinstance(given, dict) else None
    if not (rules or properties or others or items):
        return None
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    convert = converter(schema) if rules else None
    kind = schema.get("type") or "object"
    return _Level(kind, convert, rules, properties, others, items, keys)


def converter(schema: Schema) -> Convert | None:
    """JSON to CEL's values, where these differ by what the schema says; None if they do not."""
    if schema.get("x-kubernetes-int-or-string"):
        return None
    kind = schema.get("type")
    if kind == "string":
        return _TEXTS.get(schema.get("format", ""))
    if kind == "number":
        return lambda value: float(value) if type(value) is int else value
    if kind == "array":
        return _list_converter(schema)
    if kind == "object":
        return _object_converter(schema)
    return None


def _date(text: Any) -> Any:
    return conversions.to_timestamp(f"{text}T00:00:00Z")


def _guarded(make: Convert) -> Convert:
    """A value that is no such text stays what it is: validation has said so, or the schema allows it."""

    def convert(value: Any) -> Any:
        if type(value) is not str:
            return value
        spend(_CONVERSION_UNITS)
        try:
            return make(value)
        except (CelError, ValueError):
            return value

    return convert


def _bytes(text: Any) -> Any:
    import base64

    return base64.b64decode(text)


_TEXTS: Final[Mapping[str, Convert]] = {
    "duration": _guarded(conversions.to_duration), "date-time": _guarded(conversions.to_timestamp), "date": _guarded(_date),
    "byte": _guarded(_bytes),
}  # fmt: skip


def _list_converter(schema: Schema) -> Convert | None:
    list_type = schema.get("x-kubernetes-list-type")
    item = converter(schema.get("items") or {})
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    if item is None and list_type not in ("set", "map"):
        return None

    def convert(value: Any) -> Any:
        if type(value) is not list:
            return value
        found = [item(inner) for inner in value] if item is not None else value
        if list_type == "set":
            return SetList(found)
        if list_type == "map":
            made = MapList(found)
            made.keys = keys
            return made
        return found

    return convert


def _object_converter(schema: Schema) -> Convert | None:
    properties = {
        name: change for name, inner in (schema.get("properties") or {}).items() if (change := converter(inner)) is not None
    }
    extra = schema.get("additionalProperties")
    others = converter(extra) if isinstance(extra, dict) else None
    if not properties and others is None:
        return None

    def convert(value: Any) -> Any:
        if type(value) is not dict:
            return value
        spend(_LEVEL_UNITS)
        made = dict(value)
        for name, inner in value.items():
            change = properties.get(name, others)
            if change is not None:
                made[name] = change(inner)
        return made

    return convert
