"""Pod garbage collector: pods that nobody would clean up otherwise.

Contract: concept "Pod Lifecycle", "Garbage collection of Pods"; disruption condition: KEP-3329. Every 20 s, as upstream; a node
must be missing for 40 s before its pods are taken for lost, for caches may show a pod before its node.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pybernetes.controllers.actions import Action, LookAgain, delete, patch
from pybernetes.controllers.controller import Context, Controller, Look
from pybernetes.controllers.node_lifecycle import is_up
from pybernetes.machinery import errors, pods
from pybernetes.machinery.clock import rfc3339
from pybernetes.machinery.meta import Object, is_being_deleted, name_of
from pybernetes.machinery.resources import NODES, PODS
from pybernetes.machinery.tolerations import TAINT_OUT_OF_SERVICE

PERIOD_S = 20.0
QUARANTINE = timedelta(seconds=40)
ALL = "pods"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a decision may depend on."""

    pods: Sequence[Object]
    lost_nodes: Collection[str]  # names that pods give, of nodes that are certainly gone
    out_of_service: Collection[str]  # nodes so tainted that are not ready
    terminated_max: int
    now: datetime


def reconcile(seen: Snapshot) -> list[Action]:
    actions: list[Action] = []
    for pod in seen.pods:
        node_name = pod["spec"].get("nodeName", "")
        if node_name in seen.lost_nodes:
            actions += _remove(pod, "DeletionByPodGC", "PodGC: node no longer exists", seen.now)
        elif is_being_deleted(pod) and not node_name:
            actions += _remove(pod, "", "", seen.now)
        elif is_being_deleted(pod) and node_name in seen.out_of_service:
            actions += _remove(pod, "DeletionByPodGC", "PodGC: node is out-of-service", seen.now)
    terminated = [pod for pod in seen.pods if pods.is_terminal(pod) and not is_being_deleted(pod)]
    surplus = len(terminated) - seen.terminated_max
    if seen.terminated_max > 0 and surplus > 0:
        terminated.sort(key=lambda pod: (pod["metadata"].get("creationTimestamp", ""), name_of(pod)))
        actions += [delete(PODS, pod, grace_period_s=0) for pod in terminated[:surplus]]
    return [*actions, LookAgain(PERIOD_S)]


def _remove(pod: Object, reason: str, message: str, now: datetime) -> list[Action]:
    """Mark it failed, so that whoever counts outcomes (a Job) sees one; then delete it without waiting for a kubelet."""
    actions: list[Action] = []
    if not pods.is_terminal(pod):
        status: Object = {"phase": pods.FAILED}
        if reason:
            kept = [each for each in (pod.get("status") or {}).get("conditions") or () if each["type"] != "DisruptionTarget"]
            disruption = {
                "type": "DisruptionTarget",
                "status": "True",
                "lastTransitionTime": rfc3339(now),
                "reason": reason,
                "message": message,
            }
            status["conditions"] = [*kept, disruption]
        actions.append(patch(PODS, pod, {"status": status}, subresource="status"))
    return [*actions, delete(PODS, pod, grace_period_s=0)]


@dataclass(slots=True)
class _Quarantine:
    """Since when nodes are missing, as far as this process has seen."""

    since: dict[str, datetime] = field(default_factory=dict)

    def overdue(self, missing: Collection[str], now: datetime) -> list[str]:
        self.since = {name: self.since.get(name, now) for name in missing}
        return [name for name, since in self.since.items() if now - since >= QUARANTINE]


def _observer(terminated_max: int) -> Callable[[Look, str], Awaitable[Snapshot]]:
    quarantine = _Quarantine()

    async def observe(look: Look, key: str) -> Snapshot:
        all_pods = look.caches[PODS].list()
        nodes = {name_of(node): node for node in look.caches[NODES].list()}
        missing = sorted({name for pod in all_pods if (name := pod["spec"].get("nodeName", "")) and name not in nodes})
        lost = []
        for name in quarantine.overdue(missing, look.now):
            try:
                await look.client.get(NODES, name)  # our cache may lag: ask the server itself
            except errors.NotFound:
                lost.append(name)
        out_of_service = [name for name, node in nodes.items() if _is_out_of_service(node)]
        return Snapshot(all_pods, lost, out_of_service, terminated_max, look.now)

    return observe


def _is_out_of_service(node: Object) -> bool:
    tainted = any(taint["key"] == TAINT_OUT_OF_SERVICE for taint in node["spec"].get("taints") or ())
    return tainted and not is_up(node)


def controller(context: Context) -> Controller[Snapshot]:
    return Controller(
        name="pod-garbage-collector-controller",
        wakes_on=(),
        reads=(PODS, NODES),
        observe=_observer(context.options.terminated_pod_gc_threshold),
        decide=reconcile,
        starts_with=(ALL,),
        workers=1,
    )
