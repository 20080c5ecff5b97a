"""The `status` of a pod as the API shows it, from what the runtime shows: a pure function.

Source: Pod lifecycle (phases, container states, conditions); reasons and messages are upstream's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pybernetes.kubelet.observed import ContainerSeen, PodSeen, State
from pybernetes.kubelet.pod_actions import should_restart
from pybernetes.machinery.clock import rfc3339
from pybernetes.machinery.meta import Object, condition
from pybernetes.machinery.pod_resources import is_sidecar, qos_class

TERMINAL_PHASES = ("Succeeded", "Failed")
# The conditions that the kubelet writes; all others belong to someone else and are kept.
OWN_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a container does not run (yet, or again)."""

    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the status depends on besides the pod's spec."""

    seen: PodSeen
    now: datetime
    runtime: str = "containerd"  # the scheme of container ids
    host_ips: tuple[str, ...] = ()
    waiting: Mapping[str, Waiting] = field(default_factory=dict)  # container name -> why
    started: frozenset[str] = frozenset()  # container ids past their startup probe
    ready: frozenset[str] = frozenset()  # container ids whose readiness probe succeeds (or that have none)
    over: bool = False  # nothing will be started any more: deleted, evicted, or finished
    reason: str = ""  # of a pod that the kubelet ended by itself (Evicted, DeadlineExceeded, NodeAffinity…)
    message: str = ""


def compute_status(pod: Object, facts: Facts) -> Object:
    """The whole status. Times of conditions that did not change are kept from the pod's present status."""
    spec, old = pod["spec"], pod.get("status") or {}
    init_specs = spec.get("initContainers") or []
    waits_for_init = bool(init_specs) and not any(facts.seen.container(c["name"]) for c in spec["containers"])
    init = _container_statuses(pod, init_specs, "initContainerStatuses", facts, "PodInitializing", init=True)
    main = _container_statuses(
        pod, spec["containers"], "containerStatuses", facts, "PodInitializing" if waits_for_init else "ContainerCreating"
    )
    ephemeral = _container_statuses(
        pod, spec.get("ephemeralContainers") or [], "ephemeralContainerStatuses", facts, "ContainerCreating"
    )
    phase = "Failed" if facts.reason else compute_phase(pod, init, main, over=facts.over)
    if old.get("phase") in TERMINAL_PHASES:
        phase = old["phase"]  # final
    status: Object = {"phase": phase}
    if facts.reason or old.get("reason"):
        status["reason"] = facts.reason or old["reason"]
        if facts.message or old.get("message"):
            status["message"] = facts.message or old["message"]
    if "generation" in pod["metadata"]:
        status["observedGeneration"] = pod["metadata"]["generation"]
    if facts.host_ips:
        status["hostIP"] = facts.host_ips[0]
        status["hostIPs"] = [{"ip": ip} for ip in facts.host_ips]
    ips = _pod_ips(pod, facts)
    if ips:
        status["podIP"] = ips[0]
        status["podIPs"] = [{"ip": ip} for ip in ips]
    status["startTime"] = old.get("startTime") or rfc3339(facts.now)
    status["qosClass"] = old.get("qosClass") or qos_class(pod)
    status["containerStatuses"] = main
    if init:
        status["initContainerStatuses"] = init
    if ephemeral:
        status["ephemeralContainerStatuses"] = ephemeral
    status["conditions"] = _conditions(pod, status, facts)
    return status


def compute_phase(pod: Object, init: list[Object], main: list[Object], *, over: bool) -> str:
    policy = pod["spec"].get("restartPolicy", "Always")
    pending = failed = 0
    sidecars = {c["name"] for c in pod["spec"].get("initContainers") or () if is_sidecar(c)}
    main_exists = any("waiting" not in s["state"] or "terminated" in s.get("lastState", {}) for s in main)
    for status in init:
        state = status["state"]
        last = (status.get("lastState") or {}).get("terminated")
        if status["name"] in sidecars:
            pending += not main_exists and not status["started"]
        elif "terminated" in state:
            failed += state["terminated"]["exitCode"] != 0
        elif "waiting" in state and last:
            failed += last["exitCode"] != 0
            pending += 1
        else:
            pending += 1
    if failed and policy == "Never":
        return "Failed"
    running = waiting = stopped = succeeded = 0
    for status in main:
        state = status["state"]
        if "running" in state:
            running += 1
        elif "terminated" in state:
            stopped += 1
            succeeded += state["terminated"]["exitCode"] == 0
        elif "terminated" in status.get("lastState", {}):
            stopped += 1
        else:
            waiting += 1
    if over and not running:
        # A container that never ran counts as failed: nobody can say that it did its work.
        return "Succeeded" if succeeded == len(main) and not failed else "Failed"
    if (pending or failed) and not main_exists:
        return "Pending"
    if waiting:
        return "Pending"
    if running:
        return "Running"
    if stopped and policy == "Always":
        return "Running"
    if stopped and stopped == succeeded:
        return "Succeeded"
    if stopped and policy == "Never" and not _may_restart(pod):
        return "Failed"
    return "Running" if stopped else "Pending"


