"""A request as it is told to those who judge it: webhooks in their question, expressions in their variables."""

from __future__ import annotations

from pybernetes.apiserver.admission.interface import AdmissionRequest
from pybernetes.apiserver.admission.matching import Match, namespace_name
from pybernetes.apiserver.admission.versions import Versions
from pybernetes.machinery.meta import GroupVersionKind, Object, Resource


async def seen_as(obj: Object | None, request: AdmissionRequest, match: Match, versions: Versions) -> Object | None:
    """The object in the version and kind that was asked for. Raises `ConversionFailed`."""
    if obj is None:
        return None
    own = versions.kind_of(request.resource, request.subresource)
    if own == request.resource.gvk and match.resource != request.resource:
        obj = await versions.convert(obj, request.resource, match.resource)
    rest = {field: value for field, value in obj.items() if field not in ("kind", "apiVersion")}
    return {"kind": match.kind.kind, "apiVersion": match.kind.api_version, **rest}


def described(request: AdmissionRequest, match: Match, versions: Versions) -> Object:
    """The request without its objects: `AdmissionRequest` of admission.k8s.io/v1, and the variable `request`."""
    asked: Object = {
        "kind": _kind(match.kind),
        "resource": _resource(match.resource),
        "requestKind": _kind(versions.kind_of(request.resource, request.subresource)),
        "requestResource": _resource(request.resource),
    }
    if request.subresource:
        asked["subResource"] = asked["requestSubResource"] = request.subresource
    name = request.name or ((request.object or {}).get("metadata") or {}).get("name", "")
    if name:
        asked["name"] = name
    namespace = namespace_name(request)
    if namespace:
        asked["namespace"] = namespace
    asked |= {
        "operation": request.operation.value,
        "userInfo": request.user.info,
        "dryRun": request.dry_run,
        "options": request.options or None,
    }
    return asked


def _kind(gvk: GroupVersionKind) -> Object:
    return {"group": gvk.group, "version": gvk.version, "kind": gvk.kind}


def _resource(resource: Resource) -> Object:
    return {"group": resource.group, "version": resource.version, "resource": resource.plural}
