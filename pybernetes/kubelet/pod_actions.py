"""What to do next for one pod: a pure function from its spec and what the runtime shows to a list of actions.

The pod's life, as far as containers go (Pod lifecycle; KEP-753 for sidecars):

    sandbox ──► init containers, one after the other ──► main containers
                (a sidecar lets the next one go as soon as it has *started*, and is kept running for good)

Whoever lacks a ready sandbox starts from the left again. A container is restarted as the restart policy says, no earlier than
its back-off allows; one whose liveness or startup probe failed, or whose definition changed, is killed first. A pod of which
nothing runs or will run any more is over: `kill_pod` stops its sidecars and its sandbox.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pybernetes.kubelet.observed import ContainerSeen, PodSeen, SandboxSeen, State, container_hash
from pybernetes.machinery.meta import Object, is_being_deleted
from pybernetes.machinery.pod_resources import is_sidecar


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that the decision depends on. Probe results are sets of container ids."""

    pod: Object
    seen: PodSeen
    now: datetime
    liveness_failed: frozenset[str] = frozenset()
    startup_failed: frozenset[str] = frozenset()
    started: frozenset[str] = frozenset()  # running, and past the startup probe if there is one
    held_until: Mapping[str, datetime] = field(default_factory=dict)  # container name -> end of its back-off


@dataclass(frozen=True, slots=True)
class Kill:
    container: ContainerSeen
    message: str  # the event's
    # An escape hatch for probes: the probe's own terminationGracePeriodSeconds applies
    probe: str = ""  # "livenessProbe", "startupProbe" or ""


@dataclass(frozen=True, slots=True)
class PodActions:
    """Carried out in this order: kill the pod, or kill containers; create the sandbox; start containers."""

    kill_pod: bool = False
    create_sandbox: bool = False
    attempt: int = 0  # of the sandbox to create
    sandbox_id: str = ""  # the usable one, if any
    init_to_start: tuple[str, ...] = ()
    ephemeral_to_start: tuple[str, ...] = ()
    to_start: tuple[str, ...] = ()
    to_kill: tuple[Kill, ...] = ()
    held_back: Mapping[str, datetime] = field(default_factory=dict)  # would be started, were it not for the back-off

    @property
    def starts(self) -> tuple[str, ...]:
        return self.ephemeral_to_start + self.init_to_start + self.to_start


def compute_pod_actions(seen: Snapshot) -> PodActions:
    """The next step towards the wanted pod; a settled pod gives no action."""
    pod, sandbox = seen.pod, seen.seen.sandbox
    if sandbox is None or not sandbox_usable(pod, seen.seen, sandbox):
        return _start_over(seen, sandbox)

    current = {}  # the newest container of each name in this sandbox
    for container in reversed(seen.seen.containers):
        if container.sandbox_id == sandbox.id:
            current[container.name] = container
    spec = pod["spec"]
    ephemeral = tuple(
        container["name"]
        for container in spec.get("ephemeralContainers") or ()
        if seen.seen.container(container["name"]) is None  # they are never restarted
    )
    init = _init_actions(seen, current)
    if init.failed:
        return PodActions(kill_pod=True, sandbox_id=sandbox.id)
    to_start: list[str] = []
    to_kill = list(init.to_kill)
    if init.done:
        kept = 0
        for container in spec["containers"]:
            found = seen.seen.container(container["name"])
            if found is None or not found.running:
                if should_restart(pod, container, found):
                    to_start.append(container["name"])
                continue
            kill = _why_kill(seen, container, found)
            if kill is None:
                kept += 1
                continue
            message, probe, changed = kill
            if changed or _restart_policy(pod, container) != "Never":
                message += ", will be restarted"
                to_start.append(container["name"])
            to_kill.append(Kill(found, message, probe))
        if not kept and not to_start:
            return PodActions(kill_pod=True, sandbox_id=sandbox.id, to_kill=tuple(to_kill))
    killed = {kill.container.name for kill in to_kill}
    ready, held = _hold_back(seen, to_start, killed)
    init_ready, init_held = _hold_back(seen, init.to_start, killed)
    return PodActions(
        sandbox_id=sandbox.id,
        attempt=sandbox.attempt,
        init_to_start=init_ready,
        ephemeral_to_start=ephemeral,
        to_start=ready,
        to_kill=tuple(to_kill),
        held_back={**init_held, **held},
    )


def sandbox_usable(pod: Object, seen: PodSeen, sandbox: SandboxSeen) -> bool:
    host_network = bool(pod["spec"].get("hostNetwork"))
    return (
        sandbox.ready
        and sum(other.ready for other in seen.sandboxes) == 1
        and sandbox.host_network == host_network
        and (host_network or bool(sandbox.ips))
    )


