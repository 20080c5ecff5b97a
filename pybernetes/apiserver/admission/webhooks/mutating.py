"""MutatingAdmissionWebhook: hooks are asked one after the other, each about the object as the ones before have left it."""

from __future__ import annotations

import orjson

from pybernetes.apiserver.admission import mutation
from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest
from pybernetes.apiserver.admission.webhooks.calls import Caller, HookFailed, fail_open
from pybernetes.apiserver.admission.webhooks.hooks import HookSource
from pybernetes.apiserver.admission.webhooks.matching import Invocation, is_exempt
from pybernetes.apiserver.admission.webhooks.review import internal, unmodifiable
from pybernetes.apiserver.registry.conversion import ConversionFailed
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery import codec
from pybernetes.machinery.errors import BadRequest
from pybernetes.machinery.meta import Object
from pybernetes.machinery.patch import json_patch
from pybernetes.machinery.resources import MUTATING_WEBHOOK_CONFIGURATIONS


class MutatingAdmissionWebhook(AdmissionPlugin):
    name = "MutatingAdmissionWebhook"

    def __init__(self, reader: Reader, caller: Caller) -> None:
        self._reader = reader
        self._caller = caller
        self._source = HookSource(reader, MUTATING_WEBHOOK_CONFIGURATIONS)

    async def close(self) -> None:
        await self._caller.client.close()

    async def admit(self, request: AdmissionRequest) -> None:
        hooks = self._source.current()
        if not hooks or is_exempt(request):
            return
        rounds = mutation.begin(request, self.name)
        for index, hook in enumerate(hooks):
            if not rounds.is_due(hook.uid):
                continue
            invocation = await self._caller.invocation(hook, request, self._reader, mutating=True)
            if invocation is None:
                continue
            suffix = f"round_{rounds.number}_index_{index}"
            try:
                changed = await self._ask(request, invocation, suffix)
            except HookFailed as failure:
                changed = False
                fail_open(request, invocation, failure, f"failed-open.mutation.webhook.admission.k8s.io/{suffix}")
            rounds.done(hook.uid, changed=changed, reinvocable=hook.reinvocable)
        rounds.end(request)

    async def _ask(self, request: AdmissionRequest, invocation: Invocation, suffix: str) -> bool:
        """Whether the hook changed the object. Raises `HookFailed`, or what refuses the request."""
        hook = invocation.hook
        obj, old = await self._caller.seen(request, invocation)
        answer = await self._caller.ask(request, invocation, obj, old, mutating=True)
        changed = False
        if answer.patch:
            changed = await self._patch(request, invocation, obj, answer.patch)
        said = {"configuration": hook.configuration, "webhook": hook.name, "mutated": changed}
        request.audit_annotations[f"mutation.webhook.admission.k8s.io/{suffix}"] = orjson.dumps(said).decode()
        return changed

    async def _patch(self, request: AdmissionRequest, invocation: Invocation, obj: Object | None, patch: bytes) -> bool:
        """Apply a hook's patch to the object. Raises `InternalError`: the mistake is the hook's, not the client's."""
        versions = self._caller.versions
        try:
            operations = json_patch.parse(patch)
        except BadRequest as error:
            raise internal(error.message.removeprefix("error decoding patch: ")) from error
        if not operations:
            return False
        if obj is None:
            raise unmodifiable(invocation.hook.name)
        try:
            new = json_patch.patched(obj, operations)
        except json_patch.PatchFailed as error:
            raise internal(str(error)) from error
        if not isinstance(new, dict):
            raise internal(f"json: cannot unmarshal {codec.go_name(new)} into Go value of type map[string]interface {{}}")
        try:
            return await mutation.take(new, obj, request, invocation.match, versions)
        except (BadRequest, ConversionFailed) as error:
            raise internal(error.message) from error
