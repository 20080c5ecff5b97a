"""Taints and tolerations: who may be on a node (API reference, `Toleration` and `Taint`; concept "Taints and Tolerations")."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pybernetes.machinery.meta import Object

NO_SCHEDULE = "NoSchedule"
PREFER_NO_SCHEDULE = "PreferNoSchedule"
NO_EXECUTE = "NoExecute"

# Well-known taints of the node controllers.
TAINT_NOT_READY = "node.kubernetes.io/not-ready"
TAINT_UNREACHABLE = "node.kubernetes.io/unreachable"
TAINT_UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
TAINT_MEMORY_PRESSURE = "node.kubernetes.io/memory-pressure"
TAINT_DISK_PRESSURE = "node.kubernetes.io/disk-pressure"
TAINT_PID_PRESSURE = "node.kubernetes.io/pid-pressure"
TAINT_NETWORK_UNAVAILABLE = "node.kubernetes.io/network-unavailable"
TAINT_OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"


def tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """Whether one toleration covers one taint. An empty effect covers all effects, an empty key (`Exists`) all keys."""
    effect = toleration.get("effect", "")
    if effect and effect != taint.get("effect", ""):
        return False
    key = toleration.get("key", "")
    if key and key != taint.get("key", ""):
        return False
    match toleration.get("operator") or "Equal":
        case "Exists":
            return True
        case "Equal":
            return bool(toleration.get("value", "") == (taint.get("value") or ""))
        case _:
            return False


def tolerated_by(taint: Mapping[str, Any], tolerations: Iterable[Object] | None) -> bool:
    return any(tolerates(toleration, taint) for toleration in tolerations or ())


def first_untolerated(
    taints: Iterable[Object] | None,
    tolerations: Iterable[Object] | None,
    effects: Collection[str] = (NO_SCHEDULE, NO_EXECUTE),
) -> Object | None:
    """The first taint with one of these effects that no toleration covers; None if all are tolerated."""
    tolerations = list(tolerations or ())
    for taint in taints or ():
        if taint.get("effect") in effects and not tolerated_by(taint, tolerations):
            return taint
    return None


def same_taint(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether they are the same taint: a node has one value for each key and effect."""
    return one.get("key") == other.get("key") and one.get("effect") == other.get("effect")


def toleration_limit_s(taints: Iterable[Object], tolerations: Iterable[Object] | None) -> float | None:
    """How long a pod may stay under these NoExecute taints: seconds, `inf` for always, None if one is not tolerated at all.

    The shortest `tolerationSeconds` of those tolerations that are needed counts; a negative one means 0.
    """
    tolerations = list(tolerations or ())
    limit_s = float("inf")
    for taint in taints:
        matching = [toleration for toleration in tolerations if tolerates(toleration, taint)]
        if not matching:
            return None
        for toleration in matching:
            if toleration.get("tolerationSeconds") is not None:
                limit_s = min(limit_s, max(0.0, float(toleration["tolerationSeconds"])))
    return limit_s
