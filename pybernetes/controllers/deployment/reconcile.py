"""One pass over a Deployment: what to do next, and what to report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pybernetes.controllers.actions import Action, Create, Emit, LookAgain, Update, delete, patch, update_status
from pybernetes.controllers.claims import claim
from pybernetes.controllers.controller import (
    CONTROLLED,
    Caches,
    Context,
    Controller,
    Look,
    Wake,
    controlled_by,
    itself,
    owned_by,
    owned_indexes,
    refers_to,
)
from pybernetes.controllers.deployment import rollout, status
from pybernetes.controllers.deployment.replica_sets import (
    REVISION,
    ReplicaSets,
    equal_templates,
    is_same_owner,
    new_replica_set,
    refreshed_annotations,
    replicas,
    size_annotations,
    sort_out,
    status_count,
    superfluous,
)
from pybernetes.machinery import labels, pods
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.labels import Selector
from pybernetes.machinery.meta import (
    Object,
    annotations_of,
    condition,
    controller_of,
    is_being_deleted,
    name_of,
    namespace_of,
    split_key,
    uid_of,
)
from pybernetes.machinery.resources import DEPLOYMENTS, PODS, REPLICA_SETS


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a decision may depend on."""

    deployment: Object
    candidates: Sequence[Object]  # ReplicaSets that it controls, and orphans of its namespace
    pods: Sequence[Object]  # of its ReplicaSets, finished ones included; only read for `Recreate`
    now: datetime


def selector_of(deployment: Object) -> Selector:
    return labels.from_label_selector(deployment["spec"]["selector"])


def reconcile(seen: Snapshot) -> list[Action]:
    """Decide the next step of the rollout; a settled world gives nothing to do."""
    deployment = seen.deployment
    if not deployment["spec"]["selector"]:
        why = "This deployment is selecting all pods. A non-empty selector is required."
        return [Emit(deployment, "Warning", "SelectingAll", why)]
    claimed, actions = claim(DEPLOYMENTS, deployment, selector_of(deployment), REPLICA_SETS, seen.candidates)
    if actions:
        return actions  # who belongs to whom comes first; the caches will show it
    sets = sort_out(deployment, claimed)
    old_status: Object = deployment.get("status") or {}
    conditions: Sequence[Object] = old_status.get("conditions") or ()
    if is_being_deleted(deployment):
        return _report(deployment, status.counted(deployment, sets, conditions, seen.now), seen.now)
    conditions = status.pause_condition(deployment, conditions, seen.now)
    if deployment["spec"].get("paused") or rollout.is_scaling_event(deployment, sets):
        return _stand_still(seen, sets, conditions)
    return _roll(seen, sets, conditions)


def _stand_still(seen: Snapshot, sets: ReplicaSets, conditions: Sequence[Object]) -> list[Action]:
    """Paused, or just resized: follow the size, but start no new template."""
    deployment = seen.deployment
    actions = _resize(deployment, sets, rollout.scale_proportionally(deployment, sets))
    if deployment["spec"].get("paused") and not actions:
        actions += _clean_up(deployment, sets)
    return actions + _report(deployment, status.counted(deployment, sets, conditions, seen.now), seen.now)


def _roll(seen: Snapshot, sets: ReplicaSets, conditions: Sequence[Object]) -> list[Action]:
    deployment = seen.deployment
    actions: list[Action] = []
    recreate = not rollout.is_rolling(deployment)
    if recreate and (sizes := {name_of(each): 0 for each in sets.active_old}):
        actions += _resize(deployment, sets, sizes)
    elif sets.new is None:
        if not (recreate and _old_pods_run(sets, seen.pods)):
            actions.append(_create_new(deployment, sets, conditions, seen.now))
    else:
        actions += _refresh_new(deployment, sets)
        if status.has_deadline(deployment) and condition(conditions, status.PROGRESSING) is None:
            found = f'Found new replica set "{name_of(sets.new)}"'
            conditions = status.with_condition(
                conditions,
                status.make_condition(status.PROGRESSING, "True", status.FOUND_NEW_REPLICA_SET, found, seen.now),
            )
        if not actions and not (recreate and _old_pods_run(sets, seen.pods)):
            actions += _resize(deployment, sets, rollout.next_sizes(deployment, sets))
    report = status.rolled_out(deployment, sets, conditions, seen.now)
    if not actions and status.is_complete(deployment, report):
        actions += _clean_up(deployment, sets)
    return actions + _report(deployment, report, seen.now) + _mark_revision(deployment, sets)


def _report(deployment: Object, report: Object, now: datetime) -> list[Action]:
    actions: list[Action] = []
    if report != (deployment.get("status") or {}):
        actions.append(update_status(DEPLOYMENTS, deployment, report))
    if (wait := status.next_check(deployment, report, now)) is not None:
        actions.append(LookAgain(wait.total_seconds()))
    return actions


def _mark_revision(deployment: Object, sets: ReplicaSets) -> list[Action]:
    """The Deployment shows the revision of its new ReplicaSet. After the status, which is guarded by resourceVersion."""
    revision = annotations_of(sets.new).get(REVISION) if sets.new is not None else None
    if revision is None or annotations_of(deployment).get(REVISION) == revision:
        return []
    return [patch(DEPLOYMENTS, deployment, {"metadata": {"annotations": {REVISION: revision}}})]


