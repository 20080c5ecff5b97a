"""PodResizeValidator: a running pod grows to what its node has at most (KEP-1287)."""

from __future__ import annotations

from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest, Operation
from pybernetes.apiserver.admission.refusals import refusal
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery import errors
from pybernetes.machinery.errors import Cause, Forbidden
from pybernetes.machinery.meta import Object, labels_of, name_of
from pybernetes.machinery.pod_resources import pod_requests
from pybernetes.machinery.quantity import of, parse
from pybernetes.machinery.resources import NODES, PODS

OS_LABEL = "kubernetes.io/os"
NODE_CAPACITY, UNSUPPORTED_PLATFORM = "NodeCapacity", "UnsupportedPlatform"  # causes: autoscalers tell by them


class PodResizeValidator(AdmissionPlugin):
    name = "PodResizeValidator"
    resources = (PODS,)

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def validate(self, request: AdmissionRequest) -> None:
        if request.subresource != "resize" or request.operation is not Operation.UPDATE:
            return
        pod, old = request.object, request.old_object
        if pod is None or old is None or not pod["spec"].get("nodeName") or pod["spec"] == old["spec"]:
            return
        node = self._reader.get(NODES, "", pod["spec"]["nodeName"])
        if node is None:
            raise refusal(request, f'node "{pod["spec"]["nodeName"]}" not found')
        lacking = shortage(pod, node)
        if lacking:
            why = f"Node didn't have enough allocatable resources: {lacking}"
            raise _refusal(pod, why, NODE_CAPACITY)
        system = labels_of(node).get(OS_LABEL, "")
        if system != "linux":
            why = f'pod resize is only supported on linux nodes, node "{name_of(node)}" is "{system}"'
            raise _refusal(pod, why, UNSUPPORTED_PLATFORM)


def shortage(pod: Object, node: Object) -> str:
    """What the pod asks for and the node could not give it were it alone; "" is nothing. Processor in thousandths."""
    requested, allocatable = pod_requests(pod), (node.get("status") or {}).get("allocatable") or {}
    none = of(0)
    cpu, cpu_there = requested.get("cpu", none).milli, parse(allocatable.get("cpu", 0)).milli
    memory, memory_there = requested.get("memory", none).value, parse(allocatable.get("memory", 0)).value
    found = [("cpu", cpu, cpu_there), ("memory", memory, memory_there)]
    return "; ".join(f"{name}, requested: {asked}, allocatable: {there}" for name, asked, there in found if asked > there)


def _refusal(pod: Object, why: str, cause: str) -> Forbidden:
    plain = errors.forbidden(PODS.group, PODS.plural, name_of(pod), why)
    return Forbidden(plain.message, kind=PODS.plural, name=name_of(pod), causes=[Cause(cause, "")])
