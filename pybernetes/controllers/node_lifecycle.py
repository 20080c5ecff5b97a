"""Node lifecycle controller: notices nodes that fell silent, taints nodes by their conditions, and unreadies their pods.

Contract: https://kubernetes.io/docs/concepts/architecture/nodes/#node-controller; heartbeats: KEP-589 (Lease objects).

    Ready=True --- no heartbeat for the grace period ---> conditions Unknown, taint unreachable
    Ready=False (the kubelet says so) ------------------> taint not-ready
    Ready=True again -----------------------------------> both taints go

NoExecute taints, which evict, are given at a limited rate per zone, slower where much of a zone is down, and not at all while
every node is: then it is rather us who cannot see.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pybernetes.controllers.actions import Action, Emit, LookAgain, Patch, Update, patch
from pybernetes.controllers.controller import Caches, Context, Controller, Index, Look, Wake, itself
from pybernetes.controllers.options import Options
from pybernetes.machinery import pods
from pybernetes.machinery.clock import Clock, parse_time, rfc3339
from pybernetes.machinery.meta import Object, condition, is_being_deleted, labels_of, name_of, namespace_of
from pybernetes.machinery.resources import LEASES, NODES, PODS
from pybernetes.machinery.tolerations import (
    NO_EXECUTE,
    NO_SCHEDULE,
    TAINT_DISK_PRESSURE,
    TAINT_MEMORY_PRESSURE,
    TAINT_NETWORK_UNAVAILABLE,
    TAINT_NOT_READY,
    TAINT_PID_PRESSURE,
    TAINT_UNREACHABLE,
    TAINT_UNSCHEDULABLE,
    same_taint,
)

LEASE_NAMESPACE = "kube-node-lease"
BY_NODE = "node"
WATCHED_CONDITIONS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
# (condition, status) -> NoSchedule taint
CONDITION_TAINTS = {
    ("Ready", "False"): TAINT_NOT_READY,
    ("Ready", "Unknown"): TAINT_UNREACHABLE,
    ("MemoryPressure", "True"): TAINT_MEMORY_PRESSURE,
    ("DiskPressure", "True"): TAINT_DISK_PRESSURE,
    ("PIDPressure", "True"): TAINT_PID_PRESSURE,
    ("NetworkUnavailable", "True"): TAINT_NETWORK_UNAVAILABLE,
}
OUR_NO_SCHEDULE = frozenset({*CONDITION_TAINTS.values(), TAINT_UNSCHEDULABLE})
OUR_NO_EXECUTE = {"False": TAINT_NOT_READY, "Unknown": TAINT_UNREACHABLE}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a decision may depend on."""

    node: Object
    pods: Sequence[Object]  # on the node; only given if it is not ready
    heartbeat_at: datetime  # when we last saw a sign of life (our clock, not the node's)
    now: datetime
    grace: timedelta
    may_evict_in: timedelta | None = timedelta(0)  # until a NoExecute taint may be added; None: not at all


def reconcile(seen: Snapshot) -> list[Action]:
    node = seen.node
    conditions: list[Object] = (node.get("status") or {}).get("conditions") or []
    silent_in = seen.heartbeat_at + seen.grace - seen.now
    actions: list[Action] = []
    if silent_in <= timedelta(0) and (unknown := marked_unknown(conditions, seen.now)) != conditions:
        status = {**(node.get("status") or {}), "conditions": unknown}
        actions.append(Update(NODES, {**node, "status": status}, "status"))
        ready = condition(conditions, "Ready")
        if ready is not None and ready["status"] == "True":
            message = f"Node {name_of(node)} status is now: NodeNotReady"
            actions.append(Emit(node, "Normal", "NodeNotReady", message))
        return actions  # taints follow from the conditions, once they are written
    ready = condition(conditions, "Ready")
    ready_status = ready["status"] if ready is not None else "Unknown"
    current: list[Object] = node["spec"].get("taints") or []
    taints, wait = wanted_taints(node, current, conditions, ready_status, seen)
    if taints != current:
        # The resourceVersion guards the list, which is replaced whole.
        metadata = {"resourceVersion": node["metadata"]["resourceVersion"]}
        actions.append(patch(NODES, node, {"metadata": metadata, "spec": {"taints": taints}}))
    if ready_status != "True":
        actions += [action for pod in seen.pods for action in unready(pod, seen.now)]
    if silent_in > timedelta(0):
        wait = min(wait, silent_in) if wait is not None else silent_in
    if wait is not None:
        actions.append(LookAgain(max(wait.total_seconds(), 0.001)))
    return actions


