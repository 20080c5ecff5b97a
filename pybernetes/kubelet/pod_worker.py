"""One pod's life on this node: a task that observes, decides (`pod_actions`), acts, and tells (`pod_status`).

    syncing ──► ending ──► ended ──► forgotten
       │          │           └ not in the API any more: sandboxes, containers, logs removed
       │          └ containers killed; then volumes and cgroup removed; a pod marked for deletion is deleted from the API
       └ until the pod is deleted, finished (nothing runs or will), refused, or past its deadline

The worker is single-flight: whatever happens meanwhile only wakes it, and it looks again. A start under way (pulling, creating)
is cut short when the pod is to end. A kubelet that starts anew has the same workers look at what is there: running containers
are adopted, since nothing in their decision depends on the past.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pybernetes.client.transport import ConnectionFailed
from pybernetes.kubelet.backoff import Backoff
from pybernetes.kubelet.containers import kill_container, kill_pod
from pybernetes.kubelet.cri.client import RuntimeFailed, RuntimeNotFound
from pybernetes.kubelet.object_cache import references
from pybernetes.kubelet.observed import ContainerSeen, PodSeen, State
from pybernetes.kubelet.observer import observe
from pybernetes.kubelet.pod_actions import PodActions, Snapshot, compute_pod_actions
from pybernetes.kubelet.pod_start import Start
from pybernetes.kubelet.pod_status import OWN_CONDITIONS, TERMINAL_PHASES, Facts, Waiting, compute_status
from pybernetes.kubelet.sandbox_config import log_directory
from pybernetes.kubelet.shared import Shared, container_spec
from pybernetes.kubelet.volumes.interface import VolumeError
from pybernetes.machinery import errors
from pybernetes.machinery.clock import parse_time
from pybernetes.machinery.entropy import jittered
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object, is_being_deleted, key_of, name_of, namespace_of
from pybernetes.machinery.resources import PODS

log = logger("kubelet.pod")

RETRY_FIRST_S = 0.3
RETRY_MAX_S = 10.0
STEPS_MAX = 20  # decisions in a row without a pause: more would be a loop
GRACE_DEFAULT_S = 30


@dataclass(frozen=True, slots=True)
class Failure:
    """The kubelet itself ended the pod."""

    reason: str
    message: str


class PodWorker:
    """`pod` is None for one that only the runtime knows. `on_forgotten` is called when nothing of the pod is left."""

    def __init__(self, shared: Shared, uid: str, pod: Object | None, on_forgotten: Callable[[str], None]) -> None:
        self.uid = uid
        self.pod = pod
        self._shared = shared
        self._on_forgotten = on_forgotten
        self._in_api = pod is not None
        self._fresh = True  # nothing of it was in the runtime, and nothing was made yet
        self._backoff = Backoff()
        self._dead: dict[str, ContainerSeen] = {}
        self._waiting: dict[str, Waiting] = {}
        self._failure: Failure | None = None
        self._admitted = False
        self._finished = False  # its containers did what they had to; it is to be ended
        self._stopped = False  # in the course of ending
        self._forgotten = False
        self._wake = asyncio.Event()
        self._wake.set()
        self._due: float | None = None  # monotonic; when to look again unasked
        self._retry_s = RETRY_FIRST_S
        self._retry_soon = False
        self._current: asyncio.Task[bool] | None = None
        self._interruptible = False
        self._interrupted = False

    # What others tell it

    def wake(self) -> None:
        self._wake.set()

    def update(self, pod: Object) -> None:
        """The API shows the pod so."""
        before, self.pod = self.pod, pod
        shorter = before is not None and _grace_s(pod) < _grace_s(before)
        if self._ending and (self._interruptible or shorter):
            self._interrupt()
        self.wake()

    def removed(self) -> None:
        """The pod is gone from the API."""
        self._in_api = False
        if self._interruptible:
            self._interrupt()
        self.wake()

    @property
    def active(self) -> bool:
        """Whether it counts against the node's resources."""
        return self.pod is not None and not self._ending

    @property
    def _ending(self) -> bool:
        pod = self.pod
        return (
            self._finished
            or self._failure is not None
            or not self._in_api
            or pod is None
            or is_being_deleted(pod)
            or (pod.get("status") or {}).get("phase") in TERMINAL_PHASES
        )

    def _interrupt(self) -> None:
        if self._current is not None and not self._current.done():
            self._interrupted = True
            self._current.cancel()

    # The task

    async def run(self) -> None:
        while not self._forgotten:
            await self._rest()
            self._current = asyncio.create_task(self._sync(), name=f"sync {self.uid}")
            try:
                if await self._current:
                    self._retry_s = RETRY_FIRST_S
                    continue
            except asyncio.CancelledError:
                if not self._interrupted:
                    raise
                self._interrupted = False
                self.wake()
                continue
            except Exception as error:
                self._complain(error)
            self._look_again_in(jittered(self._retry_s, self._shared.entropy, factor=0.2))
            self._retry_s = min(self._retry_s * 2, RETRY_MAX_S)

    def _complain(self, error: Exception) -> None:
        problems = _leaves(error)
        if all(isinstance(problem, EXPECTED) for problem in problems):
            text = "; ".join(str(problem) for problem in problems)
            log.warning("Cannot sync a pod, will try again", pod=self._name, error=text)
        else:
            log.exception("Syncing a pod failed", pod=self._name)

    @property
    def _name(self) -> str:
        return key_of(self.pod) if self.pod else self.uid

    async def _rest(self) -> None:
        """Until woken or due."""
        if not self._wake.is_set():
            limit_s = None if self._due is None else max(self._due - self._shared.clock.monotonic(), 0)
            try:
                async with asyncio.timeout(limit_s):
                    await self._wake.wait()
            except TimeoutError:
                pass
        self._wake.clear()
        self._due = None

    def _look_again_in(self, delay_s: float) -> None:
        at = self._shared.clock.monotonic() + max(delay_s, 0)
        self._due = at if self._due is None else min(self._due, at)

    async def _sync(self) -> bool:
        """Look, decide and act until nothing is left to do. False: something failed that is worth another try soon."""
        shared, pod = self._shared, self.pod
        if self._fresh and self.uid not in shared.pleg.uids:
            seen = PodSeen(self.uid)
        else:
            seen = await observe(shared.runtime, self.uid, self._dead)
        self._fresh = False
        if self._ending or pod is None:
            await self._end(seen)
            return True
        shared.objects.use(self.uid, references(pod))
        self._check_admission(pod)
        self._check_deadline(pod)
        if seen.sandboxes:  # also of a pod that an earlier kubelet made: its tokens and files are ours to follow now
            await self._refresh_volumes(pod, seen)
        for _ in range(STEPS_MAX):
            if self._failure is not None:
                break
            self._probe(pod, seen)
            actions = self._decide(pod, seen)
            if actions.kill_pod and not actions.create_sandbox:
                self._finished = True
                break
            self._tell(pod, seen)
            if not (actions.starts or actions.to_kill or actions.create_sandbox):
                await self._collect_dead(pod, seen)
                self._plan(actions)
                return True
            went_well = await self._act(pod, seen, actions)
            seen = await observe(shared.runtime, self.uid, self._dead)
            if not went_well:
                self._probe(pod, seen)
                self._tell(pod, seen)
                self._plan(actions)
                return not self._retry_soon
        if self._ending:
            await self._end(seen)
        return True

    def _plan(self, actions: PodActions) -> None:
        """When to look again, if nothing happens before."""
        now = self._shared.clock.now()
        for until in actions.held_back.values():
            self._look_again_in((until - now).total_seconds() + 0.01)
        self._look_again_in(jittered(self._shared.configuration.sync_frequency_s, self._shared.entropy, factor=0.5))
        deadline = self._deadline()
        if deadline is not None:
            self._look_again_in((deadline - now).total_seconds())

    # Deciding

    def _decide(self, pod: Object, seen: PodSeen) -> PodActions:
        shared, now = self._shared, self._shared.clock.now()
        held = {}
        for name in {container.name for container in seen.containers}:
            newest = seen.container(name)
            if newest is not None and newest.state is State.EXITED:
                until = self._backoff.until(name, newest.finished_at or now)
                if until is not None:
                    held[name] = until
        actions = compute_pod_actions(
            Snapshot(
                pod=pod,
                seen=seen,
                now=now,
                liveness_failed=shared.probes.failed(self.uid, "livenessProbe"),
                startup_failed=shared.probes.failed(self.uid, "startupProbe"),
                started=shared.probes.started(self.uid, seen),
                held_until=held,
            )
        )
        for name in actions.held_back:
            if self._waiting.get(name, Waiting("")).reason != "CrashLoopBackOff":
                named = f"{name_of(pod)}_{namespace_of(pod)}({self.uid})"
                delay = go_duration(self._backoff.delay_s(name))
                message = f"back-off {delay} restarting failed container={name} pod={named}"
                self._waiting[name] = Waiting("CrashLoopBackOff", message)
                text = f"Back-off restarting failed container {name} in pod {named}"
                shared.container_event(pod, name, "Warning", "BackOff", text)
        return actions

    def _check_admission(self, pod: Object) -> None:
        if self._admitted:
            return
        if not (pod.get("status") or {}).get("startTime"):  # else it was admitted, by us or before a restart
            refused = self._shared.admission(pod)
            if refused is not None:
                self._failure = Failure(*refused)
                self._shared.events.event(pod, "Warning", *refused)
        self._admitted = True

    def _deadline(self) -> datetime | None:
        assert self.pod is not None
        limit_s = self.pod["spec"].get("activeDeadlineSeconds")
        status = self._shared.statuses.latest(self.uid) or self.pod.get("status") or {}
        if limit_s is None or not status.get("startTime"):
            return None
        return parse_time(status["startTime"]) + timedelta(seconds=limit_s)

    def _check_deadline(self, pod: Object) -> None:
        deadline = self._deadline()
        if deadline is not None and self._shared.clock.now() >= deadline:
            message = "Pod was active on the node longer than the specified deadline"
            self._failure = Failure("DeadlineExceeded", message)
            self._shared.events.event(pod, "Normal", "DeadlineExceeded", message)

    # Acting

    async def _act(self, pod: Object, seen: PodSeen, actions: PodActions) -> bool:
        """Carry the actions out. False if something did not work, in a way that the waiting states and events tell."""
        shared = self._shared
        if actions.kill_pod:
            shared.events.event(pod, "Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
            await kill_pod(shared, pod, seen, grace_s=_grace_s(pod))
        async with asyncio.TaskGroup() as tasks:
            for kill in actions.to_kill:
                spec = container_spec(pod, kill.container.name) or {}
                own_s = (spec.get(kill.probe) or {}).get("terminationGracePeriodSeconds") if kill.probe else None
                grace_s = _grace_s(pod) if own_s is None else int(own_s)
                tasks.create_task(
                    kill_container(shared, pod, kill.container, grace_s=grace_s, message=kill.message, pod_ips=_ips(seen))
                )
        if not (actions.starts or actions.create_sandbox):
            return True
        now = shared.clock.now()
        for name in actions.starts:
            if seen.container(name) is not None:
                self._backoff.next(name, now)
        self._interruptible = True
        try:
            result = await Start(shared, pod, seen, actions).run()
        finally:
            self._interruptible = False
        for name in actions.starts:
            if name in result.waiting:
                self._waiting[name] = result.waiting[name]
            else:
                self._waiting.pop(name, None)
        self._retry_soon = result.retry_soon
        if result.retry_in_s is not None:
            self._look_again_in(result.retry_in_s)
        return result.ok

    async def _refresh_volumes(self, pod: Object, seen: PodSeen) -> None:
        shared = self._shared
        try:
            await shared.volumes.set_up(
                pod,
                host_ips=shared.node.host_ips,
                pod_ips=_ips(seen),
                allocatable=shared.node.allocatable,
                refresh=True,
            )
        except VolumeError as error:  # what is mounted stays as it was
            shared.events.event(pod, "Warning", "FailedMount", str(error))

    async def _collect_dead(self, pod: Object, seen: PodSeen) -> None:
        """Of each container's corpses keep the newest (for `logs --previous`); of the sandboxes the present one."""
        shared, kept = self._shared, set()
        for container in seen.containers:
            if container.state is not State.EXITED:
                continue
            if container.name not in kept:
                kept.add(container.name)
                continue
            await _ignoring_absence(shared.runtime.remove_container(container.id))
            log_file = log_directory(shared.configuration.pod_logs_dir, pod) / container.name / f"{container.restart_count}.log"
            log_file.unlink(missing_ok=True)
        for sandbox in seen.sandboxes[1:]:
            if not sandbox.ready and not any(container.sandbox_id == sandbox.id for container in seen.containers):
                await _ignoring_absence(shared.runtime.remove_sandbox(sandbox.id))

    # Telling

    def _probe(self, pod: Object, seen: PodSeen) -> None:
        ips = self._shared.node.host_ips if pod["spec"].get("hostNetwork") else _ips(seen)
        self._shared.probes.sync(pod, seen, ips[0] if ips else "")

    def _tell(self, pod: Object, seen: PodSeen, *, over: bool = False) -> None:
        """Set the status. Conditions of others are kept as the API has them; the rest starts from what was told last."""
        shared = self._shared
        latest = shared.statuses.latest(self.uid)
        if latest is not None:
            foreign = [c for c in (pod.get("status") or {}).get("conditions") or () if c["type"] not in OWN_CONDITIONS]
            own = [c for c in latest.get("conditions") or () if c["type"] in OWN_CONDITIONS]
            pod = {**pod, "status": {**latest, "conditions": foreign + own}}
        facts = Facts(
            seen=seen,
            now=shared.clock.now(),
            runtime=shared.node.runtime_name,
            host_ips=shared.node.host_ips,
            waiting=self._waiting,
            started=shared.probes.started(self.uid, seen),
            ready=shared.probes.ready(self.uid, seen),
            over=over,
            reason=self._failure.reason if self._failure else "",
            message=self._failure.message if self._failure else "",
        )
        shared.statuses.set(pod, compute_status(pod, facts))

    # Ending

    async def _end(self, seen: PodSeen) -> None:
        shared, pod = self._shared, self.pod
        grace_s = _grace_s(pod) if pod is not None else max((c.grace_period_s for c in seen.running), default=GRACE_DEFAULT_S)
        if seen.running or (not self._stopped and seen.sandboxes):
            await kill_pod(shared, pod, seen, grace_s=grace_s)
            seen = await observe(shared.runtime, self.uid, self._dead)
            if seen.running:
                raise RuntimeFailed("containers still run after they were stopped")
            self._stopped = True
        shared.probes.forget(self.uid)
        if pod is not None and self._in_api:
            self._tell(pod, seen, over=True)
        await asyncio.gather(shared.volumes.tear_down(self.uid), asyncio.to_thread(shared.cgroups.remove, self.uid))
        shared.objects.use(self.uid, set())
        shared.images.forget(self.uid)
        shared.tokens.forget(self.uid)
        if pod is not None and self._in_api:
            if not is_being_deleted(pod):
                return  # finished: it stays, with its logs, until somebody deletes it
            await shared.statuses.flushed(self.uid)
            await self._delete_from_api(pod)
            return  # that the pod is gone wakes us; to forget it before would make the last news of it look like a new pod
        await self._forget(pod, seen)

    async def _delete_from_api(self, pod: Object) -> None:
        """The last word of a graceful deletion: nothing of the pod runs any more (Pod lifecycle, "Pod termination")."""
        try:
            await self._shared.client.delete(PODS, name_of(pod), namespace_of(pod), uid=self.uid, grace_period_s=0)
        except (errors.NotFound, errors.Conflict):
            pass  # somebody was faster; Conflict: it is another pod by now

    async def _forget(self, pod: Object | None, seen: PodSeen) -> None:
        shared = self._shared
        async with asyncio.TaskGroup() as tasks:
            for sandbox in seen.sandboxes:
                tasks.create_task(_ignoring_absence(shared.runtime.remove_sandbox(sandbox.id)))
            sandboxes = {sandbox.id for sandbox in seen.sandboxes}
            for container in seen.containers:
                if container.sandbox_id not in sandboxes:
                    tasks.create_task(_ignoring_absence(shared.runtime.remove_container(container.id)))
        if pod is not None:
            logs = log_directory(shared.configuration.pod_logs_dir, pod)
        else:
            logs = Path(shared.configuration.pod_logs_dir) / f"{seen.namespace}_{seen.name}_{self.uid}"
        await asyncio.to_thread(shutil.rmtree, logs, ignore_errors=True)
        # The runtime's own cgroups below the pod's went with the sandboxes.
        await asyncio.to_thread(shared.cgroups.remove, self.uid)
        self._forgotten = True
        shared.statuses.forget(self.uid)
        log.info("Pod is gone", pod=self._name)
        self._on_forgotten(self.uid)


EXPECTED = (RuntimeFailed, errors.StatusError, ConnectionFailed, OSError)


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for member in error.exceptions for leaf in _leaves(member)]
    return [error]


def _grace_s(pod: Object) -> int:
    """How long its containers may take to end: what the deletion says, else the spec. At least 1 s (upstream's minimum)."""
    seconds = pod["metadata"].get("deletionGracePeriodSeconds")
    if seconds is None:
        seconds = pod["spec"].get("terminationGracePeriodSeconds")
    return max(GRACE_DEFAULT_S if seconds is None else int(seconds), 1)


def _ips(seen: PodSeen) -> tuple[str, ...]:
    return seen.sandbox.ips if seen.sandbox else ()


async def _ignoring_absence(call: Awaitable[None]) -> None:
    try:
        await call
    except RuntimeNotFound:
        pass


def go_duration(seconds: int) -> str:
    """As Go prints a duration of whole seconds: 10s, 2m40s, 5m0s."""
    return f"{seconds // 60}m{seconds % 60}s" if seconds >= 60 else f"{seconds}s"
