"""Taint eviction controller: pods leave nodes whose NoExecute taints they do not tolerate (any longer).

Contract: https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/#taint-based-evictions; KEP-3902.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pybernetes.controllers.actions import Action, Emit, LookAgain, delete, patch
from pybernetes.controllers.controller import Caches, Context, Controller, Index, Look, Wake
from pybernetes.controllers.node_lifecycle import BY_NODE, node_of
from pybernetes.machinery.clock import parse_time, rfc3339
from pybernetes.machinery.meta import Object, is_being_deleted, key_of, name_of, split_key, uid_of
from pybernetes.machinery.resources import NODES, PODS
from pybernetes.machinery.tolerations import NO_EXECUTE, toleration_limit_s


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a decision may depend on."""

    pod: Object
    taints: Sequence[Object]  # the node's NoExecute taints
    since: datetime  # when the last of them came
    now: datetime


def reconcile(seen: Snapshot) -> list[Action]:
    limit_s = toleration_limit_s(seen.taints, seen.pod["spec"].get("tolerations"))
    if limit_s is None:
        return evict(seen.pod, seen.now)
    if limit_s == float("inf"):
        return []
    due = seen.since + timedelta(seconds=limit_s)
    if due <= seen.now:
        return evict(seen.pod, seen.now)
    return [LookAgain((due - seen.now).total_seconds())]


def evict(pod: Object, now: datetime) -> list[Action]:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    disruption = {
        "type": "DisruptionTarget",
        "status": "True",
        "lastTransitionTime": rfc3339(now),
        "reason": "DeletionByTaintManager",
        "message": "Taint manager: deleting due to NoExecute taint",
    }
    kept = [each for each in conditions if each["type"] != "DisruptionTarget"]
    return [
        Emit(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {key_of(pod)}"),
        patch(PODS, pod, {"status": {"conditions": [*kept, disruption]}}, subresource="status"),
        delete(PODS, pod),
    ]


@dataclass(slots=True)
class _FirstSeen:
    """Since when taints are on a node that do not say so themselves (`kubectl taint` gives no `timeAdded`)."""

    at: dict[tuple[str, str, str], datetime] = field(default_factory=dict)

    def since(self, node: Object, taints: Sequence[Object], now: datetime) -> datetime:
        moments = []
        for taint in taints:
            if taint.get("timeAdded"):
                moments.append(parse_time(taint["timeAdded"]))
            else:
                moments.append(self.at.setdefault((uid_of(node), taint["key"], taint.get("value", "")), now))
        return max(moments)

    def forget(self, node: Object) -> None:
        for key in [key for key in self.at if key[0] == uid_of(node)]:
            del self.at[key]


def no_execute_taints(node: Object) -> list[Object]:
    return [taint for taint in node["spec"].get("taints") or () if taint.get("effect") == NO_EXECUTE]


def _pods_on(caches: Caches, node: Object) -> Iterable[str]:
    return (key_of(pod) for pod in caches[PODS].by_index(BY_NODE, name_of(node)))


def _pod_on_tainted_node(caches: Caches, pod: Object) -> Iterable[str]:
    for node_name in node_of(pod):
        node = caches[NODES].get("", node_name)
        if node is not None and no_execute_taints(node):
            yield key_of(pod)


def controller(context: Context) -> Controller[Snapshot]:
    first_seen = _FirstSeen()

    def observe(look: Look, key: str) -> Snapshot | None:
        pod = look.caches[PODS].get(*split_key(key))
        if pod is None or is_being_deleted(pod):
            return None
        node = look.caches[NODES].get("", pod["spec"].get("nodeName", ""))
        if node is None:
            return None
        taints = no_execute_taints(node)
        if not taints:
            first_seen.forget(node)
            return None
        return Snapshot(pod, taints, first_seen.since(node, taints, look.now), look.now)

    return Controller(
        name="taint-eviction-controller",
        wakes_on=(
            Wake(NODES, _pods_on, lambda old, new: no_execute_taints(old) != no_execute_taints(new)),
            Wake(PODS, _pod_on_tainted_node, lambda old, new: _placement(old) != _placement(new)),
        ),
        indexes=(Index(PODS, BY_NODE, node_of),),
        observe=observe,
        decide=reconcile,
    )


def _placement(pod: Object) -> tuple[object, ...]:
    return pod["spec"].get("nodeName"), pod["spec"].get("tolerations")
