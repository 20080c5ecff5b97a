"""NamespaceLifecycle: nothing is made in a namespace that is not there or is going; some namespaces stay."""

from __future__ import annotations

from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest, Operation
from pybernetes.apiserver.admission.refusals import name_shown, refusal
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery import errors
from pybernetes.machinery.errors import Cause, Forbidden
from pybernetes.machinery.resources import NAMESPACES

IMMORTAL = frozenset(("default", "kube-system", "kube-public"))


class NamespaceLifecycle(AdmissionPlugin):
    name = "NamespaceLifecycle"

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def admit(self, request: AdmissionRequest) -> None:
        is_namespace = (request.resource.group, request.resource.plural) == (NAMESPACES.group, NAMESPACES.plural)
        if request.operation is Operation.DELETE:
            # What is there may always be deleted.
            if is_namespace and request.name in IMMORTAL:
                raise refusal(request, "this namespace may not be deleted")
            return
        if is_namespace or not request.namespace or request.operation is Operation.CONNECT:
            return
        if request.resource.plural == "localsubjectaccessreviews":
            return  # a question about a namespace, not an object in it
        namespace = self._reader.get(NAMESPACES, "", request.namespace)
        if namespace is None:
            raise errors.not_found("", NAMESPACES.plural, request.namespace)
        if request.operation is Operation.CREATE and namespace.get("status", {}).get("phase") == "Terminating":
            raise _terminating(request)


def _terminating(request: AdmissionRequest) -> Forbidden:
    resource, name = request.resource, name_shown(request)
    why = f"unable to create new content in namespace {request.namespace} because it is being terminated"
    cause = Cause("NamespaceTerminating", f"namespace {request.namespace} is being terminated", "metadata.namespace")
    return Forbidden(
        f'{resource.group_resource} "{name}" is forbidden: {why}',
        group=resource.group,
        kind=resource.plural,
        name=name,
        causes=[cause],
    )
