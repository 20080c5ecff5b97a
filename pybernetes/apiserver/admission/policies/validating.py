"""Validating a request: every policy that it concerns is heard; the first that denies it is the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import orjson

from pybernetes.apiserver.admission.condition_metrics import Counted
from pybernetes.apiserver.admission.evaluation import variables_of
from pybernetes.apiserver.admission.interface import AdmissionRequest
from pybernetes.apiserver.admission.policies.compiled import Binding, Policy
from pybernetes.apiserver.admission.policies.invocations import Failure, Invocation, invocations, namespace_of_request
from pybernetes.apiserver.admission.policies.judging import Annotation, Decision, judge
from pybernetes.apiserver.admission.policies.metrics import error_type
from pybernetes.apiserver.admission.policies.source import Bound
from pybernetes.apiserver.admission.policies.tools import Tools
from pybernetes.apiserver.admission.refusals import refusal
from pybernetes.apiserver.admission.verdicts import Verdicts
from pybernetes.apiserver.registry.conversion import ConversionFailed
from pybernetes.machinery import errors
from pybernetes.machinery.cel.admission import namespace_value
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.turns import by_turns

FAILURE_ANNOTATION: Final = "validation.policy.admission.k8s.io/validation_failure"
ANNOTATION_LENGTH_MAX: Final = 10 * 1024
_CODES: Final = {"Unauthorized": 401, "Forbidden": 403, "RequestEntityTooLarge": 413}


@dataclass(frozen=True, slots=True)
class Denial:
    policy: Policy
    binding: Binding | None
    message: str
    reason: str = ""

    @property
    def sentence(self) -> str:
        through = f" with binding '{self.binding.name}'" if self.binding is not None else ""
        return f"ValidatingAdmissionPolicy '{self.policy.name}'{through} denied request: {self.message}"


async def validate(bound: Sequence[Bound], request: AdmissionRequest, tools: Tools) -> None:
    """Warnings and annotations go into `request`. Raises the `StatusError` of the first denial."""
    verdicts = Verdicts(tools.authorizer, request)
    denials: list[Denial] = []
    annotations: dict[str, list[str]] = {}
    async for found in invocations(bound, request, tools.reader, tools.versions):
        if isinstance(found, Failure):
            if not found.policy.ignores_failures:
                denials.append(Denial(found.policy, found.binding, found.why))
        elif found.params:
            denials += await _hear(found, request, verdicts, annotations, tools)
    for key, values in annotations.items():
        request.audit_annotations.setdefault(key, ", ".join(values))
    if denials:
        raise _refusal(request, denials[0])


async def _hear(
    found: Invocation, request: AdmissionRequest, verdicts: Verdicts, annotations: dict[str, list[str]], tools: Tools
) -> Sequence[Denial]:
    """Raises `NotFound` for a namespace that is not there."""
    policy, binding = found.policy, found.binding
    try:
        seen = await variables_of(request, found.match, tools.versions)
    except ConversionFailed as error:
        why = f"failed to configure binding: failed to convert object version: {error}"
        return () if policy.ignores_failures else (Denial(policy, binding, why),)
    seen["namespaceObject"] = namespace_value(namespace_of_request(request, tools.reader))
    denials: list[Denial] = []
    counted = Counted(tools.conditions, ("policy", policy.name, request.operation.value, "validate"))
    for params in found.params:
        judgement = await by_turns(partial(judge, policy, {**seen, "params": params}, verdicts, counted))
        for index, decision in enumerate(judgement.decisions):
            if _act(decision, index, found, request, tools):
                denials.append(Denial(policy, binding, decision.message, decision.reason))
        for annotation in judgement.annotations:
            denial = _annotate(annotation, found, annotations, tools)
            denials += [denial] if denial is not None else []
    return denials


def _act(decision: Decision, index: int, found: Invocation, request: AdmissionRequest, tools: Tools) -> bool:
    """Do what the binding wants done with a decision. Whether the request is denied."""
    policy, binding = found.policy, found.binding
    kind = error_type(decision.message)

    def count(action: str) -> None:
        tools.metrics.observe((policy.name, binding.name, kind, action), decision.seconds)

    if not decision.denies:
        if decision.failed:
            count("allow")
        return False
    for action in binding.actions:
        if action == "Warn":
            through = f"ValidatingAdmissionPolicy '{policy.name}' with binding '{binding.name}'"
            request.warnings.append(f"Validation failed for {through}: {decision.message}")
            count("warn")
        elif action == "Audit":
            failure = {
                "message": decision.message, "policy": policy.name, "binding": binding.name, "expressionIndex": index,
                "validationActions": binding.actions,
            }  # fmt: skip
            request.audit_annotations.setdefault(FAILURE_ANNOTATION, orjson.dumps([failure]).decode())
            count("audit")
        else:
            count("deny")
    return "Deny" in binding.actions


def _annotate(annotation: Annotation, found: Invocation, annotations: dict[str, list[str]], tools: Tools) -> Denial | None:
    """What several bindings or parameters give under one key goes there together."""
    policy, binding = found.policy, found.binding
    if annotation.error:
        kind = error_type(annotation.error)
        tools.metrics.observe((policy.name, binding.name, kind, "deny"), annotation.seconds)
        return Denial(policy, binding, annotation.error)
    value = annotation.value.encode()[:ANNOTATION_LENGTH_MAX].decode(errors="ignore")
    values = annotations.setdefault(f"{policy.name}/{annotation.key}", [])
    if value not in values:
        values.append(value)
    return None


def _refusal(request: AdmissionRequest, denial: Denial) -> StatusError:
    status = refusal(request, denial.sentence).status
    reason = denial.reason or "Invalid"
    code = _CODES.get(reason, 422)
    details = {**status["details"], "causes": [{"message": denial.sentence}]}
    return errors.from_status({**status, "reason": reason, "details": details, "code": code}, code)