def _create_new(deployment: Object, sets: ReplicaSets, conditions: Sequence[Object], now: datetime) -> Create:
    surge, _ = rollout.fenceposts(deployment)
    size = rollout.new_size(deployment, sets)
    replica_set = new_replica_set(deployment, size, sets.old, max_surge=surge)

    def taken(existing: Object) -> Sequence[Action]:
        """The name is in use: by our own ReplicaSet, which the cache does not show yet, or by another (a hash collision)."""
        if is_same_owner(deployment, existing) and equal_templates(
            existing["spec"]["template"], replica_set["spec"]["template"]
        ):
            return (LookAgain(1.0),)
        collisions = int((deployment.get("status") or {}).get("collisionCount") or 0) + 1
        return (patch(DEPLOYMENTS, deployment, {"status": {"collisionCount": collisions}}, subresource="status"),)

    def created(new: Object) -> Sequence[Action]:
        message = f"Scaled up replica set {name_of(new)} from 0 to {size}"
        return (Emit(deployment, "Normal", "ScalingReplicaSet", message),) if size > 0 else ()

    def failed(error: StatusError) -> Sequence[Action]:
        why = f'Failed to create new replica set "{name_of(replica_set)}": {error.message}'
        if not status.has_deadline(deployment):
            return ()
        failure = status.make_condition(status.PROGRESSING, "False", status.CREATE_ERROR, why, now)
        shown = {"conditions": status.with_condition(conditions, failure)}
        return (patch(DEPLOYMENTS, deployment, {"status": shown}, subresource="status"),)

    return Create(REPLICA_SETS, replica_set, if_exists=taken, created=created, failed=failed)


def _refresh_new(deployment: Object, sets: ReplicaSets) -> list[Action]:
    """Annotations (the revision among them) and minReadySeconds of the existing new ReplicaSet follow the Deployment."""
    assert sets.new is not None
    annotations = refreshed_annotations(deployment, sets.new, sets.old)
    min_ready_seconds = int(deployment["spec"].get("minReadySeconds", 0))
    if annotations == annotations_of(sets.new) and min_ready_seconds == int(sets.new["spec"].get("minReadySeconds", 0)):
        return []
    spec = {**sets.new["spec"], "minReadySeconds": min_ready_seconds}
    return [Update(REPLICA_SETS, {**sets.new, "metadata": {**sets.new["metadata"], "annotations": annotations}, "spec": spec})]


def _resize(deployment: Object, sets: ReplicaSets, sizes: rollout.Sizes) -> list[Action]:
    """Scale those named; on all that stay active, note the Deployment's size that they were scaled for."""
    actions: list[Action] = []
    surge, _ = rollout.fenceposts(deployment)
    noted = size_annotations(deployment, surge)
    for each in sets.all:
        before, size = replicas(each), sizes.get(name_of(each), replicas(each))
        annotations = annotations_of(each) | noted
        if size == before and (before == 0 or annotations == annotations_of(each)):
            continue
        resized = {
            **each,
            "metadata": {**each["metadata"], "annotations": annotations},
            "spec": {**each["spec"], "replicas": size},
        }
        told: tuple[Action, ...] = ()
        if size != before:
            direction = "up" if size > before else "down"
            message = f"Scaled {direction} replica set {name_of(each)} from {before} to {size}"
            told = (Emit(deployment, "Normal", "ScalingReplicaSet", message),)
        actions.append(Update(REPLICA_SETS, resized, updated=told))
    return actions


def _clean_up(deployment: Object, sets: ReplicaSets) -> list[Action]:
    return [delete(REPLICA_SETS, each) for each in superfluous(deployment, sets.old)]


def _old_pods_run(sets: ReplicaSets, all_pods: Sequence[Object]) -> bool:
    """Whether pods of old templates are still there: `Recreate` waits for the last of them."""
    if any(status_count(each, "replicas") > 0 for each in sets.old):
        return True
    old_uids = {uid_of(each) for each in sets.old}
    for pod in all_pods:
        reference = controller_of(pod)
        if reference is not None and reference["uid"] in old_uids and not pods.is_terminal(pod):
            return True
    return False


def observe(look: Look, key: str) -> Snapshot | None:
    namespace, name = split_key(key)
    deployment = look.caches[DEPLOYMENTS].get(namespace, name)
    if deployment is None:
        return None
    candidates = owned_by(look.caches[REPLICA_SETS], deployment)
    its_pods: list[Object] = []
    if not rollout.is_rolling(deployment):
        for replica_set in look.caches[REPLICA_SETS].by_index(CONTROLLED, uid_of(deployment)):
            its_pods += look.caches[PODS].by_index(CONTROLLED, uid_of(replica_set))
    return Snapshot(deployment, candidates, its_pods, look.now)


def _recreate_waits_for(caches: Caches, pod: Object) -> Sequence[str]:
    """A pod that is gone may be the last one that a `Recreate` waited for; rolling updates learn it from ReplicaSets."""
    reference = controller_of(pod)
    if reference is None or not refers_to(reference, REPLICA_SETS.gvk):
        return ()
    replica_set = caches[REPLICA_SETS].get(namespace_of(pod), reference["name"])
    owner = controller_of(replica_set) if replica_set is not None else None
    if owner is None or not refers_to(owner, DEPLOYMENTS.gvk):
        return ()
    deployment = caches[DEPLOYMENTS].get(namespace_of(pod), owner["name"])
    if deployment is None or rollout.is_rolling(deployment):
        return ()
    return (f"{namespace_of(pod)}/{owner['name']}",)


def controller(context: Context) -> Controller[Snapshot]:
    return Controller(
        name="deployment-controller",
        wakes_on=(
            itself(DEPLOYMENTS),
            controlled_by(DEPLOYMENTS, REPLICA_SETS, selector_of),
            Wake(PODS, _recreate_waits_for, lambda old, new: pods.is_terminal(new) and not pods.is_terminal(old)),
        ),
        indexes=(*owned_indexes(REPLICA_SETS), *owned_indexes(PODS)),
        observe=observe,
        decide=reconcile,
        workers=context.options.concurrent_deployment_syncs,
    )
