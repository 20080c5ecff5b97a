"""StorageObjectInUseProtection: a volume or claim that is deleted waits until nobody uses it (a controller lets it go)."""

from __future__ import annotations

from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest, Operation
from pybernetes.machinery.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, VOLUME_ATTRIBUTES_CLASSES

FINALIZERS = {
    PERSISTENT_VOLUMES: "kubernetes.io/pv-protection",
    PERSISTENT_VOLUME_CLAIMS: "kubernetes.io/pvc-protection",
    VOLUME_ATTRIBUTES_CLASSES: "kubernetes.io/vac-protection",
}


class StorageObjectInUseProtection(AdmissionPlugin):
    name = "StorageObjectInUseProtection"
    resources = FINALIZERS.keys()

    async def admit(self, request: AdmissionRequest) -> None:
        finalizer = FINALIZERS.get(request.resource)
        if finalizer is None or request.subresource or request.operation is not Operation.CREATE or request.object is None:
            return
        metadata = request.object["metadata"]
        finalizers = metadata.get("finalizers") or []
        if finalizer not in finalizers:
            metadata["finalizers"] = [*finalizers, finalizer]
