"""PodTopologyLabels: a pod learns the zone and region of its node as labels of its own (KEP-4742)."""

from __future__ import annotations

from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest, Operation
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery.meta import Object, labels_of
from pybernetes.machinery.resources import NODES

COPIED = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


class PodTopologyLabels(AdmissionPlugin):
    """A pod is bound by a Binding (whose labels the registry merges into the pod's), or born with a node name."""

    name = "PodTopologyLabels"

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def admit(self, request: AdmissionRequest) -> None:
        obj = request.object
        if request.operation is not Operation.CREATE or request.resource.group or obj is None:
            return
        node_name = _node_named(request, obj)
        if not node_name:
            return
        node = self._reader.get(NODES, "", node_name)
        copied = {key: value for key, value in labels_of(node or {"metadata": {}}).items() if key in COPIED}
        if copied:
            metadata = obj.setdefault("metadata", {})  # a Binding may come without
            metadata["labels"] = {**labels_of(obj), **copied}


def _node_named(request: AdmissionRequest, obj: Object) -> str:
    target = (request.resource.plural, request.subresource)
    if target == ("pods", ""):
        return str(obj["spec"].get("nodeName") or "")
    if target in (("pods", "binding"), ("bindings", "")):
        reference = obj.get("target") or {}
        return str(reference.get("name", "")) if reference.get("kind", "Node") == "Node" else ""
    return ""
