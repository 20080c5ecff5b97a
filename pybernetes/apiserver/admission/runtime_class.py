"""RuntimeClass: what a pod's runtime costs and where it is, written into the pod (KEP-688).

Source: https://kubernetes.io/docs/concepts/containers/runtime-class/
"""

from __future__ import annotations

from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest, Operation
from pybernetes.apiserver.admission.refusals import refusal
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery.meta import Object
from pybernetes.machinery.quantity import parse
from pybernetes.machinery.resources import PODS, RUNTIME_CLASSES


class RuntimeClass(AdmissionPlugin):
    name = "RuntimeClass"
    resources = (PODS,)

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def admit(self, request: AdmissionRequest) -> None:
        found, pod = self._class(request), request.object
        if found is None or pod is None:
            return
        overhead = (found.get("overhead") or {}).get("podFixed")
        if overhead and not pod["spec"].get("overhead"):
            pod["spec"]["overhead"] = dict(overhead)
        scheduling = found.get("scheduling")
        if scheduling:
            _schedule(request, pod["spec"], scheduling)

    async def validate(self, request: AdmissionRequest) -> None:
        if request.object is None or not _is_new_pod(request):
            return
        overhead = request.object["spec"].get("overhead") or {}
        expected = ((self._class(request) or {}).get("overhead") or {}).get("podFixed") or {}
        if {key: parse(value) for key, value in overhead.items()} == {key: parse(value) for key, value in expected.items()}:
            return
        if not expected:
            raise refusal(request, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
        raise refusal(request, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")

    def _class(self, request: AdmissionRequest) -> Object | None:
        if request.object is None or not _is_new_pod(request):
            return None
        name = request.object["spec"].get("runtimeClassName")
        if not name:
            return None
        found = self._reader.get(RUNTIME_CLASSES, "", name)
        if found is None:
            raise refusal(request, f'pod rejected: RuntimeClass "{name}" not found')
        return found


def _is_new_pod(request: AdmissionRequest) -> bool:
    return not request.subresource and request.operation is Operation.CREATE


def _schedule(request: AdmissionRequest, spec: Object, scheduling: Object) -> None:
    """Keep the pod to the nodes that have the runtime."""
    wanted = scheduling.get("nodeSelector") or {}
    selector = dict(spec.get("nodeSelector") or {})
    for key, value in wanted.items():
        if selector.setdefault(key, value) != value:
            raise refusal(
                request,
                f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                f"pod.spec.nodeSelector[{key}] = {selector[key]}",
            )
    if wanted:
        spec["nodeSelector"] = selector
    tolerations = list(spec.get("tolerations") or ())
    more = [dict(toleration) for toleration in scheduling.get("tolerations") or () if toleration not in tolerations]
    if more:
        spec["tolerations"] = tolerations + more
