"""What nobody may use without a quota for it (`limitedResources` of ResourceQuota's configuration). Pure.

Source: https://kubernetes.io/docs/concepts/policy/resource-quotas/ ("Limit Priority Class consumption by default")
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from pybernetes.apiserver.admission.interface import AdmissionRequest, Operation
from pybernetes.apiserver.admission.quota_usage import in_scope, matches_scopes, requirements_of, usage
from pybernetes.apiserver.admission.refusals import refusal
from pybernetes.machinery.errors import FieldError, StatusError
from pybernetes.machinery.meta import Object
from pybernetes.machinery.quantity import Quantity

_KINDS: Final = {
    "ResourceQuotaConfiguration": ("apiserver.config.k8s.io/v1",),
    "Configuration": ("resourcequota.admission.k8s.io/v1beta1", "resourcequota.admission.k8s.io/v1alpha1"),
}


@dataclass(frozen=True, slots=True)
class LimitedResource:
    """Of one resource, what is limited: usage whose name contains one of `contains`, objects in one of `scopes`."""

    group: str
    resource: str
    contains: tuple[str, ...]
    scopes: tuple[Object, ...]


def parse(document: Object | None) -> tuple[LimitedResource, ...]:
    """Raises ValueError."""
    if document is None:
        return ()
    from pybernetes.apiserver.admission.configuration import check_kind, list_of, refuse

    kind = str(document.get("kind") or "ResourceQuotaConfiguration")
    check_kind(document, kind, _KINDS.get(kind, ()))
    limited = list_of(document, "limitedResources")
    refuse([
        FieldError.required(f"limitedResources[{place}].resource")
        for place, found in enumerate(limited) if not found.get("resource")
    ])  # fmt: skip
    return tuple(
        LimitedResource(
            str(found.get("apiGroup") or ""), str(found["resource"]), tuple(found.get("matchContains") or ()),
            tuple(map(_scope, list_of(found, "matchScopes"))),
        )
        for found in limited
    )  # fmt: skip


def _scope(found: Object) -> Object:
    """Whole, whatever was left out."""
    return {
        "scopeName": found.get("scopeName") or "",
        "operator": found.get("operator") or "",
        "values": found.get("values") or [],
    }


def check(request: AdmissionRequest, quotas: Sequence[Object], limited: Sequence[LimitedResource]) -> None:
    """Raises `Forbidden` (`StatusError` for scopes, as upstream) where the write needs a quota that is not there."""
    resource, obj = request.resource, request.object
    assert obj is not None
    used = usage(resource, obj)
    if request.operation is Operation.UPDATE and request.old_object is not None:
        before, zero = usage(resource, request.old_object), Quantity(0)
        if not any(amount > before.get(name, zero) for name, amount in used.items()):
            return
    covered = {
        name
        for quota in quotas
        if matches_scopes(resource, obj, quota["spec"])
        for name in (quota.get("status") or {}).get("hard") or ()
    }
    concerned = [found for found in limited if (found.group, found.resource) == (resource.group, resource.plural)]
    needed = {
        name for name, amount in used.items() if amount and any(part in name for found in concerned for part in found.contains)
    }
    if needed - covered:
        raise refusal(request, f"insufficient quota to consume: {','.join(sorted(needed - covered))}")
    ruled = {
        requirement["scopeName"]
        for quota in quotas
        for requirement in requirements_of(quota["spec"])
        if in_scope(resource, obj, requirement)
    }
    wanted = (scope for found in limited for scope in found.scopes if in_scope(resource, obj, scope))
    uncovered = [scope for scope in wanted if scope["scopeName"] not in ruled]
    if uncovered:
        raise StatusError(f"insufficient quota to match these scopes: {_shown(uncovered)}")


def _shown(scopes: Iterable[Object]) -> str:
    """As Go prints such structures."""
    shown = (f"{{{scope['scopeName']} {scope['operator']} [{' '.join(scope['values'])}]}}" for scope in scopes)
    return f"[{' '.join(shown)}]"
