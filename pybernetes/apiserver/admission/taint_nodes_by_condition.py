"""TaintNodesByCondition: a new node takes no pods until the node controller has seen that it is ready."""

from __future__ import annotations

from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest, Operation
from pybernetes.machinery.resources import NODES
from pybernetes.machinery.tolerations import NO_SCHEDULE, TAINT_NOT_READY, same_taint

NOT_READY = {"effect": NO_SCHEDULE, "key": TAINT_NOT_READY}


class TaintNodesByCondition(AdmissionPlugin):
    name = "TaintNodesByCondition"
    resources = (NODES,)

    async def admit(self, request: AdmissionRequest) -> None:
        node = request.object
        if request.subresource or request.operation is not Operation.CREATE or node is None:
            return
        spec = node.setdefault("spec", {})
        taints = spec.get("taints") or []
        if not any(same_taint(NOT_READY, taint) for taint in taints):
            spec["taints"] = [*taints, dict(NOT_READY)]
