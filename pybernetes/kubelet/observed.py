"""What the runtime says about one pod, as plain values: the snapshot from which pod decisions are made."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from pybernetes.kubelet.cri import runtime_pb2 as api
from pybernetes.machinery.meta import Object

# Labels and annotations on sandboxes and containers: upstream's names, so that crictl and log collectors find their way,
# and so that a kubelet that starts anew adopts what runs.
LABEL_POD_NAME = "io.kubernetes.pod.name"
LABEL_POD_NAMESPACE = "io.kubernetes.pod.namespace"
LABEL_POD_UID = "io.kubernetes.pod.uid"
LABEL_CONTAINER_NAME = "io.kubernetes.container.name"
ANNOTATION_HASH = "io.kubernetes.container.hash"
ANNOTATION_RESTART_COUNT = "io.kubernetes.container.restartCount"
ANNOTATION_TERMINATION_PATH = "io.kubernetes.container.terminationMessagePath"
ANNOTATION_TERMINATION_POLICY = "io.kubernetes.container.terminationMessagePolicy"
ANNOTATION_GRACE_PERIOD = "io.kubernetes.pod.terminationGracePeriod"
ANNOTATION_PRE_STOP = "io.kubernetes.container.preStopHandler"


class State(StrEnum):
    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"
    UNKNOWN = "unknown"


_STATES = {
    api.CONTAINER_CREATED: State.CREATED,
    api.CONTAINER_RUNNING: State.RUNNING,
    api.CONTAINER_EXITED: State.EXITED,
    api.CONTAINER_UNKNOWN: State.UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class ContainerSeen:
    """One container of the pod, dead ones included."""

    id: str
    name: str
    sandbox_id: str
    state: State
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    image: str = ""
    image_id: str = ""
    restart_count: int = 0
    hash: str = ""
    grace_period_s: int = 30
    log_path: str = ""
    user: Object | None = None
    annotations: dict[str, str] = field(default_factory=dict)
    mounts: tuple[tuple[str, str], ...] = ()  # (container path, host path)

    @property
    def running(self) -> bool:
        return self.state is State.RUNNING


@dataclass(frozen=True, slots=True)
class SandboxSeen:
    id: str
    ready: bool
    attempt: int
    created_at: datetime
    ips: tuple[str, ...] = ()
    host_network: bool = False


@dataclass(frozen=True, slots=True)
class PodSeen:
    """All sandboxes and containers of a pod, newest first."""

    uid: str
    name: str = ""
    namespace: str = ""
    sandboxes: tuple[SandboxSeen, ...] = ()
    containers: tuple[ContainerSeen, ...] = ()

    @property
    def sandbox(self) -> SandboxSeen | None:
        """The newest sandbox, ready or not."""
        return self.sandboxes[0] if self.sandboxes else None

    def container(self, name: str) -> ContainerSeen | None:
        """The newest container of that name, in whichever sandbox."""
        return next((container for container in self.containers if container.name == name), None)

    def previous(self, name: str) -> ContainerSeen | None:
        """The one before the newest of that name."""
        found = [container for container in self.containers if container.name == name]
        return found[1] if len(found) > 1 else None

    @property
    def running(self) -> tuple[ContainerSeen, ...]:
        return tuple(container for container in self.containers if container.running)


def nanos(value: int) -> datetime | None:
    """CRI's nanoseconds since the epoch; 0 is "not yet"."""
    return datetime.fromtimestamp(value / 1e9, UTC) if value > 0 else None


def container_seen(status: api.ContainerStatus, sandbox_id: str) -> ContainerSeen:
    annotations = dict(status.annotations)
    user: Object | None = None
    if status.HasField("user") and status.user.HasField("linux"):
        linux = status.user.linux
        user = {"linux": {"uid": linux.uid, "gid": linux.gid, "supplementalGroups": list(linux.supplemental_groups)}}
    return ContainerSeen(
        id=status.id,
        name=status.labels.get(LABEL_CONTAINER_NAME, status.metadata.name),
        sandbox_id=sandbox_id,
        state=_STATES.get(status.state, State.UNKNOWN),
        created_at=nanos(status.created_at) or datetime.fromtimestamp(0, UTC),
        started_at=nanos(status.started_at),
        finished_at=nanos(status.finished_at),
        exit_code=status.exit_code,
        reason=status.reason,
        message=status.message,
        image=status.image.image,
        image_id=status.image_ref or status.image_id,
        restart_count=_number(annotations.get(ANNOTATION_RESTART_COUNT), status.metadata.attempt),
        hash=annotations.get(ANNOTATION_HASH, ""),
        grace_period_s=_number(annotations.get(ANNOTATION_GRACE_PERIOD), 30),
        log_path=status.log_path,
        user=user,
        annotations=annotations,
        mounts=tuple((mount.container_path, mount.host_path) for mount in status.mounts),
    )


def sandbox_seen(status: api.PodSandboxStatus) -> SandboxSeen:
    ips = [status.network.ip, *(extra.ip for extra in status.network.additional_ips)]
    return SandboxSeen(
        id=status.id,
        ready=status.state == api.SANDBOX_READY,
        attempt=status.metadata.attempt,
        created_at=nanos(status.created_at) or datetime.fromtimestamp(0, UTC),
        ips=tuple(ip for ip in ips if ip),
        host_network=status.linux.namespaces.options.network == api.NODE,
    )


def pod_seen(
    uid: str, name: str, namespace: str, sandboxes: Iterable[SandboxSeen], containers: Iterable[ContainerSeen]
) -> PodSeen:
    return PodSeen(
        uid,
        name,
        namespace,
        tuple(sorted(sandboxes, key=lambda sandbox: (sandbox.attempt, sandbox.created_at), reverse=True)),
        tuple(sorted(containers, key=lambda container: container.created_at, reverse=True)),
    )


def container_hash(container: Object) -> str:
    """Of the fields whose change restarts a container (the image is the only mutable one)."""
    digest = 0x811C9DC5  # FNV-1a, 32 bits: stable over processes and releases, which Python's hash() is not
    for byte in json.dumps({"image": container.get("image", ""), "name": container["name"]}).encode():
        digest = ((digest ^ byte) * 0x01000193) & 0xFFFFFFFF
    return f"{digest:x}"


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.lstrip("-").isdigit() else default
