"""AlwaysPullImages: an image that is on the node is used by those only who may pull it. Off by default."""

from __future__ import annotations

from collections.abc import Iterator

from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest, Operation
from pybernetes.apiserver.admission.refusals import refusal
from pybernetes.machinery.errors import FieldError, aggregate
from pybernetes.machinery.meta import Object
from pybernetes.machinery.resources import PODS

ALWAYS = "Always"
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")


class AlwaysPullImages(AdmissionPlugin):
    name = "AlwaysPullImages"
    resources = (PODS,)

    async def admit(self, request: AdmissionRequest) -> None:
        pod = _concerned(request)
        if pod is None:
            return
        for _, found in _pulled(pod):
            found["imagePullPolicy"] = ALWAYS
        for volume in pod["spec"].get("volumes") or ():
            if volume.get("image") is not None:
                volume["image"]["pullPolicy"] = ALWAYS

    async def validate(self, request: AdmissionRequest) -> None:
        """Whoever came after us in the mutating phase may not take it back."""
        pod = _concerned(request)
        if pod is None:
            return
        problems = [
            FieldError.not_supported(f"{path}.imagePullPolicy", found.get("imagePullPolicy", ""), (ALWAYS,))
            for path, found in _pulled(pod)
            if found.get("imagePullPolicy") != ALWAYS
        ]
        if problems:
            raise refusal(request, aggregate(map(str, problems)))


def _concerned(request: AdmissionRequest) -> Object | None:
    """The pod, if it is a new one, or one with an image that it did not have."""
    pod = request.object
    if request.subresource or pod is None or request.operation not in (Operation.CREATE, Operation.UPDATE):
        return None
    if request.operation is Operation.UPDATE and request.old_object is not None:
        known = {found.get("image") for _, found in _pulled(request.old_object)}
        if all(found.get("image") in known for _, found in _pulled(pod)):
            return None
    return pod


def _pulled(pod: Object) -> Iterator[tuple[str, Object]]:
    """The containers, each with its path."""
    for field in _CONTAINERS:
        for place, container in enumerate(pod["spec"].get(field) or ()):
            yield f"spec.{field}[{place}]", container
