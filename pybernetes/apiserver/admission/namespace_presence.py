"""NamespaceAutoProvision and NamespaceExists: what becomes of writes into a namespace that is not there. Off by default.

The first makes it, the second refuses the write. NamespaceLifecycle, which is on, does what the second does, and more.
"""

from __future__ import annotations

from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest, Operation
from pybernetes.apiserver.admission.refusals import refusal
from pybernetes.apiserver.registry.strategy import Reader, Writer
from pybernetes.machinery import errors
from pybernetes.machinery.errors import AlreadyExists, StatusError
from pybernetes.machinery.meta import Object
from pybernetes.machinery.resources import NAMESPACES
from pybernetes.machinery.validation import dns_1123_label_errors


class NamespaceAutoProvision(AdmissionPlugin):
    name = "NamespaceAutoProvision"

    def __init__(self, reader: Reader, writer: Writer) -> None:
        self._reader = reader
        self._writer = writer

    async def admit(self, request: AdmissionRequest) -> None:
        if request.dry_run or request.operation is not Operation.CREATE or not _is_missing(request, self._reader):
            return
        try:
            await self._writer.create(NAMESPACES, namespace(request.namespace))
        except AlreadyExists:
            pass
        except (StatusError, ValueError) as error:
            raise refusal(request, str(error)) from error


class NamespaceExists(AdmissionPlugin):
    name = "NamespaceExists"

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def validate(self, request: AdmissionRequest) -> None:
        if request.operation is not Operation.CONNECT and _is_missing(request, self._reader):
            raise errors.not_found("", NAMESPACES.plural, request.namespace)


def namespace(name: str) -> Object:
    """One as a client's would be stored. Raises ValueError for a name that cannot be one's."""
    for problem in dns_1123_label_errors(name):
        raise ValueError(f'Namespace "{name}" is invalid: metadata.name: Invalid value: "{name}": {problem}')
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def _is_missing(request: AdmissionRequest, reader: Reader) -> bool:
    name = request.namespace
    return bool(name) and request.resource != NAMESPACES and reader.get(NAMESPACES, "", name) is None
