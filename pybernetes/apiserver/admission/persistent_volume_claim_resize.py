"""PersistentVolumeClaimResize: a claim grows only if it is bound, and of a class that can grow."""

from __future__ import annotations

from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest, Operation
from pybernetes.apiserver.admission.refusals import refusal
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery.meta import Object
from pybernetes.machinery.quantity import Quantity, parse
from pybernetes.machinery.resources import PERSISTENT_VOLUME_CLAIMS, STORAGE_CLASSES


class PersistentVolumeClaimResize(AdmissionPlugin):
    name = "PersistentVolumeClaimResize"
    resources = (PERSISTENT_VOLUME_CLAIMS,)

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def validate(self, request: AdmissionRequest) -> None:
        claim, old = request.object, request.old_object
        if request.subresource or claim is None or old is None:
            return
        if request.operation is not Operation.UPDATE or _size(claim) <= _size(old):
            return
        if (old.get("status") or {}).get("phase") != "Bound":
            raise refusal(request, "Only bound persistent volume claims can be expanded")
        name = claim["spec"].get("storageClassName") or ""
        found = self._reader.get(STORAGE_CLASSES, "", name) if name else None
        if found is None or not found.get("allowVolumeExpansion"):
            raise refusal(
                request,
                "only dynamically provisioned pvc can be resized and "
                "the storageclass that provisions the pvc must support resize",
            )


def _size(claim: Object) -> Quantity:
    return parse(((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage", "0"))
