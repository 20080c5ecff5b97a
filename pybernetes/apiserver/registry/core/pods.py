"""Pods: the kind around which everything turns.

Contract: API reference, "Pod"; KEP-3521 (scheduling gates), KEP-1287 (resize), KEP-277 (ephemeral containers).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

import msgspec

from pybernetes.apiserver.registry import checks
from pybernetes.apiserver.registry.core.pod_cells import cells
from pybernetes.apiserver.registry.core.pod_spec import defaults, spec, updates
from pybernetes.apiserver.registry.core.pod_spec.siblings import is_sound
from pybernetes.apiserver.registry.core.pod_spec.warnings import pod_warnings
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Context, Strategy, SubresourceUpdate
from pybernetes.machinery import validation
from pybernetes.machinery.clock import rfc3339
from pybernetes.machinery.errors import Conflict, FieldError, conflict
from pybernetes.machinery.meta import Object, is_being_deleted, name_of
from pybernetes.machinery.pod_resources import qos_class
from pybernetes.machinery.pods import is_terminal
from pybernetes.machinery.resources import PODS


def default(pod: Object) -> None:
    pod_spec = pod.setdefault("spec", {})
    defaults.set_pod_spec(pod_spec)
    pod_spec.setdefault("enableServiceLinks", True)
    for field in ("initContainers", "containers"):
        for container in pod_spec.get(field) or ():
            _request_what_is_limited(container["resources"])
    if pod_spec.get("resources"):
        _request_what_is_limited(pod_spec["resources"])
    if pod_spec.get("hostNetwork"):
        for field in ("initContainers", "containers"):
            for container in pod_spec.get(field) or ():
                for port in container.get("ports") or ():
                    if not port.get("hostPort"):
                        port["hostPort"] = port.get("containerPort", 0)
    _set_status(pod.setdefault("status", {}))


def _request_what_is_limited(resources: Object) -> None:
    limits = resources.get("limits")
    if limits:
        resources["requests"] = {**limits, **(resources.get("requests") or {})}


def _set_status(status: Object) -> None:
    """`podIP` is the first of `podIPs`, `hostIP` of `hostIPs`, whichever of the two was written."""
    for one, many in (("podIP", "podIPs"), ("hostIP", "hostIPs")):
        if status.get(many):
            if status[many][0].get("ip"):
                status[one] = status[many][0]["ip"]
        elif status.get(one):
            status[many] = [{"ip": status[one]}]
    for condition in status.get("conditions") or ():
        condition.setdefault("lastProbeTime", None)
        condition.setdefault("lastTransitionTime", None)


def prepare_for_create(context: Context, pod: Object) -> None:
    pod_spec = pod["spec"]
    defaults.mirror_service_account(pod_spec)  # admission may have chosen the account
    status: Object = {"phase": "Pending", "qosClass": qos_class(pod)}
    if pod_spec.get("schedulingGates"):
        status["conditions"] = [
            {
                "type": "PodScheduled",
                "status": "False",
                "lastProbeTime": None,
                "lastTransitionTime": rfc3339(context.now),
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
            }
        ]
    pod["status"] = status


def prepare_for_update(_: Context, new: Object, old: Object) -> None:
    """The last gate gone, the pod is no longer blocked: its condition goes, too."""
    defaults.mirror_service_account(new["spec"])
    if old["spec"].get("schedulingGates") and not new["spec"].get("schedulingGates"):
        status = new.get("status") or {}
        kept = [one for one in status.get("conditions") or () if one.get("reason") != "SchedulingGated"]
        new["status"] = {key: value for key, value in status.items() if key != "conditions"} | (
            {"conditions": kept} if kept else {}
        )


def validate_create(pod: Object) -> Iterator[FieldError]:
    annotations = pod["metadata"].get("annotations") or {}
    if updates.MIRROR in annotations and not pod["spec"].get("nodeName"):
        sentence = "must set spec.nodeName if mirror pod annotation is set"
        yield FieldError.invalid(f"metadata.annotations[{updates.MIRROR}]", annotations[updates.MIRROR], sentence)
    if is_sound(pod["spec"]):
        return
    if pod["spec"].get("ephemeralContainers"):
        yield from spec.validate({key: value for key, value in pod["spec"].items() if key != "ephemeralContainers"})
        yield FieldError.forbidden("spec.ephemeralContainers", "cannot be set on create")
    else:
        yield from spec.validate(pod["spec"])


def warnings(pod: Object, old: Object | None) -> Sequence[str]:
    if old["spec"] == pod["spec"] if old is not None else is_sound(pod["spec"]):
        return ()
    return list(pod_warnings(pod["spec"]))


def prepare_for_status_update(_: Context, new: Object, old: Object) -> None:
    new["spec"] = old["spec"]
    metadata = new["metadata"]
    # Old kubelets corrupted owner references through /status.
    if "ownerReferences" in old["metadata"]:
        metadata["ownerReferences"] = old["metadata"]["ownerReferences"]
    else:
        metadata.pop("ownerReferences", None)
    status = new.setdefault("status", {})
    _set_status(status)
    before = (old.get("status") or {}).get("qosClass")
    if before:
        status["qosClass"] = before


def validate_status_update(new: Object, old: Object) -> Iterator[FieldError]:
    status, before = new.get("status") or {}, old.get("status") or {}
    yield from updates.validate_annotations(new, old)
    if new["spec"].get("nodeName") != old["spec"].get("nodeName"):
        yield FieldError.forbidden("status.nodeName", "may not be changed directly")
    nominated = status.get("nominatedNodeName")
    if nominated and nominated != before.get("nominatedNodeName"):
        yield from checks.invalid_by("status.nominatedNodeName", nominated, validation.dns_1123_subdomain_errors)
    restart = old["spec"].get("restartPolicy")
    if restart != "Always":
        for field in ("containerStatuses", "initContainerStatuses"):
            yield from _validate_transitions(status.get(field) or (), before.get(field) or (), f"status.{field}", restart)
    for field in ("podIPs", "hostIPs"):
        if status.get(field) != before.get(field):
            for i, entry in enumerate(status.get(field) or ()):
                yield from checks.invalid_by(f"status.{field}[{i}]", entry.get("ip", ""), validation.ip_errors)


def _validate_transitions(new: Sequence[Object], old: Sequence[Object], path: str, restart: str) -> Iterator[FieldError]:
    """A pod that is not restarted does not come back to life."""
    now = {status.get("name"): status for status in new}
    for i, status in enumerate(old):
        terminated = (status.get("state") or {}).get("terminated")
        if terminated is None or (terminated.get("exitCode", 0) != 0 and restart == "OnFailure"):
            continue
        current = now.get(status.get("name"))
        if current is not None and not (current.get("state") or {}).get("terminated"):
            yield FieldError.forbidden(f"{path}[{i}].state", "may not be transitioned to non-terminated state")


def grace_period(_: Context, pod: Object, options: Object) -> int:
    """At once where no kubelet has it or has anything left to stop."""
    if not pod["spec"].get("nodeName") or is_terminal(pod):
        return 0
    period: int | None = options.get("gracePeriodSeconds")
    if period is None:
        period = pod["spec"].get("terminationGracePeriodSeconds", 0)
    return 1 if period < 0 else period


def bind(context: Context, pod: Object, binding: Object) -> None:
    """Assign the pod to a node (`/binding`), in place. Raises `Conflict` for a pod that cannot be assigned (any more).

    The caller has checked `validate_binding`, and the uid and resourceVersion in the binding's metadata.
    """
    name, node = name_of(pod), pod["spec"].get("nodeName")
    if is_being_deleted(pod):
        raise _refused(name, f"pod {name} is being deleted, cannot be assigned to a host")
    if node:
        raise _refused(name, f'pod {name} is already assigned to node "{node}"')
    if pod["spec"].get("schedulingGates"):
        raise _refused(name, f"pod {name} has non-empty .spec.schedulingGates")
    pod["spec"]["nodeName"] = binding["target"]["name"]
    metadata = binding.get("metadata") or {}
    for field in ("annotations", "labels"):
        if metadata.get(field):
            pod["metadata"][field] = {**(pod["metadata"].get(field) or {}), **metadata[field]}
    status = pod.setdefault("status", {})
    scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": rfc3339(context.now)}
    others = [condition for condition in status.get("conditions") or () if condition.get("type") != "PodScheduled"]
    status["conditions"] = [*others, scheduled]


def _refused(name: str, why: str) -> Conflict:
    return conflict("", "pods/binding", name, why)


def validate_binding(binding: Object) -> Iterator[FieldError]:
    target = binding.get("target") or {}
    if target.get("kind") and target["kind"] != "Node":
        yield FieldError.not_supported("target.kind", target["kind"], ("Node", "<empty>"))
    if not target.get("name"):
        yield FieldError.required("target.name")


def _spec_field(name: str) -> Callable[[Object], str]:
    return lambda pod: pod["spec"].get(name, "")


def _status_field(name: str) -> Callable[[Object], str]:
    return lambda pod: (pod.get("status") or {}).get(name, "")


def _keep_for_ephemeral(_: Context, new: Object, old: Object) -> None:
    updates.keep_all_but_ephemeral_containers(new, old)


def _keep_for_resize(_: Context, new: Object, old: Object) -> None:
    updates.keep_all_but_resources(new, old)


class _PlacedSpec(msgspec.Struct):
    nodeName: str = ""


class _Placed(msgspec.Struct):
    spec: _PlacedSpec


_PLACED = msgspec.json.Decoder(_Placed)


def _node_name(stored: bytes) -> str:
    try:
        return _PLACED.decode(stored).spec.nodeName
    except msgspec.MsgspecError:  # whoever asks for this very object is told; the others' index does without it
        return ""


def _cells(pod: Object, now: datetime) -> list[object]:
    return cells(pod, now)


STRATEGY = Strategy(
    resource=PODS,
    default=default,
    prepare_for_create=prepare_for_create,
    prepare_for_update=prepare_for_update,
    validate_create=validate_create,
    validate_update=updates.validate_update,
    warnings=warnings,
    bumps_generation=True,
    has_status=True,
    prepare_for_status_update=prepare_for_status_update,
    validate_status_update=validate_status_update,
    subresource_updates={
        "ephemeralcontainers": SubresourceUpdate(
            prepare=_keep_for_ephemeral, validate=updates.validate_ephemeral_containers
        ),
        "resize": SubresourceUpdate(prepare=_keep_for_resize, validate=updates.validate_resize),
    },
    grace_period=grace_period,
    selectable_fields={
        "spec.nodeName": _spec_field("nodeName"),
        "spec.restartPolicy": _spec_field("restartPolicy"),
        "spec.schedulerName": _spec_field("schedulerName"),
        "spec.serviceAccountName": _spec_field("serviceAccountName"),
        "spec.hostNetwork": lambda pod: "true" if pod["spec"].get("hostNetwork") else "false",
        "status.phase": _status_field("phase"),
        "status.podIP": _status_field("podIP"),
        "status.nominatedNodeName": _status_field("nominatedNodeName"),
    },
    indexed_fields={"spec.nodeName": _node_name},
    columns=(
        NAME, Column("Ready"), Column("Status"), Column("Restarts"), AGE, Column("IP", priority=1),
        Column("Node", priority=1), Column("Nominated Node", priority=1), Column("Readiness Gates", priority=1),
    ),
    cells=_cells,
)  # fmt: skip
