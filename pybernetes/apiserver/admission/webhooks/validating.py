"""ValidatingAdmissionWebhook: all hooks that a request concerns are asked at once; one that says no is enough."""

from __future__ import annotations

import asyncio

from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest
from pybernetes.apiserver.admission.webhooks.calls import Caller, HookFailed, fail_open
from pybernetes.apiserver.admission.webhooks.hooks import HookSource
from pybernetes.apiserver.admission.webhooks.matching import Invocation, is_exempt
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.resources import VALIDATING_WEBHOOK_CONFIGURATIONS


class ValidatingAdmissionWebhook(AdmissionPlugin):
    name = "ValidatingAdmissionWebhook"

    def __init__(self, reader: Reader, caller: Caller) -> None:
        self._reader = reader
        self._caller = caller
        self._source = HookSource(reader, VALIDATING_WEBHOOK_CONFIGURATIONS)

    async def close(self) -> None:
        await self._caller.client.close()

    async def validate(self, request: AdmissionRequest) -> None:
        hooks = self._source.current()
        if not hooks or is_exempt(request):
            return
        found = [await self._caller.invocation(hook, request, self._reader, mutating=False) for hook in hooks]
        invocations = [invocation for invocation in found if invocation is not None]
        if not invocations:
            return
        if len(invocations) == 1:
            refusals = [await self._ask(request, invocations[0], 0)]
        else:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._ask(request, invocation, index)) for index, invocation in enumerate(invocations)
                ]
            refusals = [task.result() for task in tasks]
        for refusal in refusals:
            if refusal is not None:
                raise refusal

    async def _ask(self, request: AdmissionRequest, invocation: Invocation, index: int) -> StatusError | None:
        """Why the request is refused. Returned, not raised: the other hooks are to be heard all the same."""
        try:
            obj, old = await self._caller.seen(request, invocation)
            try:
                await self._caller.ask(request, invocation, obj, old, mutating=False)
            except HookFailed as failure:
                key = f"failed-open.validating.webhook.admission.k8s.io/round_0_index_{index}"
                fail_open(request, invocation, failure, key)
        except StatusError as refusal:
            return refusal
        return None
