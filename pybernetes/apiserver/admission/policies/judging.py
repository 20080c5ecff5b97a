"""What a validating policy says of a request: a decision on each validation, and annotations for the audit log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pybernetes.apiserver.admission.condition_metrics import Counted
from pybernetes.apiserver.admission.conditions import ConditionsFailed, hold
from pybernetes.apiserver.admission.evaluation import Evaluation, ExpressionFailed, OutOfBudget
from pybernetes.apiserver.admission.policies.compiled import AuditAnnotation, Policy, Validation
from pybernetes.apiserver.admission.verdicts import Verdicts
from pybernetes.machinery.cel.admission import POLICY_BUDGET
from pybernetes.machinery.cel.values import type_name

MESSAGE_BYTES_MAX: Final = 5 * 1024


@dataclass(frozen=True, slots=True)
class Decision:
    """On one validation. `failed`: it could not be evaluated; then `failurePolicy` has decided."""

    denies: bool
    message: str = ""
    reason: str = ""
    failed: bool = False
    seconds: float = 0.0


ADMITTED: Final = Decision(False)


@dataclass(frozen=True, slots=True)
class Annotation:
    """For the audit log; or (`error`) the reason why there is none, which denies the request."""

    key: str
    value: str = ""
    error: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Judgement:
    decisions: tuple[Decision, ...] = ()  # one for each validation, or one for all that failed before them
    annotations: tuple[Annotation, ...] = ()


def judge(policy: Policy, variables: dict[str, Any], verdicts: Verdicts, counted: Counted) -> Judgement:
    """`variables`: what the policy sees of the request, and `params`. Evaluated `by_turns`."""
    monotonic = counted.metrics.monotonic
    try:
        if policy.conditions and not hold(policy.conditions, variables, verdicts, counted):
            return Judgement()
        evaluation = Evaluation(variables, verdicts, POLICY_BUDGET, policy.variables)
        decisions = []
        for validation in policy.validations:
            started = monotonic()
            decision = _decide(policy, validation, evaluation)
            if decision is not ADMITTED:
                seconds = monotonic() - started
                decision = Decision(decision.denies, decision.message, decision.reason, decision.failed, seconds)
            decisions.append(decision)
        return Judgement(tuple(decisions), _annotations(policy, variables, verdicts, monotonic))
    except (ConditionsFailed, OutOfBudget) as error:
        return Judgement((_failure(policy, str(error)),))


def _failure(policy: Policy, message: str) -> Decision:
    return Decision(not policy.ignores_failures, message, failed=True)


def _decide(policy: Policy, validation: Validation, evaluation: Evaluation) -> Decision:
    """Raises `OutOfBudget`."""
    try:
        if evaluation.evaluate(validation.expression) is True:
            return ADMITTED
    except ExpressionFailed as error:
        return _failure(policy, str(error))
    try:
        said = _message(validation, evaluation)
    except OutOfBudget as error:
        return _failure(policy, f"failed messageExpression: {error}")
    message = said or validation.message or f"failed expression: {validation.expression.text.strip()}"
    return Decision(True, message, validation.reason)


def _message(validation: Validation, evaluation: Evaluation) -> str:
    """What `messageExpression` gives; "" for what cannot be shown in one line. Raises `OutOfBudget`."""
    if validation.message_expression is None:
        return ""
    try:
        text = evaluation.evaluate(validation.message_expression)
    except ExpressionFailed:
        return ""
    if not isinstance(text, str):
        return ""
    text = text.strip()
    return "" if "\n" in text or len(text.encode()) > MESSAGE_BYTES_MAX else text


def _annotations(
    policy: Policy, variables: dict[str, Any], verdicts: Verdicts, monotonic: Callable[[], float]
) -> tuple[Annotation, ...]:
    """Raises `OutOfBudget`."""
    if not policy.audit_annotations:
        return ()
    evaluation = Evaluation(variables, verdicts, POLICY_BUDGET, policy.variables)
    found = []
    for annotation in policy.audit_annotations:
        started = monotonic()
        made = _annotation(policy, annotation, evaluation)
        if made.error:
            made = Annotation(made.key, error=made.error, seconds=monotonic() - started)
        if made.value or made.error:
            found.append(made)
    return tuple(found)


def _annotation(policy: Policy, annotation: AuditAnnotation, evaluation: Evaluation) -> Annotation:
    try:
        value = evaluation.evaluate(annotation.value)
    except ExpressionFailed as error:
        return Annotation(annotation.key, error="" if policy.ignores_failures else str(error))
    if value is None:
        return Annotation(annotation.key)
    if isinstance(value, str):
        return Annotation(annotation.key, value.strip())
    why = f"valueExpression '{annotation.value.text}' resulted in unsupported return type: {type_name(value)}. "
    return Annotation(annotation.key, error=f"{why}Return type must be either string or null.")
