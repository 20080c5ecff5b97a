"""One call of one hook: question, answer, and what becomes of failures. What both plugins share."""

from __future__ import annotations

from dataclasses import dataclass

from pybernetes.apiserver.admission.condition_metrics import ConditionMetrics, Counted
from pybernetes.apiserver.admission.conditions import ConditionsFailed, hold
from pybernetes.apiserver.admission.described import seen_as
from pybernetes.apiserver.admission.interface import AdmissionRequest
from pybernetes.apiserver.admission.matching import Match
from pybernetes.apiserver.admission.refusals import refusal
from pybernetes.apiserver.admission.versions import Versions
from pybernetes.apiserver.admission.webhooks import review
from pybernetes.apiserver.admission.webhooks.client import CallFailed, WebhookClient
from pybernetes.apiserver.admission.webhooks.conditions import compiled
from pybernetes.apiserver.admission.webhooks.hooks import Hook
from pybernetes.apiserver.admission.webhooks.matching import Invocation, match
from pybernetes.apiserver.admission.webhooks.metrics import WebhookMetrics
from pybernetes.apiserver.admission.webhooks.review import Answer, InvalidReview
from pybernetes.apiserver.authorization.interface import Authorizer
from pybernetes.apiserver.registry.conversion import ConversionFailed
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object
from pybernetes.machinery.turns import by_turns

log = logger("apiserver")


class HookFailed(Exception):
    """A hook that gave no usable answer: `failurePolicy` decides."""


@dataclass(frozen=True, slots=True)
class Caller:
    client: WebhookClient
    versions: Versions
    entropy: Entropy
    authorizer: Authorizer  # for match conditions
    metrics: WebhookMetrics
    conditions: ConditionMetrics

    async def invocation(self, hook: Hook, request: AdmissionRequest, reader: Reader, *, mutating: bool) -> Invocation | None:
        """How the hook is to be called; None if the request does not concern it.

        Raises `NotFound` for a namespace that is not there, `Forbidden` where its conditions cannot be evaluated.
        """
        found = match(hook, request, reader, self.versions)
        if found is None or not hook.match_conditions:
            return found
        counted = Counted(self.conditions, ("webhook", hook.name, request.operation.value, "admit" if mutating else "validate"))
        return found if await self._conditions_hold(hook, request, found.match, counted) else None

    async def seen(self, request: AdmissionRequest, invocation: Invocation) -> tuple[Object | None, Object | None]:
        """The object and the old one as the hook sees them. Raises `InternalError` if they cannot be converted."""
        try:
            return (
                await seen_as(request.object, request, invocation.match, self.versions),
                await seen_as(request.old_object, request, invocation.match, self.versions),
            )
        except ConversionFailed as error:
            raise review.internal(error.message) from error

    async def _conditions_hold(self, hook: Hook, request: AdmissionRequest, match: Match, counted: Counted) -> bool:
        from pybernetes.apiserver.admission.evaluation import variables_of  # loads CEL
        from pybernetes.apiserver.admission.verdicts import Verdicts

        try:
            variables = await variables_of(request, match, self.versions)
        except ConversionFailed as error:
            raise review.internal(error.message) from error
        verdicts = Verdicts(self.authorizer, request)

        def evaluate() -> bool:
            conditions = [compiled(text) for _, text in hook.match_conditions]
            return hold(conditions, variables, verdicts, counted)

        try:
            return await by_turns(evaluate)
        except ConditionsFailed as error:
            log.warning("Failed evaluating match conditions", webhook=hook.name, ignored=hook.ignores_failures, err=str(error))
            if not hook.ignores_failures:
                raise refusal(request, str(error)) from error
            return False

    async def ask(
        self, request: AdmissionRequest, invocation: Invocation, obj: Object | None, old: Object | None, *, mutating: bool
    ) -> Answer:
        """An answer that allows the request; its warnings and annotations are taken into `request`.

        Raises `HookFailed`, or the `StatusError` of a hook that does not allow it (or cannot be asked on a dry run).
        """
        began, rejected = self.metrics.monotonic(), True
        try:
            answer = await self._ask(request, invocation, obj, old, mutating=mutating)
            rejected = False
        finally:
            operation = request.operation.value
            self.metrics.observe(invocation.hook.name, operation, began, rejected=rejected, mutating=mutating)
        return answer

    async def _ask(
        self, request: AdmissionRequest, invocation: Invocation, obj: Object | None, old: Object | None, *, mutating: bool
    ) -> Answer:
        hook = invocation.hook
        if request.dry_run and hook.side_effects not in review.SAFE_ON_DRY_RUN:
            raise review.dry_run_unsupported(hook.name)
        uid = self.entropy.uid()
        try:
            version, asked = review.question(request, invocation, self.versions, obj, old, uid)
        except InvalidReview as error:
            raise HookFailed(f"could not create admission objects: {error}") from error
        try:
            given = await self.client.post(hook.client, asked, hook.timeout_s)
        except CallFailed as error:
            raise HookFailed(f"failed to call webhook: {error}") from error
        try:
            answer = review.read_answer(given, version, uid, mutating=mutating)
        except InvalidReview as error:
            raise HookFailed(f"received invalid webhook response: {error}") from error
        for key, value in (answer.audit_annotations or {}).items():
            request.audit_annotations[f"{hook.name}/{key}"] = str(value)
        request.warnings += answer.warnings
        if not answer.allowed:
            log.info("Webhook refused", webhook=hook.name, request=review.shown(request))
            raise review.denied(hook.name, answer.result)
        return answer


def fail_open(request: AdmissionRequest, invocation: Invocation, failure: HookFailed, annotation: str) -> None:
    """Go on without the hook if its policy says so. Raises `InternalError` if not."""
    hook = invocation.hook
    log.warning("Failed calling webhook", webhook=hook.name, ignored=hook.ignores_failures, err=str(failure))
    if not hook.ignores_failures:
        raise review.failed(hook.name, str(failure)) from failure
    request.audit_annotations[annotation] = hook.name
