"""Evaluating expressions over a request, by turns: with one budget for all of them, and an authorizer that may have to wait."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pybernetes.apiserver.admission.described import described, seen_as
from pybernetes.apiserver.admission.interface import AdmissionRequest
from pybernetes.apiserver.admission.matching import Match
from pybernetes.apiserver.admission.verdicts import Verdicts
from pybernetes.apiserver.admission.versions import Versions
from pybernetes.machinery.cel.admission import Composed, Expression
from pybernetes.machinery.cel.compiler import COST_LIMIT
from pybernetes.machinery.cel.values import CelError


class ExpressionFailed(Exception):
    """An expression without a value; `str()` is upstream's sentence."""


class OutOfBudget(Exception):
    """Nothing more may be evaluated."""

    def __init__(self) -> None:
        super().__init__("validation failed due to running out of cost budget, no further validation rules will be run")


async def variables_of(request: AdmissionRequest, match: Match, versions: Versions) -> dict[str, Any]:
    """What expressions see of a request, as it matched. Raises `ConversionFailed`."""
    return {
        "object": await seen_as(request.object, request, match, versions),
        "oldObject": await seen_as(request.old_object, request, match, versions),
        "request": described(request, match, versions),
    }


class Evaluation:
    """Expressions over one set of variables, evaluated `by_turns`. What they cost is taken from one budget."""

    def __init__(
        self,
        variables: Mapping[str, Any],
        verdicts: Verdicts,
        budget: int,
        composed: Mapping[str, Expression] | None = None,
    ) -> None:
        self._left = budget
        self._activation: dict[str, Any] = {**variables, **verdicts.variables()}
        self._composed = Composed(composed or {}, self._activation)
        if composed is not None:
            self._activation["variables"] = self._composed

    def evaluate(self, expression: Expression) -> Any:
        """Its value. Raises `ExpressionFailed`, `OutOfBudget`."""
        program = expression.program
        if program is None:
            raise ExpressionFailed(f"compilation error: {expression.why}")
        try:
            value, cost = program.evaluate(self._activation, limit=min(COST_LIMIT, self._left))
        except CelError as error:
            self._spend(error.cost)
            raise ExpressionFailed(f"expression '{expression.text}' resulted in error: {error}") from error
        self._spend(cost)
        return value

    def _spend(self, cost: int) -> None:
        """Raises `OutOfBudget`."""
        cost += self._composed.spent
        self._composed.spent = 0
        self._left -= cost
        if self._left < 0:
            raise OutOfBudget
