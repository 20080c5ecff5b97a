"""Whether this node can take a pod at all: what upstream's kubelet checks again, since a pod may come past the scheduler."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pybernetes.machinery.meta import Object, uid_of
from pybernetes.machinery.pod_resources import pod_requests
from pybernetes.machinery.quantity import Quantity


def admit(
    pod: Object, others: Iterable[Object], allocatable: Mapping[str, Quantity], labels: Mapping[str, str]
) -> tuple[str, str] | None:
    """(reason, message) of the refusal, None if it is welcome. `others` are the node's pods that are not over."""
    selector = pod["spec"].get("nodeSelector") or {}
    if labels and any(labels.get(key) != value for key, value in selector.items()):
        return (
            "NodeAffinity",
            "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
        )
    active = [other for other in others if uid_of(other) != uid_of(pod)]
    most = allocatable.get("pods")
    if most is not None and len(active) + 1 > most.value:
        return "OutOfpods", _shortage("pods", 1, len(active), most.value)
    wanted = pod_requests(pod)
    used: dict[str, Quantity] = {}
    for other in active:
        for name, amount in pod_requests(other).items():
            used[name] = used[name] + amount if name in used else amount
    for name, amount in wanted.items():
        capacity = allocatable.get(name)
        if not amount or capacity is None:
            continue
        taken = used.get(name)
        if (taken + amount if taken is not None else amount) > capacity:
            numbers = [(value.milli if name == "cpu" else value.value) if value else 0 for value in (amount, taken, capacity)]
            return f"OutOf{name}", _shortage(name, *numbers)
    return None


def _shortage(name: str, requested: int, used: int, capacity: int) -> str:
    return (
        f"Pod was rejected: Node didn't have enough resource: {name}, "
        f"requested: {requested}, used: {used}, capacity: {capacity}"
    )
