"""ReplicaSet and ReplicationController: keep `spec.replicas` pods alive for each.

Contract: https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/
Victim order: KEP-2255 (pod deletion cost), KEP-2185 (logarithmic comparison of ages).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pybernetes.controllers.actions import Action, Create, Emit, LookAgain, delete, update_status
from pybernetes.controllers.claims import claim
from pybernetes.controllers.controller import (
    CONTROLLED,
    Context,
    Controller,
    Failure,
    Look,
    controlled_by,
    itself,
    owned_by,
    owned_indexes,
)
from pybernetes.machinery import labels, pods
from pybernetes.machinery.clock import parse_time, rfc3339
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.labels import Selector
from pybernetes.machinery.meta import (
    Object,
    Resource,
    annotations_of,
    condition,
    controller_of,
    controller_reference,
    is_being_deleted,
    labels_of,
    name_of,
    namespace_of,
    split_key,
    uid_of,
)
from pybernetes.machinery.resources import PODS, REPLICA_SETS, REPLICATION_CONTROLLERS

BURST_PODS = 500  # pods created or deleted by one pass; upstream's bound
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a decision may depend on; nothing else is read, the clock included."""

    resource: Resource  # REPLICA_SETS or REPLICATION_CONTROLLERS
    owner: Object
    candidates: Sequence[Object]  # pods that it controls, and orphans of its namespace
    now: datetime
    failure: Failure | None = None
    related: Mapping[str, int] = field(default_factory=dict)  # node -> pods there of all its owner's replica sets
    maybe_deleted: frozenset[str] = frozenset()  # uids, see `Look`


def set_selector(replica_set: Object) -> Selector:
    return labels.from_label_selector(replica_set["spec"]["selector"])


def rc_selector(replication_controller: Object) -> Selector:
    return labels.from_label_selector({"matchLabels": replication_controller["spec"].get("selector") or {}})


def reconcile(seen: Snapshot) -> list[Action]:
    """Decide the next step towards the wanted pods; a settled world gives nothing to do."""
    owner = seen.owner
    selector = set_selector(owner) if seen.resource == REPLICA_SETS else rc_selector(owner)
    claimed, actions = claim(seen.resource, owner, selector, PODS, seen.candidates)
    if actions:
        return actions  # who belongs to whom comes first; the caches will show it
    active = [pod for pod in claimed if pods.is_active(pod)]
    if not is_being_deleted(owner):
        actions += scale(seen, active)
    # Else the garbage collector disposes of the pods, as propagationPolicy asks; we still report.
    status = summarize(seen.resource, owner, claimed, seen.failure, seen.now)
    if status != (owner.get("status") or {}):
        actions.append(update_status(seen.resource, owner, status))
    wait = next_availability(owner, active, seen.now)
    if wait is not None:
        actions.append(LookAgain(wait.total_seconds()))
    return actions