def _may_restart(pod: Object) -> bool:
    return any(
        container.get("restartPolicy") in ("Always", "OnFailure") or container.get("restartPolicyRules")
        for container in pod["spec"]["containers"]
    )


def _pod_ips(pod: Object, facts: Facts) -> list[str]:
    if pod["spec"].get("hostNetwork"):
        return list(facts.host_ips)
    if facts.seen.sandbox and facts.seen.sandbox.ready and facts.seen.sandbox.ips:
        return list(facts.seen.sandbox.ips)
    # The sandbox may be gone already while the pod is still shown.
    return [entry["ip"] for entry in (pod.get("status") or {}).get("podIPs") or ()]


def _container_statuses(
    pod: Object, specs: Iterable[Object], field_name: str, facts: Facts, default_reason: str, *, init: bool = False
) -> list[Object]:
    old = {status["name"]: status for status in (pod.get("status") or {}).get(field_name) or ()}
    return [_container_status(pod, spec, old.get(spec["name"]), facts, default_reason, init=init) for spec in specs]


def _container_status(
    pod: Object, spec: Object, old: Object | None, facts: Facts, default_reason: str, *, init: bool
) -> Object:
    name = spec["name"]
    found, why = facts.seen.container(name), facts.waiting.get(name)
    regular_init = init and not is_sidecar(spec)
    status: Object = {
        "name": name,
        "state": {},
        "lastState": {},
        "ready": False,
        "restartCount": old["restartCount"] if old else 0,
        "image": spec.get("image", ""),
        "imageID": "",
        "started": False,
    }
    if found is None:
        _unseen(status, old, why, facts, default_reason)
        return status
    previous = facts.seen.previous(name)
    status["restartCount"] = max(found.restart_count, status["restartCount"])
    status["image"] = found.image or status["image"]
    status["imageID"] = found.image_id
    status["containerID"] = f"{facts.runtime}://{found.id}"
    if previous is not None and previous.state is State.EXITED:
        status["lastState"] = {"terminated": _terminated(previous, facts)}
    elif old and old.get("lastState"):
        status["lastState"] = old["lastState"]  # its container may have been collected
    if found.running:
        status["state"] = {"running": {"startedAt": rfc3339(found.started_at or found.created_at)}}
        status["started"] = not regular_init and found.id in facts.started
        status["ready"] = not regular_init and found.id in facts.ready and status["started"]
        if spec.get("resources"):
            status["resources"] = spec["resources"]
            if spec["resources"].get("requests"):
                status["allocatedResources"] = spec["resources"]["requests"]
        else:
            status["resources"] = {}
    elif found.state is State.CREATED:
        status["state"] = {"waiting": _waiting(why or Waiting(default_reason))}
    else:
        terminated = _terminated(found, facts)
        if why is not None and not facts.over and should_restart(pod, spec, found):
            status["state"] = {"waiting": _waiting(why)}
            status["lastState"] = {"terminated": terminated}
        else:
            status["state"] = {"terminated": terminated}
            status["ready"] = regular_init and found.exit_code == 0
    if found.user:
        status["user"] = found.user
    mounts = [_mount_status(mount) for mount in spec.get("volumeMounts") or ()]
    if mounts:
        status["volumeMounts"] = mounts
    return status


def _unseen(status: Object, old: Object | None, why: Waiting | None, facts: Facts, default_reason: str) -> None:
    """A container of which the runtime knows nothing: not made yet, or its records are gone."""
    had = old["state"] if old else {}
    if old and ("terminated" in had or ("running" in had and facts.over)):
        status.update({key: old[key] for key in ("imageID", "containerID", "image", "ready") if key in old})
        status["lastState"] = old.get("lastState") or {}
        status["state"] = had
        if "running" in had:
            status["ready"] = False
            message = "The container could not be located when the pod was terminated"
            status["state"] = {"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown", "message": message,
                                              "startedAt": None, "finishedAt": None}}  # fmt: skip
        return
    if old:
        status["lastState"] = old.get("lastState") or {}
    status["state"] = {"waiting": _waiting(why or Waiting(default_reason))}


