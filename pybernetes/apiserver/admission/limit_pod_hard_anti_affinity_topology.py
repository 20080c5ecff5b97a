"""LimitPodHardAntiAffinityTopology: a pod keeps others off its node at most, not off a zone. Off by default."""

from __future__ import annotations

from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest, Operation
from pybernetes.machinery import errors
from pybernetes.machinery.meta import name_of
from pybernetes.machinery.resources import PODS

HOSTNAME = "kubernetes.io/hostname"


class LimitPodHardAntiAffinityTopology(AdmissionPlugin):
    name = "LimitPodHardAntiAffinityTopology"
    resources = (PODS,)

    async def validate(self, request: AdmissionRequest) -> None:
        pod = request.object
        if request.subresource or pod is None or request.operation not in (Operation.CREATE, Operation.UPDATE):
            return
        apart = (pod["spec"].get("affinity") or {}).get("podAntiAffinity") or {}
        for term in apart.get("requiredDuringSchedulingIgnoredDuringExecution") or ():
            key = term.get("topologyKey", "")
            if key != HOSTNAME:
                raise errors.forbidden(
                    PODS.group, PODS.plural, name_of(pod),
                    f"affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey {key} but only key {HOSTNAME} "
                    "is allowed",
                )  # fmt: skip
