"""What a Deployment reports: counts, and the conditions Available, Progressing and ReplicaFailure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from pybernetes.controllers.deployment.replica_sets import (
    INT32_MAX,
    ReplicaSets,
    replicas,
    status_count,
    total_replicas,
    total_status,
)
from pybernetes.controllers.deployment.rollout import fenceposts
from pybernetes.machinery.clock import parse_time, rfc3339
from pybernetes.machinery.meta import Object, condition, name_of

AVAILABLE = "Available"
PROGRESSING = "Progressing"
REPLICA_FAILURE = "ReplicaFailure"

NEW_REPLICA_SET = "NewReplicaSetCreated"
FOUND_NEW_REPLICA_SET = "FoundNewReplicaSet"
REPLICA_SET_UPDATED = "ReplicaSetUpdated"
CREATE_ERROR = "ReplicaSetCreateError"
NEW_AVAILABLE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
PAUSED = "DeploymentPaused"
RESUMED = "DeploymentResumed"


def has_deadline(deployment: Object) -> bool:
    deadline = deployment["spec"].get("progressDeadlineSeconds")
    return deadline is not None and deadline != INT32_MAX


def make_condition(type_: str, status: str, reason: str, message: str, now: datetime) -> Object:
    moment = rfc3339(now)
    return {
        "type": type_,
        "status": status,
        "lastUpdateTime": moment,
        "lastTransitionTime": moment,
        "reason": reason,
        "message": message,
    }


def with_condition(conditions: Sequence[Object], new: Object) -> list[Object]:
    """Set it, unless one with its status and reason is there; the transition time moves with the status only."""
    known = condition(conditions, new["type"])
    if known is not None and known["status"] == new["status"] and known.get("reason") == new["reason"]:
        return list(conditions)
    if known is not None and known["status"] == new["status"]:
        new = {**new, "lastTransitionTime": known.get("lastTransitionTime", new["lastTransitionTime"])}
    return [*without_condition(conditions, new["type"]), new]


def without_condition(conditions: Sequence[Object], type_: str) -> list[Object]:
    return [each for each in conditions if each["type"] != type_]


def counted(deployment: Object, sets: ReplicaSets, conditions: Sequence[Object], now: datetime) -> Object:
    """The counts and the Available condition; `conditions` are those so far."""
    available = total_status(sets.all, "availableReplicas")
    unavailable = max(total_replicas(sets.all) - available, 0)
    old: Object = deployment.get("status") or {}
    counts = {
        "observedGeneration": int(deployment["metadata"].get("generation", 0)),
        "replicas": total_status(sets.all, "replicas"),
        "updatedReplicas": status_count(sets.new, "replicas") if sets.new is not None else 0,
        "readyReplicas": total_status(sets.all, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": unavailable,
    }
    status: Object = {key: value for key, value in counts.items() if value}  # wire form: zeros are omitted
    if all("terminatingReplicas" in (each.get("status") or {}) for each in sets.all):
        status["terminatingReplicas"] = total_status(sets.all, "terminatingReplicas")
    if "collisionCount" in old:
        status["collisionCount"] = old["collisionCount"]
    _, max_unavailable = fenceposts(deployment)
    if available >= replicas(deployment) - max_unavailable:
        now_available = make_condition(
            AVAILABLE, "True", "MinimumReplicasAvailable", "Deployment has minimum availability.", now
        )
    else:
        now_available = make_condition(
            AVAILABLE, "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.", now
        )
    status["conditions"] = with_condition(conditions, now_available)
    return status


def rolled_out(deployment: Object, sets: ReplicaSets, conditions: Sequence[Object], now: datetime) -> Object:
    """The status during and after a rollout: `counted`, with Progressing judged against the deadline."""
    status = counted(deployment, sets, conditions, now)
    current = condition(conditions, PROGRESSING)
    shown: list[Object] = status["conditions"]
    subject = f'ReplicaSet "{name_of(sets.new)}"' if sets.new is not None else f'Deployment "{name_of(deployment)}"'
    at_rest = (
        status_count({"status": status}, "replicas") == status_count({"status": status}, "updatedReplicas")
        and current is not None
        and current.get("reason") == NEW_AVAILABLE
    )
    if not has_deadline(deployment):
        shown = without_condition(shown, PROGRESSING)
    elif not at_rest:
        if is_complete(deployment, status):
            message = f"{subject} has successfully progressed."
            shown = with_condition(shown, make_condition(PROGRESSING, "True", NEW_AVAILABLE, message, now))
        elif _moves(deployment, status):
            moving = make_condition(PROGRESSING, "True", REPLICA_SET_UPDATED, f"{subject} is progressing.", now)
            if current is not None and current["status"] == "True":
                moving["lastTransitionTime"] = current.get("lastTransitionTime", moving["lastTransitionTime"])
            shown = [*without_condition(shown, PROGRESSING), moving]  # always anew: its time is the last sign of progress
        elif timed_out(deployment, current, now):
            message = f"{subject} has timed out progressing."
            shown = with_condition(shown, make_condition(PROGRESSING, "False", TIMED_OUT, message, now))
    failure = _failure_of(sets)
    if failure is not None:
        shown = with_condition(shown, failure)
    else:
        shown = without_condition(shown, REPLICA_FAILURE)
    return {**status, "conditions": shown}


def is_complete(deployment: Object, status: Object) -> bool:
    """Whether all that is wanted is there, of the current template, available, and nothing else is left."""
    wanted = replicas(deployment)
    shown = {"status": status}
    return (
        status_count(shown, "updatedReplicas") == wanted
        and status_count(shown, "replicas") == wanted
        and status_count(shown, "availableReplicas") == wanted
        and status_count(shown, "observedGeneration") >= int(deployment["metadata"].get("generation", 0))
    )


def _moves(deployment: Object, status: Object) -> bool:
    new = {"status": status}

    def rose(field: str) -> bool:
        return status_count(new, field) > status_count(deployment, field)

    def old_pods(obj: Object) -> int:
        return status_count(obj, "replicas") - status_count(obj, "updatedReplicas")

    return rose("updatedReplicas") or rose("readyReplicas") or rose("availableReplicas") or old_pods(new) < old_pods(deployment)


def timed_out(deployment: Object, progressing: Object | None, now: datetime) -> bool:
    """Whether the last sign of progress is older than `progressDeadlineSeconds`."""
    if not has_deadline(deployment) or progressing is None or progressing.get("reason") == NEW_AVAILABLE:
        return False
    if progressing.get("reason") == TIMED_OUT:
        return True
    return _deadline(deployment, progressing) < now


def _deadline(deployment: Object, progressing: Object) -> datetime:
    seconds = int(deployment["spec"]["progressDeadlineSeconds"])
    return parse_time(progressing.get("lastUpdateTime") or progressing["lastTransitionTime"]) + timedelta(seconds=seconds)


def next_check(deployment: Object, status: Object, now: datetime) -> timedelta | None:
    """When to look again whether the deadline has passed; None if that cannot happen."""
    progressing = condition(status.get("conditions"), PROGRESSING)
    if not has_deadline(deployment) or progressing is None or is_complete(deployment, status):
        return None
    if progressing.get("reason") in (TIMED_OUT, NEW_AVAILABLE, PAUSED):
        return None
    # One second more, since times are written in whole seconds.
    return max(_deadline(deployment, progressing) - now, timedelta(0)) + timedelta(seconds=1)


def _failure_of(sets: ReplicaSets) -> Object | None:
    """ReplicaFailure, from the new ReplicaSet if it has it, else from any other."""
    for each in [*([sets.new] if sets.new is not None else []), *sets.old]:
        failure = condition((each.get("status") or {}).get("conditions"), REPLICA_FAILURE)
        if failure is not None:
            return {**failure, "lastUpdateTime": failure["lastTransitionTime"]}
    return None


def pause_condition(deployment: Object, conditions: Sequence[Object], now: datetime) -> list[Object]:
    """Progressing while paused is Unknown, so that a pause does not run into the deadline."""
    current = condition(conditions, PROGRESSING)
    if not has_deadline(deployment) or (current is not None and current.get("reason") == TIMED_OUT):
        return list(conditions)
    paused = bool(deployment["spec"].get("paused"))
    is_marked = current is not None and current.get("reason") == PAUSED
    if paused and not is_marked:
        return with_condition(conditions, make_condition(PROGRESSING, "Unknown", PAUSED, "Deployment is paused", now))
    if not paused and is_marked:
        return with_condition(conditions, make_condition(PROGRESSING, "Unknown", RESUMED, "Deployment is resumed", now))
    return list(conditions)
