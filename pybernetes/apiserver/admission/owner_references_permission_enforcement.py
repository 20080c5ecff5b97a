"""OwnerReferencesPermissionEnforcement: who may not delete an object may not have the collector do it. Off by default.

Source: https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#ownerreferencespermissionenforcement
"""

from __future__ import annotations

from collections.abc import Sequence

from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest, Operation
from pybernetes.apiserver.admission.refusals import refusal
from pybernetes.apiserver.admission.versions import Versions
from pybernetes.apiserver.attributes import RequestInfo
from pybernetes.apiserver.authorization.interface import Authorizer, Decision
from pybernetes.machinery.meta import GroupVersionKind, Object, Resource
from pybernetes.machinery.resources import PODS


class OwnerReferencesPermissionEnforcement(AdmissionPlugin):
    name = "OwnerReferencesPermissionEnforcement"

    def __init__(self, authorizer: Authorizer, versions: Versions | None) -> None:
        self._authorizer = authorizer
        self._versions = versions

    async def validate(self, request: AdmissionRequest) -> None:
        if request.object is None or request.operation not in (Operation.CREATE, Operation.UPDATE):
            return
        if request.resource == PODS and request.subresource == "status":
            return  # old kubelets send rubbish there, which is not written
        new, old = _owners(request.object), _owners(request.old_object)
        if new == old:
            return
        resource = request.resource
        # An object on its way in has the name that it was asked for: none, where the server chooses it.
        why = await self._forbidden(request, _info("delete", resource, request.subresource, request.namespace, request.name))
        if why is not None:
            raise refusal(request, f"cannot set an ownerRef on a resource you can't delete: {why}")
        for reference in newly_blocking(new, old):
            await self._check_owner(request, reference)

    async def _check_owner(self, request: AdmissionRequest, reference: Object) -> None:
        """To hold up an owner's deletion takes the right to its finalizers."""
        owner = self._resource(reference)
        if owner is None:
            kind, version = reference.get("kind", ""), reference.get("apiVersion", "")
            raise refusal(
                request,
                f"cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion {version} "
                f'Kind {kind}: no matches for kind "{kind}" in version "{version}"',
            )
        namespace = request.namespace if owner.namespaced else ""
        why = await self._forbidden(request, _info("update", owner, "finalizers", namespace, reference.get("name", "")))
        if why is not None:
            raise refusal(
                request,
                f"cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: {why}",
            )

    def _resource(self, reference: Object) -> Resource | None:
        group, _, version = str(reference.get("apiVersion", "")).rpartition("/")
        kind = GroupVersionKind(group, version, str(reference.get("kind", "")))
        return self._versions.find(kind) if self._versions is not None else None

    async def _forbidden(self, request: AdmissionRequest, info: RequestInfo) -> str | None:
        """Why the user may not; None if they may."""
        verdict = await self._authorizer.authorize(request.user, info)
        return None if verdict.decision is Decision.ALLOW else f"{verdict.reason}, {verdict.error or '<nil>'}"


def newly_blocking(new: Sequence[Object], old: Sequence[Object]) -> list[Object]:
    """References that hold up an owner's deletion, and did not before."""
    before = {reference.get("uid") for reference in old if reference.get("blockOwnerDeletion")}
    return [reference for reference in new if reference.get("blockOwnerDeletion") and reference.get("uid") not in before]


def _owners(obj: Object | None) -> Sequence[Object]:
    return ((obj or {}).get("metadata") or {}).get("ownerReferences") or ()


def _info(verb: str, resource: Resource, subresource: str, namespace: str, name: str) -> RequestInfo:
    return RequestInfo(
        verb, "", True, resource.group, resource.version, resource.plural, subresource, namespace, name
    )  # fmt: skip