def _waiting(why: Waiting) -> Object:
    return {"reason": why.reason, "message": why.message} if why.message else {"reason": why.reason}


def _terminated(found: ContainerSeen, facts: Facts) -> Object:
    state: Object = {"exitCode": found.exit_code}
    state["reason"] = found.reason or ("Completed" if found.exit_code == 0 else "Error")
    if found.state is State.UNKNOWN:
        state.update({"exitCode": 137, "reason": "ContainerStatusUnknown"})
    if found.message:
        state["message"] = found.message
    state["startedAt"] = rfc3339(found.started_at or found.created_at)
    state["finishedAt"] = rfc3339(found.finished_at or facts.now)
    state["containerID"] = f"{facts.runtime}://{found.id}"
    return state


def _mount_status(mount: Object) -> Object:
    status: Object = {"name": mount["name"], "mountPath": mount["mountPath"]}
    if mount.get("readOnly"):
        status.update({"readOnly": True, "recursiveReadOnly": "Disabled"})
    return status


# Conditions


def _conditions(pod: Object, status: Object, facts: Facts) -> list[Object]:
    old = (pod.get("status") or {}).get("conditions") or []
    init, main, phase = status.get("initContainerStatuses", []), status["containerStatuses"], status["phase"]
    sandbox = facts.seen.sandbox
    has_network = sandbox is not None and sandbox.ready and (bool(sandbox.ips) or bool(pod["spec"].get("hostNetwork")))
    containers_ready = _containers_ready(pod, init, main, phase)
    wanted = [
        ("PodReadyToStartContainers", has_network, "", ""),
        ("Initialized", *_initialized(pod, init, main, phase)),
        ("Ready", *_ready(pod, containers_ready, old)),
        ("ContainersReady", *containers_ready),
        ("PodScheduled", True, "", ""),
    ]
    conditions = [entry for entry in old if entry["type"] not in OWN_CONDITIONS]
    for type_, true, reason, message in wanted:
        before = condition(old, type_)
        entry: Object = {"type": type_, "status": "True" if true else "False", "lastProbeTime": None}
        if before and before["status"] == entry["status"] and before.get("lastTransitionTime"):
            entry["lastTransitionTime"] = before["lastTransitionTime"]
        else:
            entry["lastTransitionTime"] = rfc3339(facts.now)
        if reason:
            entry["reason"] = reason
        if message:
            entry["message"] = message
        if "observedGeneration" in status:
            entry["observedGeneration"] = status["observedGeneration"]
        conditions.append(entry)
    return conditions


def _listed(names: list[str]) -> str:
    return "[" + " ".join(names) + "]"


def _initialized(pod: Object, init: list[Object], main: list[Object], phase: str) -> tuple[bool, str, str]:
    if phase == "Succeeded":
        return True, "PodCompleted", ""
    sidecars = {c["name"] for c in pod["spec"].get("initContainers") or () if is_sidecar(c)}
    if any("running" in status["state"] for status in main):
        return True, "", ""
    incomplete = [s["name"] for s in init if not (s["started"] if s["name"] in sidecars else s["ready"])]
    if incomplete:
        return False, "ContainersNotInitialized", f"containers with incomplete status: {_listed(incomplete)}"
    return True, "", ""


def _containers_ready(pod: Object, init: list[Object], main: list[Object], phase: str) -> tuple[bool, str, str]:
    if phase == "Succeeded":
        return False, "PodCompleted", ""
    if phase == "Failed":
        return False, "PodFailed", ""
    sidecars = {c["name"] for c in pod["spec"].get("initContainers") or () if is_sidecar(c)}
    counted = [s for s in init if s["name"] in sidecars] + main
    unready = [status["name"] for status in counted if not status["ready"]]
    if unready:
        return False, "ContainersNotReady", f"containers with unready status: {_listed(unready)}"
    return True, "", ""


def _ready(pod: Object, containers_ready: tuple[bool, str, str], old: list[Object]) -> tuple[bool, str, str]:
    if not containers_ready[0]:
        return containers_ready
    problems = []
    for gate in pod["spec"].get("readinessGates") or ():  # KEP-580
        type_ = gate["conditionType"]
        found = condition(old, type_)
        if found is None:
            problems.append(f'corresponding condition of pod readiness gate "{type_}" does not exist.')
        elif found["status"] != "True":
            problems.append(f'the status of pod readiness gate "{type_}" is not "True", but {found["status"]}')
    if problems:
        return False, "ReadinessGatesNotReady", ", ".join(problems)
    return True, "", ""
