"""DefaultStorageClass: a claim that names no class gets the default one."""

from __future__ import annotations

from collections.abc import Sequence

from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest, Operation
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery.meta import Object, annotations_of, name_of
from pybernetes.machinery.resources import PERSISTENT_VOLUME_CLAIMS, STORAGE_CLASSES

DEFAULT = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
CLASS = "volume.beta.kubernetes.io/storage-class"


class DefaultStorageClass(AdmissionPlugin):
    name = "DefaultStorageClass"
    resources = (PERSISTENT_VOLUME_CLAIMS,)

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def admit(self, request: AdmissionRequest) -> None:
        claim = request.object
        if request.subresource or claim is None:
            return
        # "" is a choice too: no class at all.
        if request.operation is not Operation.CREATE or claim["spec"].get("storageClassName") is not None:
            return
        if CLASS in annotations_of(claim):
            return
        chosen = newest_default(self._reader.list(STORAGE_CLASSES), DEFAULT)
        if chosen is not None:
            claim["spec"]["storageClassName"] = name_of(chosen)


def newest_default(classes: Sequence[Object], annotations: Sequence[str]) -> Object | None:
    """The youngest class that is marked as default; of the same age, the first by name."""
    marked = [found for found in classes if any(annotations_of(found).get(key) == "true" for key in annotations)]
    marked.sort(key=name_of)
    return max(marked, key=lambda found: str(found["metadata"].get("creationTimestamp", "")), default=None)
