"""DefaultTolerationSeconds: a pod stays five minutes on a node that fails, unless it says otherwise."""

from __future__ import annotations

from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest, Operation
from pybernetes.machinery.meta import Object
from pybernetes.machinery.resources import PODS
from pybernetes.machinery.tolerations import NO_EXECUTE, TAINT_NOT_READY, TAINT_UNREACHABLE

TOLERATION_S = 300
TAINTS = (TAINT_NOT_READY, TAINT_UNREACHABLE)


class DefaultTolerationSeconds(AdmissionPlugin):
    """For how long, in seconds, on a node that is not ready, and on one that is unreachable."""

    name = "DefaultTolerationSeconds"
    resources = (PODS,)

    def __init__(self, not_ready_s: int = TOLERATION_S, unreachable_s: int = TOLERATION_S) -> None:
        self._seconds = {TAINT_NOT_READY: not_ready_s, TAINT_UNREACHABLE: unreachable_s}

    async def admit(self, request: AdmissionRequest) -> None:
        pod = request.object
        if request.subresource or pod is None:
            return
        if request.operation not in (Operation.CREATE, Operation.UPDATE):
            return
        tolerations = list(pod["spec"].get("tolerations") or ())
        missing = [taint for taint in TAINTS if not any(_speaks_of(toleration, taint) for toleration in tolerations)]
        if missing:
            pod["spec"]["tolerations"] = tolerations + [_default(taint, self._seconds[taint]) for taint in missing]


def _speaks_of(toleration: Object, taint: str) -> bool:
    return toleration.get("key", "") in ("", taint) and toleration.get("effect", "") in ("", NO_EXECUTE)


def _default(taint: str, seconds: int) -> Object:
    return {"effect": NO_EXECUTE, "key": taint, "operator": "Exists", "tolerationSeconds": seconds}
