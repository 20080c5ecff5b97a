"""ResourceQuota: a namespace does not exceed what it was given.

A write is measured (what does it use, of the quotas' resources), compared with `status.used`, and charged there before it is
let through: by a guarded update, so that two writes cannot both take the last place. What deletions give back is counted anew
by the quota controller, as is a charge whose write failed later.

Left out: `services.loadbalancers` with allocated node ports disabled, device classes, and the extended scopes of 1.36 beyond
those below.
Source: https://kubernetes.io/docs/concepts/policy/resource-quotas/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pybernetes.apiserver.admission import quota_limits
from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest, Operation
from pybernetes.apiserver.admission.quota_limits import LimitedResource
from pybernetes.apiserver.admission.quota_usage import Amounts, matches_scopes, missing_requirements, usage
from pybernetes.apiserver.admission.refusals import refusal
from pybernetes.apiserver.registry.strategy import Reader, Writer
from pybernetes.machinery import errors
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.quantity import Quantity, parse
from pybernetes.machinery.resources import PODS, RESOURCE_QUOTAS

CONFLICTS_MAX = 10


class ResourceQuota(AdmissionPlugin):
    name = "ResourceQuota"

    def __init__(self, reader: Reader, writer: Writer, limited: Sequence[LimitedResource] = ()) -> None:
        """`limited`: what takes a quota."""
        self._reader = reader
        self._writer = writer
        self._limited = tuple(limited)

    async def validate(self, request: AdmissionRequest) -> None:
        if not _counts(request):
            return
        quotas = self._reader.list(RESOURCE_QUOTAS, request.namespace)
        if self._limited:
            quota_limits.check(request, quotas, self._limited)
        for quota in quotas:
            await self._charge(request, quota)

    async def _charge(self, request: AdmissionRequest, quota: Object) -> None:
        for _ in range(CONFLICTS_MAX):
            charged = charge(request, quota)
            if charged is None or request.dry_run:
                return
            try:
                await self._writer.update(RESOURCE_QUOTAS, charged)
                return
            except errors.Conflict:
                found = self._reader.get(RESOURCE_QUOTAS, request.namespace, name_of(quota))
                if found is None:
                    return
                quota = found
            except errors.NotFound:
                return
        raise errors.conflict("", RESOURCE_QUOTAS.plural, name_of(quota), "the quota is changed by too many others at once")


def _counts(request: AdmissionRequest) -> bool:
    """Does the write add to what a namespace holds?"""
    if not request.namespace or request.object is None:
        return False
    if request.operation is Operation.CREATE:
        return not request.subresource and request.resource != RESOURCE_QUOTAS
    # An update may enlarge: a claim, a Service's type; a pod by its resize alone.
    if request.operation is Operation.UPDATE:
        return request.subresource == "resize" if request.resource == PODS else not request.subresource
    return False


def charge(request: AdmissionRequest, quota: Object) -> Object | None:
    """The quota with the write added to its `status.used`; None where it does not concern this quota.

    Raises `Forbidden` where the quota does not admit it. Pure: `quota` is not altered.
    """
    obj = request.object
    assert obj is not None
    status = quota.get("status") or {}
    hard = {name: parse(value) for name, value in (status.get("hard") or {}).items()}
    if not hard or not matches_scopes(request.resource, obj, quota["spec"]):
        return None
    if request.operation is Operation.CREATE:
        missing = missing_requirements(request.resource, obj, hard)
        if missing:
            raise refusal(request, f"failed quota: {name_of(quota)}: must specify {missing}")
    delta = _delta(request, obj, hard)
    if not delta:
        return None
    used = {name: parse(value) for name, value in (status.get("used") or {}).items()}
    uncounted = sorted(name for name in delta if name not in used)
    if uncounted:
        problem = f"status unknown for quota: {name_of(quota)}, resources: {','.join(uncounted)}"
        raise refusal(request, problem)
    then = {name: used[name] + amount for name, amount in delta.items()}
    exceeded = sorted(name for name, amount in delta.items() if amount.nanos > 0 and then[name] > hard[name])
    if exceeded:
        raise refusal(
            request,
            f"exceeded quota: {name_of(quota)}, requested: {_shown(delta, exceeded)}, used: {_shown(used, exceeded)}, "
            f"limited: {_shown(hard, exceeded)}",
        )
    written = {**(status.get("used") or {}), **{name: str(amount) for name, amount in then.items()}}
    return {**quota, "status": {**status, "used": written}}


def _delta(request: AdmissionRequest, obj: Object, hard: Mapping[str, Quantity]) -> Amounts:
    """What the write adds, of the resources that the quota limits."""
    wanted = _limited(usage(request.resource, obj), hard)
    if request.operation is not Operation.UPDATE or request.old_object is None:
        return {name: amount for name, amount in wanted.items() if amount}
    before = _limited(usage(request.resource, request.old_object), hard)
    zero = Quantity(0)
    changes = {name: wanted.get(name, zero) - before.get(name, zero) for name in {**wanted, **before}}
    return {name: amount for name, amount in changes.items() if amount}


def _limited(amounts: Amounts, hard: Mapping[str, Quantity]) -> Amounts:
    return {name: amount for name, amount in amounts.items() if name in hard}


def _shown(amounts: Mapping[str, Quantity], names: Iterable[str]) -> str:
    listed: Sequence[str] = [f"{name}={amounts[name]}" for name in names]
    return ",".join(listed)
