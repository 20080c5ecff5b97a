"""What a pod asks for: sums of requests and limits, and its quality-of-service class.

Source: "Resource Management for Pods and Containers", "Init containers: resource sharing within containers" and KEP-753
(sidecars), KEP-2837 (pod-level resources), "Configure Quality of Service for Pods".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from pybernetes.machinery.meta import Object
from pybernetes.machinery.quantity import Quantity, parse

Resources: TypeAlias = dict[str, Quantity]

POD_LEVEL_RESOURCES = ("cpu", "memory")


def is_sidecar(container: Object) -> bool:
    """An init container that keeps running beside the main ones."""
    return container.get("restartPolicy") == "Always"


def container_resources(container: Object, which: str) -> Resources:
    """`which` is "requests" or "limits". A limit without a request is a request too (the API server fills it in)."""
    resources = container.get("resources") or {}
    return {name: parse(value) for name, value in (resources.get(which) or {}).items()}


def pod_requests(pod: Object) -> Resources:
    """What the scheduler reserves: the larger of the running sum and the peak of initialization, plus overhead."""
    return _total(pod, "requests")


def pod_limits(pod: Object) -> Resources:
    """The most that the pod may use, per resource; a resource is absent if any container may use it without limit."""
    spec = pod["spec"]
    limits = _total(pod, "limits")
    long_running = [*spec["containers"], *(c for c in spec.get("initContainers") or () if is_sidecar(c))]
    declared = (spec.get("resources") or {}).get("limits") or {}
    for name in list(limits):
        unlimited = any(name not in ((c.get("resources") or {}).get("limits") or {}) for c in long_running)
        if unlimited and name not in declared:
            del limits[name]
    return limits


def qos_class(pod: Object) -> str:
    """`Guaranteed`, `Burstable` or `BestEffort`; only cpu and memory count."""
    spec = pod["spec"]
    if spec.get("resources"):
        holders: Iterable[Object] = [spec]
    else:
        holders = [*spec.get("initContainers", ()), *spec.get("containers", ())]
    anything = False
    guaranteed = True
    for holder in holders:
        resources = holder.get("resources") or {}
        requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
        for name in POD_LEVEL_RESOURCES:
            limit = parse(limits[name]) if name in limits else None
            request = parse(requests[name]) if name in requests else limit
            wanted = [value for value in (request, limit) if value is not None and value != parse(0)]
            anything = anything or bool(wanted)
            if limit is None or limit == parse(0) or request != limit:
                guaranteed = False
    if not anything:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _total(pod: Object, which: str) -> Resources:
    spec = pod["spec"]
    total: Resources = {}
    for container in spec["containers"]:
        _add(total, container_resources(container, which))
    # Init containers run one after another beside the sidecars started before them.
    sidecars: Resources = {}
    peak: Resources = {}
    for container in spec.get("initContainers") or ():
        own = container_resources(container, which)
        if is_sidecar(container):
            _add(sidecars, own)
            _add(total, own)
            _raise(peak, sidecars)
        else:
            at_once = dict(sidecars)
            _add(at_once, own)
            _raise(peak, at_once)
    _raise(total, peak)
    declared = (spec.get("resources") or {}).get(which) or {}
    for name in POD_LEVEL_RESOURCES:
        if name in declared:
            total[name] = parse(declared[name])
    overhead: Mapping[str, str] = spec.get("overhead") or {}
    for name, value in overhead.items():
        if which == "requests" or name in total:
            _add(total, {name: parse(value)})
    return total


def _add(into: Resources, more: Mapping[str, Quantity]) -> None:
    for name, value in more.items():
        into[name] = into[name] + value if name in into else value


def _raise(into: Resources, floor: Mapping[str, Quantity]) -> None:
    for name, value in floor.items():
        if name not in into or into[name] < value:
            into[name] = value
