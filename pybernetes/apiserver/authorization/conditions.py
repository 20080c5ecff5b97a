"""`matchConditions`: CEL expressions over the question, all of which must hold for a webhook to be asked (KEP-3221).

The one variable is `request`, the question as a `SubjectAccessReviewSpec` of authorization.k8s.io/v1, its texts always there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from pybernetes.machinery.errors import FieldError, aggregate
from pybernetes.machinery.meta import Object

if TYPE_CHECKING:
    from pybernetes.machinery.cel import Program

CONDITIONS_MAX: Final = 64


def _texts(*names: str) -> Object:
    return {name: {"type": "string"} for name in names}


_TEXT_LIST: Final[Object] = {"type": "array", "items": {"type": "string"}}
_SELECTOR: Final[Object] = {
    "type": "object",
    "properties": {
        **_texts("rawSelector"),
        "requirements": {
            "type": "array",
            "items": {"type": "object", "properties": {**_texts("key", "operator"), "values": _TEXT_LIST}},
        },
    },
}
REQUEST: Final[Object] = {
    "type": "object",
    "properties": {
        "resourceAttributes": {
            "type": "object",
            "properties": {
                **_texts("namespace", "verb", "group", "version", "resource", "subresource", "name"),
                "fieldSelector": _SELECTOR,
                "labelSelector": _SELECTOR,
            },
        },
        "nonResourceAttributes": {"type": "object", "properties": _texts("path", "verb")},
        **_texts("user", "uid"),
        "groups": _TEXT_LIST,
        "extra": {"type": "object", "additionalProperties": _TEXT_LIST},
    },
}


class ConditionsFailed(Exception):
    """Conditions that could not be evaluated, none of the others being false."""


class Conditions:
    """Expressions, compiled. There may be none; equal are those of the same texts."""

    def __init__(self, programs: Sequence[Program]) -> None:
        self._programs = tuple(programs)
        self._texts = tuple(program.text for program in programs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Conditions) and self._texts == other._texts

    def __hash__(self) -> int:
        return hash(self._texts)

    def __bool__(self) -> bool:
        return bool(self._programs)

    def hold(self, request: Object) -> bool:
        """Evaluated `by_turns`. Raises `ConditionsFailed`."""
        from pybernetes.machinery.cel import CelError

        failures = []
        for program in self._programs:
            failed = f"cel evaluation error: expression '{program.text}'"
            try:
                result, _ = program.evaluate({"request": request})
            except CelError as error:
                failures.append(f"{failed} resulted in error: {error}")
                continue
            if result is False:
                return False
            if result is not True:
                failures.append(f"{failed} eval result type should be bool")
        if failures:
            raise ConditionsFailed(aggregate(failures))
        return True


def compile_conditions(conditions: Sequence[Any], path: str) -> tuple[Conditions, list[FieldError]]:
    """The `matchConditions` below a field, and what is wrong with them."""
    if not conditions:
        return Conditions(()), []
    from pybernetes.machinery.cel import CompileError, compile_expression, types  # loaded by those who use conditions

    if len(conditions) > CONDITIONS_MAX:
        return Conditions(()), [FieldError.too_many(f"{path}.matchConditions", len(conditions), CONDITIONS_MAX)]
    variables = {"request": types.of_schema(REQUEST)}
    programs, problems, seen = [], [], set()
    for place, condition in enumerate(conditions):
        field = f"{path}.matchConditions[{place}].expression"
        expression: str = condition.get("expression") or ""
        if not expression.strip():
            problems.append(FieldError.required(field))
            continue
        if expression in seen:
            problems.append(FieldError.duplicate(field, expression))
            continue
        seen.add(expression)
        try:
            program = compile_expression(expression, variables)
        except CompileError as error:
            problems.append(FieldError.invalid(field, expression, f"compilation failed: {error}"))
            continue
        if program.result not in ("bool", types.DYN):
            problems.append(
                FieldError.invalid(field, expression, f"must evaluate to bool but got {types.shown(program.result)}")
            )
            continue
        programs.append(program)
    return Conditions(programs), problems
