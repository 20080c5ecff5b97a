"""ExtendedResourceToleration: a pod that asks for a device tolerates the taint that keeps other pods off. Off by default."""

from __future__ import annotations

from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest, Operation
from pybernetes.apiserver.registry.core.pod_spec.resources import is_extended
from pybernetes.machinery.meta import Object
from pybernetes.machinery.resources import PODS
from pybernetes.machinery.tolerations import NO_SCHEDULE


class ExtendedResourceToleration(AdmissionPlugin):
    name = "ExtendedResourceToleration"
    resources = (PODS,)

    async def admit(self, request: AdmissionRequest) -> None:
        pod = request.object
        if request.subresource or pod is None or request.operation not in (Operation.CREATE, Operation.UPDATE):
            return
        asked_for = {
            name
            for field in ("containers", "initContainers")
            for container in pod["spec"].get(field) or ()
            for name in (container.get("resources") or {}).get("requests") or ()
            if is_extended(name)
        }
        if not asked_for:
            return
        tolerations = list(pod["spec"].get("tolerations") or ())
        for name in sorted(asked_for):
            _add(tolerations, {"key": name, "operator": "Exists", "effect": NO_SCHEDULE})
        pod["spec"]["tolerations"] = tolerations


def _add(tolerations: list[Object], wanted: Object) -> None:
    """In place of one that differs in its seconds only, else at the end."""
    for place, found in enumerate(tolerations):
        if all(found.get(field, "") == wanted.get(field, "") for field in ("key", "operator", "value", "effect")):
            tolerations[place] = wanted
            return
    tolerations.append(wanted)
