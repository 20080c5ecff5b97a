"""Webhook mode: somebody else is asked, and the answer kept for a while.

Source: https://kubernetes.io/docs/reference/access-authn-authz/webhook/
"""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple, Protocol

import orjson

from pybernetes.apiserver.attributes import RequestInfo, User
from pybernetes.apiserver.authorization import questions
from pybernetes.apiserver.authorization.conditions import ConditionsFailed
from pybernetes.apiserver.authorization.configuration import Webhook
from pybernetes.apiserver.authorization.interface import Decision, Rules, Verdict
from pybernetes.apiserver.authorization.metrics import Metrics
from pybernetes.apiserver.kubeconfig_webhook import Observe, WebhookFailed
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object
from pybernetes.machinery.recent import Recent
from pybernetes.machinery.turns import by_turns

log = logger("apiserver")

KEPT_MAX: Final = 8192  # answers; the longest unused goes

NO_OPINION: Final = Verdict(Decision.NO_OPINION)


class Remote(Protocol):
    """The server that is asked: `KubeconfigWebhook`, over the network."""

    async def post(self, review: Object, observe: Observe) -> Object:
        """The review, answered. Raises `WebhookFailed`."""
        ...

    async def close(self) -> None: ...


class _Kept(NamedTuple):
    verdict: Verdict
    until_s: float  # monotonic


class WebhookAuthorizer:
    """Asks one webhook. `close` when it is no longer asked."""

    def __init__(self, name: str, config: Webhook, remote: Remote, *, clock: Clock, metrics: Metrics) -> None:
        self._name = name
        self._config = config
        self._clock = clock
        self._metrics = metrics
        self._remote = remote
        self._on_failure = Decision.DENY if config.denies_on_failure else Decision.NO_OPINION
        self._kept: Recent[bytes, _Kept] = Recent(KEPT_MAX)

    async def authorize(self, user: User, info: RequestInfo) -> Verdict:
        spec = questions.spec_of(user, info)
        try:
            if not await self._concerned(spec):
                return NO_OPINION
        except ConditionsFailed as error:
            return Verdict(self._on_failure, error=str(error))
        key = orjson.dumps(spec)
        known = self._kept.get(key)
        if known is not None and known.until_s > self._clock.monotonic():
            return known.verdict
        started_s = self._clock.monotonic()
        try:
            answer = await self._remote.post(questions.review_of(spec, self._config.version), self._observe)
        except asyncio.CancelledError:  # whoever asked has gone
            self._metrics.webhook_asked(self._name, "canceled", self._clock.monotonic() - started_s)
            raise
        except WebhookFailed as failure:
            log.warning("Failed to make webhook authorizer request", webhook=self._name, err=str(failure))
            if self._on_failure is Decision.NO_OPINION:
                self._metrics.webhook_failed_open(self._name, _result(failure))
            return Verdict(self._on_failure, error=str(failure))
        verdict = questions.verdict_of(answer.get("status"))
        if questions.may_be_kept(info):
            self._keep(key, verdict)
        return verdict

    def rules_for(self, user: User, namespace: str) -> Rules:
        return Rules((), incomplete=True, error="webhook authorizer does not support user rule resolution")

    async def close(self) -> None:
        await self._remote.close()

    async def _concerned(self, spec: Object) -> bool:
        """Raises `ConditionsFailed`."""
        conditions = self._config.conditions
        if not conditions:
            return True
        started_s = self._clock.monotonic()
        excluded = failed = False
        try:
            excluded = not await by_turns(lambda: conditions.hold(spec))
        except ConditionsFailed:
            failed = True
            raise
        finally:
            taken_s = self._clock.monotonic() - started_s
            self._metrics.conditions_evaluated(self._name, taken_s, excluded=excluded, failed=failed)
        return not excluded

    def _keep(self, key: bytes, verdict: Verdict) -> None:
        allowed = verdict.decision is Decision.ALLOW
        ttl_s = self._config.authorized_ttl_s if allowed else self._config.unauthorized_ttl_s
        if not ttl_s:
            return
        self._kept.put(key, _Kept(verdict, self._clock.monotonic() + ttl_s))

    def _observe(self, failure: WebhookFailed | None, seconds: float) -> None:
        self._metrics.webhook_asked(self._name, _result(failure), seconds)


def _result(failure: WebhookFailed | None) -> str:
    if failure is None:
        return "success"
    return "timeout" if failure.timed_out else "error"
