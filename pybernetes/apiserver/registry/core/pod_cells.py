"""`kubectl get pods`: READY, STATUS, RESTARTS and the rest, as upstream's printer sums a pod up."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import printing
from pybernetes.machinery.clock import parse_time
from pybernetes.machinery.meta import Object, condition, is_being_deleted, name_of
from pybernetes.machinery.pods import is_terminal
from pybernetes.machinery.table import human_duration


def cells(pod: Object, now: datetime) -> list[Any]:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    sidecars = {one["name"] for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"}
    conditions = status.get("conditions")
    scheduled = condition(conditions, "PodScheduled")
    reason = status.get("reason") or status.get("phase") or ""
    if scheduled is not None and scheduled.get("reason") == "SchedulingGated":
        reason = "SchedulingGated"
    init = _Initialization(status.get("initContainerStatuses") or (), sidecars, len(spec.get("initContainers") or ()))
    ready, restarts, last_restart = init.ready_sidecars, init.restarts, init.last_restart
    initialized = condition(conditions, "Initialized")
    if init.reason:
        reason = init.reason
    if not init.reason or (initialized is not None and initialized.get("status") == "True"):
        restarts, last_restart = init.sidecar_restarts, init.last_sidecar_restart
        running = False
        for one in reversed(status.get("containerStatuses") or ()):
            restarts += one.get("restartCount", 0)
            last_restart = max(last_restart, _finished(one))
            state = one.get("state") or {}
            waiting, terminated = state.get("waiting") or {}, state.get("terminated")
            if waiting.get("reason"):
                reason = waiting["reason"]
            elif terminated is not None:
                reason = terminated.get("reason") or _how(terminated)
            elif one.get("ready") and state.get("running") is not None:
                running = True
                ready += 1
        if reason == "Completed" and running:
            is_ready = condition(conditions, "Ready")
            reason = "Running" if is_ready is not None and is_ready.get("status") == "True" else "NotReady"
    if is_being_deleted(pod):
        if status.get("reason") == "NodeLost":
            reason = "Unknown"
        elif not is_terminal(pod):
            reason = "Terminating"
    total = len(spec.get("containers") or ()) + len(sidecars)
    restart_text = str(restarts)
    if restarts and last_restart:
        restart_text += f" ({human_duration(now - parse_time(last_restart))} ago)"
    ips = status.get("podIPs") or ()
    return [
        name_of(pod), f"{ready}/{total}", reason, restart_text, printing.age(pod, now),
        ips[0].get("ip") or printing.NONE if ips else printing.NONE,
        spec.get("nodeName") or printing.NONE, status.get("nominatedNodeName") or printing.NONE,
        _gates(spec.get("readinessGates") or (), conditions),
    ]  # fmt: skip


class _Initialization:
    """What the init containers say: `reason` as long as one of them holds the pod up."""

    def __init__(self, statuses: Any, sidecars: set[str], count: int) -> None:
        self.reason = ""
        self.restarts = self.sidecar_restarts = self.ready_sidecars = 0
        self.last_restart = self.last_sidecar_restart = ""
        for i, one in enumerate(statuses):
            self.restarts += one.get("restartCount", 0)
            self.last_restart = max(self.last_restart, _finished(one))
            is_sidecar = one.get("name") in sidecars
            if is_sidecar:
                self.sidecar_restarts += one.get("restartCount", 0)
                self.last_sidecar_restart = max(self.last_sidecar_restart, _finished(one))
            state = one.get("state") or {}
            terminated, waiting = state.get("terminated"), state.get("waiting") or {}
            if terminated is not None and terminated.get("exitCode", 0) == 0:
                continue
            if is_sidecar and one.get("started"):
                self.ready_sidecars += bool(one.get("ready"))
                continue
            if terminated is not None:
                self.reason = f"Init:{terminated.get('reason') or _how(terminated)}"
            elif waiting.get("reason") and waiting["reason"] != "PodInitializing":
                self.reason = f"Init:{waiting['reason']}"
            else:
                self.reason = f"Init:{i}/{count}"
            break


def _how(terminated: Object) -> str:
    return f"Signal:{terminated['signal']}" if terminated.get("signal") else f"ExitCode:{terminated.get('exitCode', 0)}"


def _finished(status: Object) -> str:
    """RFC 3339 in UTC: such texts order as their times do."""
    return ((status.get("lastState") or {}).get("terminated") or {}).get("finishedAt") or ""


def _gates(gates: Any, conditions: Any) -> str:
    if not gates:
        return printing.NONE
    passed = sum((condition(conditions, gate.get("conditionType", "")) or {}).get("status") == "True" for gate in gates)
    return f"{passed}/{len(gates)}"