def marked_unknown(conditions: Sequence[Object], now: datetime) -> list[Object]:
    """The conditions, those that the kubelet should renew being Unknown."""
    marked = [
        each
        if each["type"] not in WATCHED_CONDITIONS or each["status"] == "Unknown"
        else {
            **each,
            "status": "Unknown",
            "reason": "NodeStatusUnknown",
            "message": "Kubelet stopped posting node status.",
            "lastTransitionTime": rfc3339(now),
        }
        for each in conditions
    ]
    for type_ in WATCHED_CONDITIONS:
        if condition(conditions, type_) is None:
            marked.append(
                {
                    "type": type_,
                    "status": "Unknown",
                    "reason": "NodeStatusNeverUpdated",
                    "message": "Kubelet never posted node status.",
                    "lastTransitionTime": rfc3339(now),
                }
            )
    return marked


def wanted_taints(
    node: Object, current: Sequence[Object], conditions: Sequence[Object], ready_status: str, seen: Snapshot
) -> tuple[list[Object], timedelta | None]:
    """The node's taints as they should be, others' untouched, and when to come back for one that may not be added yet."""
    wanted = [
        {"key": key, "effect": NO_SCHEDULE}
        for each in conditions
        if (key := CONDITION_TAINTS.get((each["type"], each["status"]))) is not None
    ]
    if node["spec"].get("unschedulable"):
        wanted.append({"key": TAINT_UNSCHEDULABLE, "effect": NO_SCHEDULE})
    if condition(conditions, "Ready") is None:
        # Nobody has said yet; a node is registered as not ready, and stays so until its kubelet says otherwise.
        wanted += [each for each in current if each["effect"] == NO_SCHEDULE and each["key"] == TAINT_NOT_READY]
    wait: timedelta | None = None
    if (evicting := OUR_NO_EXECUTE.get(ready_status)) is not None and condition(conditions, "Ready") is not None:
        taint = {"key": evicting, "effect": NO_EXECUTE}
        if any(each["effect"] == NO_EXECUTE and each["key"] in OUR_NO_EXECUTE.values() for each in current):
            wanted.append(taint)  # it evicts already, under whatever name
        elif seen.may_evict_in is not None and seen.may_evict_in <= timedelta(0):
            wanted.append(taint)
        else:
            wait = seen.may_evict_in
    if seen.may_evict_in is None:
        wanted = [each for each in wanted if each["effect"] != NO_EXECUTE]
    kept = [each for each in current if not _is_ours(each) or any(same_taint(each, other) for other in wanted)]
    moment = rfc3339(seen.now)
    new = [{**each, "timeAdded": moment} for each in wanted if not any(same_taint(each, other) for other in kept)]
    return [*kept, *new], wait


def _is_ours(taint: Object) -> bool:
    if taint["effect"] == NO_SCHEDULE:
        return taint["key"] in OUR_NO_SCHEDULE
    return taint["effect"] == NO_EXECUTE and taint["key"] in OUR_NO_EXECUTE.values()


def unready(pod: Object, now: datetime) -> list[Action]:
    """A pod on a node that is not ready must not get traffic: its kubelet cannot say that it is ready."""
    if not pods.is_ready(pod):
        return []
    conditions = [
        {**each, "status": "False", "lastTransitionTime": rfc3339(now)} if each["type"] == "Ready" else each
        for each in pod["status"]["conditions"]
    ]
    metadata = {"resourceVersion": pod["metadata"]["resourceVersion"]}
    marking: Patch = patch(PODS, pod, {"metadata": metadata, "status": {"conditions": conditions}}, subresource="status")
    return [marking, Emit(pod, "Warning", "NodeNotReady", "Node is not ready")]


@dataclass(slots=True)
class Heartbeats:
    """When each node last gave a sign of life: its Lease or its Ready condition changed. By our clock alone."""

    clock: Clock
    signs: dict[str, tuple[str, datetime]] = field(default_factory=dict)

    def saw(self, name: str, sign: str) -> datetime:
        known = self.signs.get(name)
        if known is None or known[0] != sign:
            known = self.signs[name] = (sign, self.clock.now())
        return known[1]

    def forget(self, name: str) -> None:
        self.signs.pop(name, None)


@dataclass(slots=True)
class Evictions:
    """When the next NoExecute taint may be added in each zone."""

    options: Options
    next_at: dict[str, datetime] = field(default_factory=dict)
    granted: dict[str, datetime] = field(default_factory=dict)  # node uid -> when, until it is ready again

    def may_in(self, node: Object, nodes: Sequence[Object], now: datetime) -> timedelta | None:
        """Whether this node may be tainted now: then it takes the zone's turn."""
        uid = node["metadata"]["uid"]
        if is_up(node):  # the usual case, and it must not cost a look at all others
            self.granted.pop(uid, None)
            return timedelta(0)
        if not any(map(is_up, nodes)):
            return None
        if uid in self.granted:
            return timedelta(0)
        zone = zone_of(node)
        rate = self._rate([each for each in nodes if zone_of(each) == zone])
        if rate <= 0:
            return timedelta(seconds=self.options.node_monitor_period_s)
        turn = self.next_at.get(zone, now)
        if turn > now:
            return turn - now
        self.next_at[zone] = now + timedelta(seconds=1 / rate)
        self.granted[uid] = now
        return timedelta(0)

    def _rate(self, zone_nodes: Sequence[Object]) -> float:
        """Nodes per second."""
        down = sum(not is_up(each) for each in zone_nodes)
        if down > 2 and down / len(zone_nodes) >= self.options.unhealthy_zone_threshold and down < len(zone_nodes):
            large = len(zone_nodes) > self.options.large_cluster_size_threshold
            return self.options.secondary_node_eviction_rate if large else 0.0
        return self.options.node_eviction_rate