def should_restart(pod: Object, container: Object, found: ContainerSeen | None) -> bool:
    """Whether a main or init container that does not run should (again)."""
    if is_being_deleted(pod):
        return False
    if found is None or found.state in (State.CREATED, State.UNKNOWN):
        return True
    if found.running:
        return False
    for rule in container.get("restartPolicyRules") or ():  # KEP-5307
        codes = rule.get("exitCodes") or {}
        listed = found.exit_code in (codes.get("values") or ())
        if rule.get("action") == "Restart" and listed == (codes.get("operator") == "In"):
            return True
    policy = _restart_policy(pod, container)
    return policy == "Always" or (policy == "OnFailure" and found.exit_code != 0)


def _restart_policy(pod: Object, container: Object) -> str:
    policy: str = container.get("restartPolicy") or pod["spec"].get("restartPolicy") or "Always"
    return policy


def _start_over(seen: Snapshot, sandbox: SandboxSeen | None) -> PodActions:
    pod = seen.pod
    spec = pod["spec"]
    attempt = sandbox.attempt + 1 if sandbox else 0
    if is_being_deleted(pod):
        return PodActions(kill_pod=True, attempt=attempt)
    never = spec.get("restartPolicy") == "Never"
    if never and attempt and any(c.name in _names(spec["containers"]) for c in seen.seen.containers):
        return PodActions(kill_pod=True, attempt=attempt)  # it ran; it is not to run again
    wanted = [
        container["name"]
        for container in spec["containers"]
        if (found := seen.seen.container(container["name"])) is None
        or not (found.state is State.EXITED and found.exit_code == 0 and spec.get("restartPolicy") in ("OnFailure", "Never"))
    ]
    if not wanted:
        return PodActions(kill_pod=True, attempt=attempt)
    init = spec.get("initContainers") or ()
    first = (init[0]["name"],) if init else ()
    to_start, held = _hold_back(seen, [] if init else wanted, frozenset())
    return PodActions(
        kill_pod=sandbox is not None,  # the remains of the old one
        create_sandbox=True,
        attempt=attempt,
        init_to_start=first,
        to_start=to_start,
        held_back=held,
    )


@dataclass(slots=True)
class _Init:
    done: bool = False
    failed: bool = False
    to_start: list[str] = field(default_factory=list)
    to_kill: list[Kill] = field(default_factory=list)


def _init_actions(seen: Snapshot, current: Mapping[str, ContainerSeen]) -> _Init:
    pod, actions = seen.pod, _Init()
    spec = pod["spec"]
    # Once a main container was made, initialization is over, whatever became of the init containers (they may be collected).
    past = any(name in current for name in _names(spec["containers"]))
    for container in spec.get("initContainers") or ():
        found = current.get(container["name"])
        if is_sidecar(container):
            if found is None or not found.running:
                actions.to_start.append(container["name"])
                if not past:
                    return actions
                continue
            kill = _why_kill(seen, container, found)
            if kill is not None:
                actions.to_kill.append(Kill(found, kill[0] + ", will be restarted", kill[1]))
                actions.to_start.append(container["name"])
            if not past and (kill is not None or found.id not in seen.started):
                return actions
            continue
        if past:
            continue
        if found is None or found.state in (State.CREATED, State.UNKNOWN):
            actions.to_start.append(container["name"])
            return actions
        if found.running:
            return actions
        if found.exit_code != 0:
            if spec.get("restartPolicy") == "Never" and not should_restart(pod, container, found):
                actions.failed = True
            else:
                actions.to_start.append(container["name"])
            return actions
    actions.done = True
    return actions


def _why_kill(seen: Snapshot, container: Object, found: ContainerSeen) -> tuple[str, str, bool] | None:
    """(message, probe, whether the definition changed) if a running container must not go on running."""
    name = container["name"]
    if found.hash and found.hash != container_hash(container):
        return f"Container {name} definition changed", "", True
    if found.id in seen.liveness_failed:
        return f"Container {name} failed liveness probe", "livenessProbe", False
    if found.id in seen.startup_failed:
        return f"Container {name} failed startup probe", "startupProbe", False
    return None


def _hold_back(
    seen: Snapshot, names: list[str], killed: frozenset[str] | set[str]
) -> tuple[tuple[str, ...], dict[str, datetime]]:
    """Split into those that may start now and those whose back-off has not ended."""
    held = {name: until for name in names if (until := seen.held_until.get(name)) and until > seen.now and name not in killed}
    return tuple(name for name in names if name not in held), held


def _names(containers: list[Object]) -> set[str]:
    return {container["name"] for container in containers}
