"""What the workers of all pods share: the node's services and facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pybernetes.client.events import EventRecorder
from pybernetes.client.rest import Client
from pybernetes.kubelet.cgroups import Cgroups
from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.cri.client import Runtime
from pybernetes.kubelet.dns import Resolver
from pybernetes.kubelet.images import Images
from pybernetes.kubelet.object_cache import ObjectCache
from pybernetes.kubelet.pleg import Pleg
from pybernetes.kubelet.probes.manager import ProbeManager
from pybernetes.kubelet.status_manager import StatusManager
from pybernetes.kubelet.tokens import TokenManager
from pybernetes.kubelet.volumes.manager import VolumeManager
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.meta import Object
from pybernetes.machinery.quantity import Quantity

CONTAINER_FIELDS = (("initContainers", "spec.initContainers"), ("containers", "spec.containers"),
                    ("ephemeralContainers", "spec.ephemeralContainers"))  # fmt: skip


@dataclass(slots=True)
class NodeFacts:
    """Found once, when the kubelet starts."""

    name: str
    host_ips: tuple[str, ...]
    memory_bytes: int
    resolver: Resolver
    seccomp_supported: bool
    runtime_name: str = "containerd"
    allocatable: Mapping[str, Quantity] = field(default_factory=dict)


@dataclass(slots=True)
class Shared:
    """The services of one kubelet. `services_in(namespace)` gives those whose variables a pod there sees."""

    client: Client
    runtime: Runtime
    configuration: Configuration
    node: NodeFacts
    volumes: VolumeManager
    images: Images
    probes: ProbeManager
    statuses: StatusManager
    objects: ObjectCache
    tokens: TokenManager
    cgroups: Cgroups
    pleg: Pleg
    events: EventRecorder
    clock: Clock
    entropy: Entropy
    services_in: Callable[[str], Sequence[Object]]
    admission: Callable[[Object], tuple[str, str] | None]  # why the node refuses a pod: (reason, message)

    @property
    def root(self) -> Path:
        return Path(self.configuration.root_dir)

    def container_event(self, pod: Object, name: str, type_: str, reason: str, message: str) -> None:
        """An event about one container of the pod."""
        self.events.event(pod, type_, reason, message, field_path=field_path(pod, name))


def container_spec(pod: Object, name: str) -> Object | None:
    for field_name, _ in CONTAINER_FIELDS:
        for container in pod["spec"].get(field_name) or ():
            if container["name"] == name:
                return container  # type: ignore[no-any-return]
    return None


def field_path(pod: Object, name: str) -> str:
    for field_name, path in CONTAINER_FIELDS:
        if any(container["name"] == name for container in pod["spec"].get(field_name) or ()):
            return f"{path}{{{name}}}"
    return ""
