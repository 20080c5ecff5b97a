"""`matchConditions`: CEL expressions that must all hold for a webhook to be asked or a policy to apply.

Source: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#matching-requests-matchconditions
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pybernetes.apiserver.admission.condition_metrics import Counted
    from pybernetes.apiserver.admission.verdicts import Verdicts
    from pybernetes.machinery.cel.admission import Expression


class ConditionsFailed(Exception):
    """Conditions that could not be evaluated, none of the others being false."""


def hold(conditions: Sequence[Expression], variables: Mapping[str, Any], verdicts: Verdicts, counted: Counted) -> bool:
    """Whether all of them hold; evaluated `by_turns`. Raises `ConditionsFailed`."""
    began = counted.metrics.monotonic()
    try:
        return _hold(conditions, variables, verdicts, counted)
    finally:
        counted.took_since(began)


def _hold(conditions: Sequence[Expression], variables: Mapping[str, Any], verdicts: Verdicts, counted: Counted) -> bool:
    from pybernetes.apiserver.admission.evaluation import Evaluation, ExpressionFailed, OutOfBudget
    from pybernetes.machinery.cel.admission import CONDITIONS_BUDGET  # loaded by those who use conditions

    evaluation = Evaluation(variables, verdicts, CONDITIONS_BUDGET)
    failures = []
    for condition in conditions:
        try:
            result = evaluation.evaluate(condition)
        except OutOfBudget as error:
            raise ConditionsFailed(str(error)) from error
        except ExpressionFailed as error:
            counted.failed()
            failures.append(str(error))
            continue
        if result is False:
            counted.excluded()
            return False
        if result is not True:
            failures.append(f"cel expression '{condition.text}' must evaluate to a bool")
    if failures:
        raise ConditionsFailed(failures[0] if len(failures) == 1 else "[" + ", ".join(failures) + "]")
    return True
