"""The kubelet: everything of one node, wired together.

API (pods of this node) ──► PodWorkers ──► runtime, volumes, cgroups        effects
runtime events (Pleg) ─────►    │
probes, ConfigMaps, Secrets ─►  └──► StatusManager ──► API (pods/status)
NodeManager ──► API (Node, Lease)
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from pybernetes.client.events import EventRecorder
from pybernetes.client.informer import Informer
from pybernetes.client.rest import Client
from pybernetes.kubelet.admission import admit
from pybernetes.kubelet.cgroups import Cgroups
from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.cri.client import Runtime, RuntimeFailed
from pybernetes.kubelet.dns import read_resolver
from pybernetes.kubelet.images import Images
from pybernetes.kubelet.node_facts import default_ip, host_name, machine_facts, seccomp_supported
from pybernetes.kubelet.node_manager import NodeManager
from pybernetes.kubelet.object_cache import ObjectCache
from pybernetes.kubelet.pleg import Pleg
from pybernetes.kubelet.pod_workers import PodWorkers
from pybernetes.kubelet.probes.manager import ProbeManager
from pybernetes.kubelet.shared import NodeFacts, Shared
from pybernetes.kubelet.status_manager import StatusManager
from pybernetes.kubelet.tokens import TokenManager
from pybernetes.kubelet.volumes.manager import VolumeManager
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object, labels_of
from pybernetes.machinery.resources import NODES, PODS, SERVICES

log = logger("kubelet")

RUNTIME_WAIT_S = 60.0
RUNTIME_RETRY_S = 0.05
HOUSEKEEPING_PERIOD_S = 5.0
PLEG_STALE_S = 180.0  # upstream's relist threshold for health


class Kubelet:
    """`run()` until cancelled; the pods run on when it ends."""

    def __init__(
        self, client: Client, runtime: Runtime, configuration: Configuration, *, clock: Clock, entropy: Entropy
    ) -> None:
        self.client = client
        self.runtime = runtime
        self.configuration = configuration
        self._clock = clock
        machine = machine_facts()
        node_ips = tuple(ip.strip() for ip in configuration.node_ip.split(",") if ip.strip())
        self.facts = NodeFacts(
            name=configuration.host_name or host_name(),
            host_ips=node_ips or (default_ip(),),
            memory_bytes=machine.memory_bytes,
            resolver=read_resolver(configuration.resolv_conf),
            seccomp_supported=seccomp_supported(),
        )
        self.workers = PodWorkers()
        self.pleg = Pleg(runtime, clock=clock, on_change=self.workers.wake, on_relist=self.workers.found_in_runtime)
        self.pods = Informer(client, PODS, field_selector=f"spec.nodeName={self.facts.name}", clock=clock, entropy=entropy)
        self.services = Informer(client, SERVICES, clock=clock, entropy=entropy)
        self._own_node = Informer(
            client, NODES, field_selector=f"metadata.name={self.facts.name}", clock=clock, entropy=entropy
        )
        self.node = NodeManager(client, runtime, configuration, machine, self.facts, clock=clock, entropy=entropy)
        self.events = EventRecorder(client, "kubelet", self.facts.name, clock=clock, entropy=entropy)
        objects = ObjectCache(client, self.workers.wake, clock=clock, entropy=entropy)
        tokens = TokenManager(client, clock=clock)
        self.shared = Shared(
            client=client,
            runtime=runtime,
            configuration=configuration,
            node=self.facts,
            volumes=VolumeManager(Path(configuration.root_dir), objects=objects, tokens=tokens, clock=clock),
            images=Images(runtime, clock=clock, parallel=configuration.max_parallel_image_pulls),
            probes=ProbeManager(runtime, clock=clock, on_change=self.workers.wake, report=self._probe_event),
            statuses=StatusManager(client, clock=clock, entropy=entropy),
            objects=objects,
            tokens=tokens,
            cgroups=Cgroups(configuration.cgroup_root),
            pleg=self.pleg,
            events=self.events,
            clock=clock,
            entropy=entropy,
            services_in=self._services_in,
            admission=self._admission,
        )
        self.workers.attach(self.shared, lambda: self.pods.synced)

    async def run(self) -> None:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.shared.objects.close)
            stack.push_async_callback(self.shared.statuses.close)
            stack.push_async_callback(self.shared.probes.close)
            stack.push_async_callback(self.workers.close)
            async with asyncio.TaskGroup() as tasks:
                for informer in (self.services, self._own_node):
                    tasks.create_task(informer.run())
                tasks.create_task(self.events.run(), name="events")
                self._own_node.add_handler(
                    on_add=self.node.saw, on_update=lambda _, new: self.node.saw(new), on_delete=self._node_deleted
                )
                await self._wait_for_runtime()
                tasks.create_task(self.node.run(), name="node")
                await asyncio.to_thread(self._prepare)
                await self._first_relist()
                # Before the first pod: its environment needs the Services (upstream waits likewise).
                await self.services.wait_synced()
                self.pods.add_handler(on_add=self._pod_seen, on_update=self._pod_changed,
                                      on_delete=self.workers.removed)  # fmt: skip
                tasks.create_task(self.pods.run(), name="pods")
                tasks.create_task(self.pleg.run(), name="pleg")
                await self.pods.wait_synced()
                tasks.create_task(self._housekeeping(), name="housekeeping")
                log.info("Kubelet runs", node=self.facts.name, pods=len(self.pods))

    async def healthy(self) -> str | None:
        """Why not, or None."""
        age_s = self._clock.monotonic() - self.pleg.healthy_at
        if age_s > PLEG_STALE_S:
            return f"pleg was last seen active {age_s:.0f}s ago; threshold is {PLEG_STALE_S:.0f}s"
        return None

    async def _wait_for_runtime(self) -> None:
        """The socket of a runtime that is starting answers some time before its CRI service does."""
        await self.runtime.wait_ready(RUNTIME_WAIT_S)
        deadline = self._clock.monotonic() + RUNTIME_WAIT_S
        while True:
            try:
                await self.runtime.version()
                return
            except RuntimeFailed as error:
                if self._clock.monotonic() > deadline:
                    raise OSError(f"the container runtime at {self.runtime.endpoint} does not serve CRI: {error}") from error
                await self._clock.sleep(RUNTIME_RETRY_S)

    def _prepare(self) -> None:
        root = Path(self.configuration.root_dir)
        (root / "pods").mkdir(parents=True, exist_ok=True, mode=0o750)
        Path(self.configuration.pod_logs_dir).mkdir(parents=True, exist_ok=True)
        self.shared.cgroups.set_up()

    async def _first_relist(self) -> None:
        while True:
            try:
                await self.pleg.relist()
                return
            except RuntimeFailed as error:
                log.warning("Cannot list containers", error=str(error))
                await self._clock.sleep(1)

    async def _housekeeping(self) -> None:
        """End what the API does not know, at the start and ever again.

        A start that is called off may go on in the runtime for a moment, and make a cgroup anew after we removed the pod's.
        """
        while True:
            await self._end_orphans()
            await self._clock.sleep(HOUSEKEEPING_PERIOD_S)

    async def _end_orphans(self) -> None:
        """In the runtime, and left in directories and cgroups."""
        self.workers.found_in_runtime(self.pleg.uids - {""})
        known = {pod["metadata"]["uid"] for pod in self.pods.list()} | self.pleg.uids | self.workers.uids
        left = (self.shared.volumes.pod_uids() | self.shared.cgroups.pod_uids()) - known
        for uid in left:
            log.info("Removing what a former pod left", uid=uid)
            try:
                await self.shared.volumes.tear_down(uid)
                await asyncio.to_thread(self.shared.cgroups.remove, uid)
            except OSError as error:
                log.warning("Cannot remove what a former pod left", uid=uid, error=str(error))

    def _pod_seen(self, pod: Object) -> None:
        self.shared.statuses.saw(pod)
        self.workers.update(pod)

    def _pod_changed(self, old: Object, new: Object) -> None:
        if old["metadata"]["uid"] != new["metadata"]["uid"]:
            self.workers.removed(old)  # a namesake was born before we heard of the end
        self._pod_seen(new)

    def _node_deleted(self, node: Object) -> None:
        self.node.node = None  # registered again at the next round

    def _services_in(self, namespace: str) -> Sequence[Object]:
        found = self.services.list(namespace)
        if namespace != "default":
            master = self.services.get("default", "kubernetes")
            if master is not None:
                found = [master, *found]
        return found

    def _admission(self, pod: Object) -> tuple[str, str] | None:
        labels = labels_of(self.node.node) if self.node.node else {}
        return admit(pod, self.workers.active_pods(), self.facts.allocatable, labels)

    def _probe_event(self, pod: Object, container: str, type_: str, reason: str, message: str) -> None:
        self.shared.container_event(pod, container, type_, reason, message)
