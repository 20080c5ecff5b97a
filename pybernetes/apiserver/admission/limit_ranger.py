"""LimitRanger: what containers, pods and claims of a namespace get by default, and may ask for.

Source: https://kubernetes.io/docs/concepts/policy/limit-range/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest, Operation
from pybernetes.apiserver.admission.refusals import refusal
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery.meta import Object, annotations_of
from pybernetes.machinery.pod_resources import container_resources, is_sidecar
from pybernetes.machinery.quantity import Quantity, parse
from pybernetes.machinery.resources import LIMIT_RANGES, PERSISTENT_VOLUME_CLAIMS, PODS

Amounts: TypeAlias = Mapping[str, Quantity]
DEFAULTED = "kubernetes.io/limit-ranger"


class LimitRanger(AdmissionPlugin):
    name = "LimitRanger"
    resources = (PODS, PERSISTENT_VOLUME_CLAIMS)

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def admit(self, request: AdmissionRequest) -> None:
        pod = request.object
        # What a pod asks for is settled when it is born.
        if request.resource != PODS or request.subresource or request.operation is not Operation.CREATE or pod is None:
            return
        for limit_range in self._reader.list(LIMIT_RANGES, request.namespace):
            give_defaults(pod, limit_range)

    async def validate(self, request: AdmissionRequest) -> None:
        obj = request.object
        if obj is None or request.operation not in (Operation.CREATE, Operation.UPDATE):
            return
        if request.resource == PODS:
            # Changes of a pod's resources come by way of resize.
            if request.subresource not in ("", "resize") or (
                request.operation is Operation.UPDATE and request.subresource != "resize"
            ):
                return
        elif request.resource != PERSISTENT_VOLUME_CLAIMS or request.subresource:
            return
        for limit_range in self._reader.list(LIMIT_RANGES, request.namespace):
            problems = list(violations(request.resource == PODS, obj, limit_range))
            if problems:
                raise refusal(request, problems[0] if len(problems) == 1 else "[" + ", ".join(problems) + "]")


def give_defaults(pod: Object, limit_range: Object) -> None:
    """Fill in the requests and limits that containers leave open, and say so in an annotation."""
    limits: dict[str, str] = {}
    requests: dict[str, str] = {}
    for item in limit_range["spec"].get("limits") or ():
        if item.get("type") == "Container":
            limits.update(item.get("default") or {})
            requests.update(item.get("defaultRequest") or {})
    if not limits and not requests:
        return
    said = []
    for field, shown in (("containers", "container"), ("initContainers", "init container")):
        for container in pod["spec"].get(field) or ():
            for which, defaults in (("requests", requests), ("limits", limits)):
                set_here = _fill(container, which, defaults)
                if set_here:
                    said.append(f"{', '.join(set_here)} {which[:-1]} for {shown} {container['name']}")
    if said:
        text = f"LimitRanger plugin set: {'; '.join(said)}"
        pod["metadata"]["annotations"] = {**annotations_of(pod), DEFAULTED: text}


def _fill(container: Object, which: str, defaults: Mapping[str, str]) -> list[str]:
    missing = sorted(set(defaults) - set((container.get("resources") or {}).get(which) or {}))
    if missing:
        resources = container.setdefault("resources", {})
        resources[which] = {**(resources.get(which) or {}), **{name: defaults[name] for name in missing}}
    return missing


def violations(is_pod: bool, obj: Object, limit_range: Object) -> Iterator[str]:
    """The sentences in which upstream says what is out of bounds."""
    for item in limit_range["spec"].get("limits") or ():
        kind = item.get("type")
        if is_pod and kind == "Container":
            for field in ("containers", "initContainers"):
                for container in obj["spec"].get(field) or ():
                    requests, limits = container_resources(container, "requests"), container_resources(container, "limits")
                    yield from _out_of_bounds(kind, item, requests, limits)
        elif is_pod and kind == "Pod":
            yield from _out_of_bounds(kind, item, _pod_total(obj, "requests"), _pod_total(obj, "limits"))
        elif not is_pod and kind == "PersistentVolumeClaim":
            yield from _claim_out_of_bounds(item, container_resources(obj["spec"], "requests"))


def _bounds(item: Object, which: str) -> Iterator[tuple[str, Quantity]]:
    for name, value in sorted((item.get(which) or {}).items()):
        yield name, parse(value)


def _out_of_bounds(kind: str, item: Object, requests: Amounts, limits: Amounts) -> Iterator[str]:
    for name, least in _bounds(item, "min"):
        if name not in requests:
            yield f"minimum {name} usage per {kind} is {least}.  No request is specified"
        elif requests[name] < least:
            yield f"minimum {name} usage per {kind} is {least}, but request is {requests[name]}"
        elif name in limits and limits[name] < least:
            yield f"minimum {name} usage per {kind} is {least}, but limit is {limits[name]}"
    for name, most in _bounds(item, "max"):
        if name not in limits:
            yield f"maximum {name} usage per {kind} is {most}.  No limit is specified"
        elif limits[name] > most:
            yield f"maximum {name} usage per {kind} is {most}, but limit is {limits[name]}"
        elif name in requests and requests[name] > most:
            yield f"maximum {name} usage per {kind} is {most}, but request is {requests[name]}"
    for name, ratio in _bounds(item, "maxLimitRequestRatio"):
        request, limit = requests.get(name), limits.get(name)
        if not request:
            yield f"{name} max limit to request ratio per {kind} is {ratio}, but no request is specified or request is 0"
        elif not limit:
            yield f"{name} max limit to request ratio per {kind} is {ratio}, but no limit is specified or limit is 0"
        elif limit.nanos * 10**9 > ratio.nanos * request.nanos:
            shown = limit.nanos / request.nanos
            yield f"{name} max limit to request ratio per {kind} is {ratio}, but provided ratio is {shown:f}"


def _claim_out_of_bounds(item: Object, requests: Amounts) -> Iterator[str]:
    for name, least in _bounds(item, "min"):
        if name not in requests:
            yield f"minimum {name} usage per PersistentVolumeClaim is {least}.  No request is specified"
        elif requests[name] < least:
            yield f"minimum {name} usage per PersistentVolumeClaim is {least}, but request is {requests[name]}"
    for name, most in _bounds(item, "max"):
        if name not in requests:
            yield f"maximum {name} usage per PersistentVolumeClaim is {most}.  No request is specified"
        elif requests[name] > most:
            yield f"maximum {name} usage per PersistentVolumeClaim is {most}, but request is {requests[name]}"


def _pod_total(pod: Object, which: str) -> Amounts:
    """The containers' sum, or the peak of initialization where that is more; without the runtime's overhead."""
    spec = pod["spec"]
    if declared := container_resources(spec, which):
        return declared
    running = [*(spec.get("containers") or ()), *(one for one in spec.get("initContainers") or () if is_sidecar(one))]
    total: dict[str, Quantity] = {}
    for container in running:
        for name, amount in container_resources(container, which).items():
            total[name] = total[name] + amount if name in total else amount
    for container in spec.get("initContainers") or ():
        for name, amount in container_resources(container, which).items():
            if not is_sidecar(container) and (name not in total or total[name] < amount):
                total[name] = amount
    return total
