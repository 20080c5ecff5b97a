"""MutatingAdmissionWebhook: hooks are asked one after the other, each about the object as the ones before have left it.

After a change the whole mutating phase runs once more, so that built-in plugins see what hooks added; in that second round only
hooks with `reinvocationPolicy: IfNeeded` are asked again, and only if the object changed since they saw it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import orjson

from pybernetes.apiserver.admission.described import seen_as
from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest, Reinvocation
from pybernetes.apiserver.admission.webhooks.calls import Caller, HookFailed, fail_open
from pybernetes.apiserver.admission.webhooks.hooks import HookSource
from pybernetes.apiserver.admission.webhooks.matching import Invocation, is_exempt
from pybernetes.apiserver.admission.webhooks.review import internal, unmodifiable
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery import codec
from pybernetes.machinery.errors import BadRequest
from pybernetes.machinery.meta import Object
from pybernetes.machinery.patch import json_patch
from pybernetes.machinery.resources import MUTATING_WEBHOOK_CONFIGURATIONS


@dataclass(slots=True)
class _Rounds:
    """What must be known of the first round in the second, by the hooks' uids."""

    asked: set[str] = field(default_factory=set)  # and willing to be asked again
    again: set[str] = field(default_factory=set)  # of those, the ones whose object was changed since
    output: bytes = b""  # the object as the last round left it

    def changed(self) -> None:
        self.again |= self.asked
        self.asked = set()


class MutatingAdmissionWebhook(AdmissionPlugin):
    name = "MutatingAdmissionWebhook"

    def __init__(self, reader: Reader, caller: Caller) -> None:
        self._reader = reader
        self._caller = caller
        self._source = HookSource(reader, MUTATING_WEBHOOK_CONFIGURATIONS)

    async def admit(self, request: AdmissionRequest) -> None:
        hooks = self._source.current()
        if not hooks or is_exempt(request):
            return
        reinvocation = request.reinvocation
        if reinvocation is None:
            reinvocation = request.reinvocation = Reinvocation()
        rounds = cast(_Rounds, reinvocation.state.setdefault(self.name, _Rounds()))
        if reinvocation.active and rounds.output != _encoded(request.object):
            rounds.changed()
        number = 1 if reinvocation.active else 0
        for index, hook in enumerate(hooks):
            # A hook that did not match in the first round is not asked in the second, even if it would match now.
            if reinvocation.active and hook.uid not in rounds.again:
                continue
            invocation = await self._caller.invocation(hook, request, self._reader)
            if invocation is None:
                continue
            suffix = f"round_{number}_index_{index}"
            try:
                changed = await self._ask(request, invocation, suffix)
            except HookFailed as failure:
                changed = False
                fail_open(request, invocation, failure, f"failed-open.mutation.webhook.admission.k8s.io/{suffix}")
            if changed:
                rounds.changed()
                reinvocation.wanted = True
            if hook.reinvocable:
                rounds.asked.add(hook.uid)
        rounds.output = _encoded(request.object)

    async def _ask(self, request: AdmissionRequest, invocation: Invocation, suffix: str) -> bool:
        """Whether the hook changed the object. Raises `HookFailed`, or what refuses the request."""
        versions, hook = self._caller.versions, invocation.hook
        obj = await seen_as(request.object, request, invocation.match, versions)
        old = await seen_as(request.old_object, request, invocation.match, versions)
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
        if "metadata" in obj and not isinstance(new.get("metadata"), dict):
            new["metadata"] = {}
        own = versions.kind_of(request.resource, request.subresource)
        try:
            versions.settle(new, invocation.match.resource, request.subresource)
            changed: bool = new != obj
            if invocation.match.resource != request.resource and own == request.resource.gvk:
                new = await versions.convert(new, invocation.match.resource, request.resource)
        except BadRequest as error:
            raise internal(error.message) from error
        rest = {name: value for name, value in new.items() if name not in ("kind", "apiVersion")}
        request.object = {"kind": own.kind, "apiVersion": own.api_version, **rest}
        return changed


def _encoded(obj: Object | None) -> bytes:
    return orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)
