"""The plugins: nothing is loaded and nothing done where no policy is bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pybernetes.apiserver.admission.condition_metrics import ConditionMetrics
from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest, Operation
from pybernetes.apiserver.admission.policies.metrics import PoliciesMetrics, PolicyMetrics
from pybernetes.apiserver.admission.policies.source import Bound, Source
from pybernetes.apiserver.admission.policies.tools import Tools
from pybernetes.apiserver.admission.versions import Versions
from pybernetes.apiserver.authorization.interface import Authorizer
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.resources import (
    MUTATING_ADMISSION_POLICIES,
    MUTATING_ADMISSION_POLICY_BINDINGS,
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_ADMISSION_POLICY_BINDINGS,
)
from pybernetes.machinery.turns import by_turns

# Policies are no judges of policies: one that forbids everything could not be taken back.
_EXEMPT = frozenset((
    MUTATING_ADMISSION_POLICIES, MUTATING_ADMISSION_POLICY_BINDINGS, VALIDATING_ADMISSION_POLICIES,
    VALIDATING_ADMISSION_POLICY_BINDINGS,
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Policies:
    """What policies need besides what all plugins need."""

    versions: Versions
    metrics: PoliciesMetrics
    conditions: ConditionMetrics

    def tools(self, metrics: PolicyMetrics, reader: Reader, authorizer: Authorizer, clock: Clock) -> Tools:
        return Tools(reader, self.versions, authorizer, clock, metrics, self.conditions)


async def _concerning(source: Source, request: AdmissionRequest, versions: Versions) -> Sequence[Bound]:
    if source.is_current:
        return source.concerning(request, versions)
    return await by_turns(lambda: source.concerning(request, versions))


class ValidatingAdmissionPolicy(AdmissionPlugin):
    name = "ValidatingAdmissionPolicy"

    def __init__(self, policies: Policies, reader: Reader, authorizer: Authorizer, clock: Clock) -> None:
        self._tools = policies.tools(policies.metrics.validating, reader, authorizer, clock)
        self._source = Source(reader, VALIDATING_ADMISSION_POLICIES, VALIDATING_ADMISSION_POLICY_BINDINGS)

    async def validate(self, request: AdmissionRequest) -> None:
        bound = await _concerning(self._source, request, self._tools.versions)
        if not bound or request.resource in _EXEMPT:
            return
        from pybernetes.apiserver.admission.policies.validating import validate

        await validate(bound, request, self._tools)


class MutatingAdmissionPolicy(AdmissionPlugin):
    name = "MutatingAdmissionPolicy"

    def __init__(self, policies: Policies, reader: Reader, authorizer: Authorizer, clock: Clock) -> None:
        self._tools = policies.tools(policies.metrics.mutating, reader, authorizer, clock)
        self._source = Source(reader, MUTATING_ADMISSION_POLICIES, MUTATING_ADMISSION_POLICY_BINDINGS)

    async def admit(self, request: AdmissionRequest) -> None:
        bound = await _concerning(self._source, request, self._tools.versions)
        if not bound or request.operation is Operation.DELETE or request.resource in _EXEMPT:
            return
        from pybernetes.apiserver.admission.policies.mutating import mutate

        await mutate(bound, request, self._tools)