def scale(seen: Snapshot, active: Sequence[Object]) -> list[Action]:
    owner = seen.owner
    surplus = len(active) - int(owner["spec"].get("replicas", 1))
    if surplus < 0:
        create = Create(PODS, pod_for(owner, seen.resource), created=_created(owner), failed=_failed_create(owner))
        return [create] * min(-surplus, BURST_PODS)
    if surplus == 0:
        return []

    def rank(pod: Object) -> tuple[Any, ...]:
        return uid_of(pod) not in seen.maybe_deleted, *deletion_rank(pod, seen.related, seen.now)

    victims = sorted(active, key=rank)[: min(surplus, BURST_PODS)]
    return [
        delete(
            PODS,
            pod,
            deleted=(Emit(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {name_of(pod)}"),),
            failed=_failed_delete(owner),
        )
        for pod in victims
    ]


def pod_for(owner: Object, resource: Resource) -> Object:
    """A pod from the owner's template; its name is the owner's, with a suffix that the server chooses."""
    template = owner["spec"]["template"]
    from_template = template.get("metadata") or {}
    metadata: dict[str, Any] = {
        "generateName": f"{name_of(owner)}-",
        "namespace": namespace_of(owner),
        "ownerReferences": [controller_reference(owner, resource.gvk)],
    }
    for name in ("labels", "annotations"):
        if from_template.get(name):
            metadata[name] = dict(from_template[name])
    if from_template.get("finalizers"):
        metadata["finalizers"] = list(from_template["finalizers"])
    return {"metadata": metadata, "spec": template["spec"]}


def _created(owner: Object) -> Callable[[Object], Sequence[Action]]:
    return lambda pod: (Emit(owner, "Normal", "SuccessfulCreate", f"Created pod: {name_of(pod)}"),)


def _failed_create(owner: Object) -> Callable[[StatusError], Sequence[Action]]:
    return lambda error: (Emit(owner, "Warning", "FailedCreate", f"Error creating: {error.message}"),)


def _failed_delete(owner: Object) -> Callable[[StatusError], Sequence[Action]]:
    return lambda error: (Emit(owner, "Warning", "FailedDelete", f"Error deleting: {error.message}"),)


PHASE_RANK = {pods.PENDING: 0, pods.UNKNOWN: 1, pods.RUNNING: 2}


def deletion_rank(pod: Object, related: Mapping[str, int], now: datetime) -> tuple[Any, ...]:
    """Sorts first those whose loss costs least."""
    node_name = (pod.get("spec") or {}).get("nodeName", "")
    ready = pods.is_ready(pod)
    ready_since = pods.ready_since(pod)
    created = pod["metadata"].get("creationTimestamp")
    return (
        bool(node_name),
        PHASE_RANK.get(pods.phase(pod), 0),
        ready,
        deletion_cost(pod),
        -related.get(node_name, 0),
        logarithmic_age(ready_since, now) if ready else 0,
        -pods.restart_count(pod),
        logarithmic_age(parse_time(created) if created else None, now),
        uid_of(pod),
    )


def deletion_cost(pod: Object) -> int:
    """The annotation's 32-bit integer; 0 where it is absent or malformed."""
    try:
        cost = int(annotations_of(pod).get(DELETION_COST, "0"))
    except ValueError:
        return 0
    return cost if -(2**31) <= cost < 2**31 else 0


def logarithmic_age(since: datetime | None, now: datetime) -> int:
    """Ages of one order of magnitude are equal, so that the choice among them is (by uid) random."""
    if since is None:
        return -1
    nanoseconds = int((now - since).total_seconds() * 1e9)
    return int(math.log2(nanoseconds)) if nanoseconds > 0 else 0


def summarize(resource: Resource, owner: Object, claimed: Sequence[Object], failure: Failure | None, now: datetime) -> Object:
    """The status; fields that are not ours stay."""
    old: Object = owner.get("status") or {}
    template_labels = (owner["spec"]["template"].get("metadata") or {}).get("labels") or {}
    min_ready_seconds = int(owner["spec"].get("minReadySeconds", 0))
    active = [pod for pod in claimed if pods.is_active(pod)]
    terminating = [pod for pod in claimed if is_being_deleted(pod) and not pods.is_terminal(pod)]
    counts = {
        "fullyLabeledReplicas": sum(template_labels.items() <= labels_of(pod).items() for pod in active),
        "readyReplicas": sum(map(pods.is_ready, active)),
        "availableReplicas": sum(pods.is_available(pod, min_ready_seconds, now) for pod in active),
    }
    if resource == REPLICA_SETS:
        counts["terminatingReplicas"] = len(terminating)
    counts["observedGeneration"] = int(owner["metadata"].get("generation", 0))
    status: Object = {key: value for key, value in old.items() if key not in counts}
    # Wire form: omitted when 0, except `replicas` and (a pointer) `terminatingReplicas`.
    status["replicas"] = len(active)
    status |= {key: value for key, value in counts.items() if value or key == "terminatingReplicas"}
    conditions = [each for each in old.get("conditions") or () if each["type"] != "ReplicaFailure"]
    if (shown := replica_failure(old, failure, len(active), int(owner["spec"].get("replicas", 1)), now)) is not None:
        conditions.append(shown)
    status.pop("conditions", None)
    if conditions:
        status["conditions"] = conditions
    return status


def replica_failure(old: Object, failure: Failure | None, active: int, wanted: int, now: datetime) -> Object | None:
    """The condition while pods cannot be created or deleted."""
    if failure is None or active == wanted or failure.reason in ("Conflict", "ConnectionFailed"):
        return None
    if (known := condition(old.get("conditions"), "ReplicaFailure")) is not None:
        return known
    return {
        "type": "ReplicaFailure",
        "status": "True",
        "lastTransitionTime": rfc3339(now),
        "reason": "FailedCreate" if active < wanted else "FailedDelete",
        "message": failure.message,
    }


def next_availability(owner: Object, active: Sequence[Object], now: datetime) -> timedelta | None:
    """When the next ready pod becomes available, if no event will tell."""
    min_ready_seconds = int(owner["spec"].get("minReadySeconds", 0))
    waits = [wait for pod in active if (wait := pods.available_in(pod, min_ready_seconds, now))]
    return min(waits, default=None)


def _observer(resource: Resource) -> Callable[[Look, str], Snapshot | None]:
    def observe(look: Look, key: str) -> Snapshot | None:
        namespace, name = split_key(key)
        owner = look.caches[resource].get(namespace, name)
        if owner is None:
            return None
        candidates = owned_by(look.caches[PODS], owner)
        related: Counter[str] = Counter()
        # Counting is for choosing victims, which is rare.
        if resource == REPLICA_SETS and len(candidates) > int(owner["spec"].get("replicas", 1)):
            related = _related_by_node(look, owner)
        return Snapshot(resource, owner, candidates, look.now, look.failure, related, look.maybe_deleted)

    return observe


def _related_by_node(look: Look, replica_set: Object) -> Counter[str]:
    """Active pods of all replica sets of the same controller (a Deployment, mostly), by node."""
    reference = controller_of(replica_set)
    siblings = look.caches[REPLICA_SETS].by_index(CONTROLLED, reference["uid"]) if reference else [replica_set]
    return Counter(
        pod["spec"].get("nodeName", "")
        for sibling in siblings
        for pod in look.caches[PODS].by_index(CONTROLLED, uid_of(sibling))
        if pods.is_active(pod)
    )


def replicaset(context: Context) -> Controller[Snapshot]:
    return Controller(
        name="replicaset-controller",
        wakes_on=(itself(REPLICA_SETS), controlled_by(REPLICA_SETS, PODS, set_selector)),
        indexes=(*owned_indexes(PODS), *owned_indexes(REPLICA_SETS)),
        observe=_observer(REPLICA_SETS),
        decide=reconcile,
        workers=context.options.concurrent_replicaset_syncs,
    )


def replicationcontroller(context: Context) -> Controller[Snapshot]:
    return Controller(
        name="replicationcontroller-controller",
        source="replication-controller",
        wakes_on=(itself(REPLICATION_CONTROLLERS), controlled_by(REPLICATION_CONTROLLERS, PODS, rc_selector)),
        indexes=owned_indexes(PODS),
        observe=_observer(REPLICATION_CONTROLLERS),
        decide=reconcile,
        workers=context.options.concurrent_rc_syncs,
    )