def is_up(node: Object) -> bool:
    """Whether its Ready condition is True."""
    ready = condition((node.get("status") or {}).get("conditions"), "Ready")
    return ready is not None and ready["status"] == "True"


def zone_of(node: Object) -> str:
    found = labels_of(node)
    return f"{found.get('topology.kubernetes.io/region', '')}:{found.get('topology.kubernetes.io/zone', '')}"


def _sign_of(caches: Caches, node: Object) -> str:
    lease = caches[LEASES].get(LEASE_NAMESPACE, name_of(node))
    ready = condition((node.get("status") or {}).get("conditions"), "Ready") or {}
    renewed = (lease.get("spec") or {}).get("renewTime", "") if lease is not None else ""
    return f"{renewed} {ready.get('lastHeartbeatTime', '')} {ready.get('status', '')}"


def _changed(old: Object, new: Object) -> bool:
    """Heartbeats alone wake nobody: they come several times a minute from each node."""
    return _facts(old) != _facts(new)


def _facts(node: Object) -> object:
    conditions = (node.get("status") or {}).get("conditions") or ()
    statuses = [(each["type"], each["status"]) for each in conditions]
    return statuses, node["spec"].get("taints"), node["spec"].get("unschedulable")


def controller(context: Context) -> Controller[Snapshot]:
    options = context.options
    heartbeats = Heartbeats(context.clock)
    evictions = Evictions(options)

    def saw_lease(caches: Caches, lease: Object) -> Iterable[str]:
        if namespace_of(lease) == LEASE_NAMESPACE and (node := caches[NODES].get("", name_of(lease))) is not None:
            heartbeats.saw(name_of(node), _sign_of(caches, node))
        return ()

    def saw_node(caches: Caches, node: Object) -> Iterable[str]:
        heartbeats.saw(name_of(node), _sign_of(caches, node))
        return ()

    def observe(look: Look, key: str) -> Snapshot | None:
        node = look.caches[NODES].get("", key)
        if node is None:
            heartbeats.forget(key)
            return None
        beat = heartbeats.saw(key, _sign_of(look.caches, node))
        grace_s = options.node_monitor_grace_period_s
        ready = condition((node.get("status") or {}).get("conditions"), "Ready")
        if ready is None:
            # A node that has just been registered gets the longer time to post its first status.
            beat = max(beat, parse_time(node["metadata"]["creationTimestamp"]))
            grace_s = options.node_startup_grace_period_s
        watching_since_s = look.caches[LEASES].watching_since_s
        if watching_since_s is None or context.clock.monotonic() - watching_since_s < options.node_monitor_period_s:
            # No heartbeat reaches us, or what we missed is still on its way: silence says nothing about the node.
            beat = max(beat, look.now - timedelta(seconds=grace_s - options.node_monitor_period_s))
        on_node = [] if is_up(node) else look.caches[PODS].by_index(BY_NODE, key)
        return Snapshot(
            node,
            [pod for pod in on_node if not is_being_deleted(pod)],
            beat,
            look.now,
            timedelta(seconds=grace_s),
            evictions.may_in(node, look.caches[NODES].list(), look.now),
        )

    def others_of(caches: Caches, changed: Object) -> Iterable[str]:
        """Whether all nodes are down is a fact about all of them: those that are down are looked at again."""
        return [name_of(each) for each in caches[NODES].list() if not is_up(each)]

    return Controller(
        name="node-lifecycle-controller",
        source="node-controller",
        wakes_on=(
            Wake(NODES, saw_node),
            itself(NODES, _changed),
            Wake(NODES, others_of, lambda old, new: is_up(old) != is_up(new)),
            Wake(LEASES, saw_lease),
        ),
        reads=(PODS,),
        indexes=(Index(PODS, BY_NODE, node_of),),
        observe=observe,
        decide=reconcile,
        workers=1,
    )


def node_of(pod: Object) -> Iterable[str]:
    """The index of pods by the node that they are on."""
    node_name = (pod.get("spec") or {}).get("nodeName", "")
    return (node_name,) if node_name else ()
