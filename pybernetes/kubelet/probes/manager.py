"""Probes of all containers of the node, one task each; their results decide about readiness and restarts.

A container has passed its startup probe, or fails it, or neither yet; liveness counts as success and readiness as failure until
the probe has spoken. A result changes after `successThreshold` or `failureThreshold` equal outcomes in a row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from pybernetes.kubelet.cri.client import Runtime
from pybernetes.kubelet.observed import ContainerSeen, PodSeen
from pybernetes.kubelet.probes.probe import Outcome, probe_once
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object, key_of, uid_of

log = logger("kubelet.probes")

KINDS = ("startupProbe", "livenessProbe", "readinessProbe")
TITLES = {"startupProbe": "Startup", "livenessProbe": "Liveness", "readinessProbe": "Readiness"}
# A container often listens some milliseconds after it started. Rather than leave it unready for a whole period, its first
# readiness probes come in quick succession; their failures are nobody's business.
EAGER_DELAYS_S = (0.05, 0.1, 0.2, 0.4)
UNKNOWN_TRIES = 3

# (pod, container name, type, reason, message)
Report = Callable[[Object, str, str, str, str], None]


@dataclass(slots=True)
class _Container:
    """The probes of one container; results are None until known."""

    seen: ContainerSeen
    results: dict[str, bool | None] = field(default_factory=dict)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    started: asyncio.Event = field(default_factory=asyncio.Event)


class ProbeManager:
    """`on_change(uid)` whenever a result of the pod's changes."""

    def __init__(self, runtime: Runtime, *, clock: Clock, on_change: Callable[[str], None], report: Report) -> None:
        self._runtime = runtime
        self._clock = clock
        self._on_change = on_change
        self._report = report
        self._pods: dict[str, dict[str, _Container]] = {}  # pod uid -> container id

    def sync(self, pod: Object, seen: PodSeen, pod_ip: str) -> None:
        """Probe exactly the running containers that ask for it."""
        uid = uid_of(pod)
        known = self._pods.get(uid, {})
        specs = {c["name"]: c for kind in ("initContainers", "containers") for c in pod["spec"].get(kind) or ()}
        running = {container.id: container for container in seen.running if container.name in specs}
        for container_id in [key for key in known if key not in running]:
            _stop(known.pop(container_id))
        for container_id, container in running.items():
            spec = specs[container.name]
            if container_id in known or not any(kind in spec for kind in KINDS):
                continue
            probed = known[container_id] = _Container(container, {kind: None for kind in KINDS if kind in spec})
            self._inherit(pod, probed)
            if probed.results.get("startupProbe", True):
                probed.started.set()
            for kind in probed.results:
                if kind == "startupProbe" and probed.results[kind]:
                    continue
                name = f"{kind} {key_of(pod)} {container.name}"
                probed.tasks.append(asyncio.create_task(self._run(pod, spec, probed, kind, pod_ip), name=name))
        if known:
            self._pods[uid] = known
        else:
            self._pods.pop(uid, None)

    def _inherit(self, pod: Object, probed: _Container) -> None:
        """What is known of a container from before a restart of ours: it does not become unready because we are new."""
        status = pod.get("status") or {}
        for entry in [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]:
            if entry.get("containerID", "").endswith(f"//{probed.seen.id}"):
                for kind, field_name in (("startupProbe", "started"), ("readinessProbe", "ready")):
                    if kind in probed.results and entry.get(field_name):
                        probed.results[kind] = True

    def forget(self, uid: str) -> None:
        for probed in self._pods.pop(uid, {}).values():
            _stop(probed)

    async def close(self) -> None:
        tasks = [task for pod in self._pods.values() for probed in pod.values() for task in probed.tasks]
        for uid in list(self._pods):
            self.forget(uid)
        await asyncio.gather(*tasks, return_exceptions=True)

    def started(self, uid: str, seen: PodSeen) -> frozenset[str]:
        """Ids of running containers that have passed their startup probe, or have none."""
        return frozenset(c.id for c in seen.running if self._result(uid, c.id, "startupProbe", default=True))

    def ready(self, uid: str, seen: PodSeen) -> frozenset[str]:
        return frozenset(c.id for c in seen.running if self._result(uid, c.id, "readinessProbe", default=True))

    def failed(self, uid: str, kind: str) -> frozenset[str]:
        """Ids of containers whose liveness or startup probe has failed for good."""
        return frozenset(key for key, probed in self._pods.get(uid, {}).items() if probed.results.get(kind) is False)

    def _result(self, uid: str, container_id: str, kind: str, *, default: bool) -> bool:
        probed = self._pods.get(uid, {}).get(container_id)
        if probed is None or kind not in probed.results:
            return default
        return probed.results[kind] is True

    async def _run(self, pod: Object, container: Object, probed: _Container, kind: str, pod_ip: str) -> None:
        spec = container[kind]
        period_s = spec.get("periodSeconds") or 10
        need = {True: spec.get("successThreshold") or 1, False: spec.get("failureThreshold") or 3}
        if kind != "startupProbe":
            await probed.started.wait()
        started_at = probed.seen.started_at or probed.seen.created_at
        age_s = (self._clock.now() - started_at).total_seconds()
        await self._clock.sleep(max((spec.get("initialDelaySeconds") or 0) - age_s, 0))
        eager = iter(EAGER_DELAYS_S if kind != "livenessProbe" else ())
        last, in_a_row = None, 0
        due = self._clock.monotonic()
        while True:
            outcome = await self._probe(spec, container, probed.seen.id, pod_ip)
            if not outcome.ok and not outcome.unknown and last is None:
                delay_s = next(eager, None)
                if delay_s is not None and delay_s < period_s:
                    await self._clock.sleep(delay_s)
                    continue
            if not outcome.unknown:
                in_a_row = in_a_row + 1 if outcome.ok == last else 1
                last = outcome.ok
                if not outcome.ok:
                    message = f"{TITLES[kind]} probe failed: {outcome.output}"
                    self._report(pod, container["name"], "Warning", "Unhealthy", message)
                if in_a_row >= need[outcome.ok] and probed.results[kind] is not outcome.ok:
                    probed.results[kind] = outcome.ok
                    log.debug("Probe result changed", pod=key_of(pod), container=container["name"], probe=kind, ok=outcome.ok)
                    if kind == "startupProbe" and outcome.ok:
                        probed.started.set()
                    self._on_change(uid_of(pod))
                if kind != "readinessProbe" and probed.results[kind] is False:
                    return  # the container is killed; its successor is probed anew
                if kind == "startupProbe" and probed.results[kind]:
                    return
            due = max(due + period_s, self._clock.monotonic())
            await self._clock.sleep(due - self._clock.monotonic())

    async def _probe(self, spec: Object, container: Object, container_id: str, pod_ip: str) -> Outcome:
        for _ in range(UNKNOWN_TRIES):
            outcome = await probe_once(
                spec, runtime=self._runtime, container=container, container_id=container_id, pod_ip=pod_ip
            )
            if not outcome.unknown:
                break
        return outcome


def _stop(probed: _Container) -> None:
    for task in probed.tasks:
        task.cancel()
