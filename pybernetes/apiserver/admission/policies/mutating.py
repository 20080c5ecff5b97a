"""Mutating a request: the policies that it concerns change the object one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pybernetes.apiserver.admission import mutation as mutations
from pybernetes.apiserver.admission.condition_metrics import Counted
from pybernetes.apiserver.admission.conditions import ConditionsFailed, hold
from pybernetes.apiserver.admission.evaluation import Evaluation, ExpressionFailed, OutOfBudget, variables_of
from pybernetes.apiserver.admission.interface import AdmissionRequest
from pybernetes.apiserver.admission.mutation import Rounds
from pybernetes.apiserver.admission.policies.compiled import Binding, Mutation, Policy
from pybernetes.apiserver.admission.policies.invocations import Failure, Invocation, invocations, namespace_of_request
from pybernetes.apiserver.admission.policies.metrics import error_type
from pybernetes.apiserver.admission.policies.params import shown
from pybernetes.apiserver.admission.policies.patching import PatchingFailed, applied, patched
from pybernetes.apiserver.admission.policies.source import Bound
from pybernetes.apiserver.admission.policies.tools import Tools
from pybernetes.apiserver.admission.refusals import refusal
from pybernetes.apiserver.admission.verdicts import Verdicts
from pybernetes.apiserver.registry.conversion import ConversionFailed
from pybernetes.machinery import errors
from pybernetes.machinery.cel.admission import POLICY_BUDGET, namespace_value
from pybernetes.machinery.errors import BadRequest, InternalError, ServiceUnavailable, StatusError
from pybernetes.machinery.meta import Object, key_of
from pybernetes.machinery.turns import by_turns

PLUGIN = "MutatingAdmissionPolicy"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a policy was not followed."""

    policy: Policy
    binding: Binding | None
    why: str
    reason: str = ""

    @property
    def sentence(self) -> str:
        if self.binding is not None:
            return f"policy '{self.policy.name}' with binding '{self.binding.name}' denied request: {self.why}"
        return f'policy "{self.policy.name}" denied request: {self.why}'


class MutationFailed(Exception):
    """A mutation that could not be carried out: `failurePolicy` says what that means."""


async def mutate(bound: Sequence[Bound], request: AdmissionRequest, tools: Tools) -> None:
    """Raises the `StatusError` that tells of the policies that could not be followed, unless they are to be ignored then."""
    problems: list[Problem] = []
    found: list[Invocation] = []
    async for each in invocations(bound, request, tools.reader, tools.versions):
        if isinstance(each, Failure):
            problems.append(Problem(each.policy, each.binding, each.why))
        elif each.params:
            found.append(each)
    if found:
        namespace = namespace_value(namespace_of_request(request, tools.reader))
        rounds = mutations.begin(request, PLUGIN)
        verdicts = Verdicts(tools.authorizer, request)
        for invocation in found:
            for params in invocation.params:
                given = {"namespaceObject": namespace, "params": params}
                problems += await _follow(invocation, given, request, verdicts, rounds, tools)
        rounds.end(request)
    problems = [problem for problem in problems if not problem.policy.ignores_failures]
    if problems:
        raise _refusal(request, problems)


async def _follow(
    found: Invocation, given: Object, request: AdmissionRequest, verdicts: Verdicts, rounds: Rounds, tools: Tools
) -> Sequence[Problem]:
    """Carry out a policy's mutations for one set of parameters. Raises `StatusError` for what no policy allows to ignore."""
    policy, binding = found.policy, found.binding
    try:
        seen = {**await variables_of(request, found.match, tools.versions), **given}
        if policy.conditions:
            counted = Counted(tools.conditions, ("policy", policy.name, request.operation.value, "admit"))
            if not await by_turns(partial(hold, policy.conditions, seen, verdicts, counted)):
                return ()
    except ConversionFailed as error:
        return (Problem(policy, binding, f"failed to configure binding: failed to convert object version: {error}"),)
    except ConditionsFailed as error:
        return (Problem(policy, binding, str(error), "Invalid"),)
    key = (policy.name, binding.name, "" if given["params"] is None else key_of(given["params"]))
    if not rounds.is_due(key):
        return ()
    problems, changed = [], False
    for mutation in policy.mutations:
        if request.object is None:
            continue
        started = tools.clock.monotonic()
        why = ""
        try:
            if changed:
                seen = {**await variables_of(request, found.match, tools.versions), **given}
            changed |= await _carry_out(mutation, found, seen, request, verdicts, tools)
        except MutationFailed as error:
            why = str(error)
            problems.append(Problem(policy, binding, why, "Invalid"))
        finally:
            kind = error_type(why)
            tools.metrics.observe((policy.name, binding.name, kind), tools.clock.monotonic() - started)
    rounds.done(key, changed=changed, reinvocable=policy.reinvocable)
    return problems


async def _carry_out(
    mutation: Mutation, found: Invocation, seen: dict[str, Any], request: AdmissionRequest, verdicts: Verdicts, tools: Tools
) -> bool:
    """Whether it changed the object. Raises `MutationFailed`, `StatusError`."""
    versions, match = tools.versions, found.match
    if mutation.expression.program is None:
        raise MutationFailed(mutation.expression.why)
    try:
        evaluation = Evaluation(seen, verdicts, POLICY_BUDGET, found.policy.variables)
        value = await by_turns(partial(evaluation.evaluate, mutation.expression))
        if mutation.applies:
            shape = versions.shape(match.resource, request.subresource)
            if shape is None:
                raise _unknown(f"Resource kind {shown(match.kind)} not found.")
            new = applied(seen["object"], value, shape)
        else:
            new = patched(seen["object"], value)
    except (ExpressionFailed, OutOfBudget, PatchingFailed) as error:
        raise MutationFailed(str(error)) from error
    try:
        return await mutations.take(new, seen["object"], request, match, versions, strictly=not mutation.applies)
    except BadRequest as error:
        if mutation.applies:
            raise MutationFailed(error.message) from error
        raise InternalError(f"Internal error occurred: {error.message}") from error


def _unknown(what: str) -> StatusError:
    delay = "There can be a delay between when CustomResourceDefinitions are created and when they are available."
    return ServiceUnavailable(f"{what} {delay}")


def _refusal(request: AdmissionRequest, problems: Sequence[Problem]) -> StatusError:
    status = refusal(request, "admission request denied by policy").status
    first = problems[0]
    causes = [{"message": problem.sentence} for problem in problems]
    changes = {"message": first.sentence, "reason": first.reason or status["reason"]}
    return errors.from_status({**status, **changes, "details": {**status["details"], "causes": causes}}, status["code"])
