"""Keeps the Node object and the node's Lease: registration, heartbeats, conditions.

Until the node is ready, its readiness is looked at many times a second (a new cluster waits for nothing else); after that,
every node-status-update-frequency. The status is written when it changed, else every node-status-report-frequency; that the
node lives is told by its Lease (KEP-589).
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from pybernetes.client.rest import Client, PatchType
from pybernetes.client.transport import ConnectionFailed
from pybernetes.kubelet import cni
from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.cri.client import Runtime, RuntimeFailed
from pybernetes.kubelet.node_facts import MachineFacts, disk_bytes, meminfo
from pybernetes.kubelet.node_status import NodeSeen, allocatable, capacity, differs, node_object, node_status
from pybernetes.kubelet.shared import NodeFacts
from pybernetes.machinery import errors
from pybernetes.machinery.clock import Clock, rfc3339_micro
from pybernetes.machinery.entropy import Entropy, jittered
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object, condition, uid_of
from pybernetes.machinery.quantity import parse
from pybernetes.machinery.resources import LEASES, NODES

log = logger("kubelet.node")

LEASE_NAMESPACE = "kube-node-lease"
RENEW_PART = 0.25  # of the lease's duration, as upstream
EAGER_S = 0.05  # between looks at a runtime that is not ready yet
EAGER_FOR_S = 60.0
RETRY_FIRST_S = 0.1
RETRY_MAX_S = 5.0
IMAGES_PERIOD_S = 300.0
API_PROBLEMS = (errors.StatusError, ConnectionFailed)


class NodeManager:
    """`facts.allocatable` and `facts.runtime_name` are filled in here."""

    def __init__(
        self,
        client: Client,
        runtime: Runtime,
        configuration: Configuration,
        machine: MachineFacts,
        facts: NodeFacts,
        *,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._client = client
        self._runtime = runtime
        self._configuration = configuration
        self._machine = machine
        self._facts = facts
        self._clock = clock
        self._entropy = entropy
        self.node: Object | None = None  # as the API last showed it
        self.ready = False
        self._registered = asyncio.Event()
        self._changed = asyncio.Event()
        self._written_at = float("-inf")
        self._images_at = float("-inf")
        self._images: list[tuple[tuple[str, ...], int]] = []
        self._handlers: list[Object] = []
        self._runtime_version = ""
        self._cni_done: list[str] = []
        total, _ = disk_bytes(Path(configuration.root_dir))
        free = allocatable(configuration, capacity(configuration, machine, total))
        facts.allocatable = {name: parse(text) for name, text in free.items()}

    def saw(self, node: Object) -> None:
        """The API shows our Node so."""
        self.node = node
        self._changed.set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._lease_forever(), name="node-lease")
            tasks.create_task(self._status_forever(), name="node-status")

    # Registration and status

    async def _status_forever(self) -> None:
        delay_s = RETRY_FIRST_S
        began = self._clock.monotonic()
        while True:
            try:
                await self._set_up_network()
                await self._update()
                delay_s = RETRY_FIRST_S
            except (*API_PROBLEMS, OSError) as error:
                log.warning("Cannot update the node", error=str(error))
                await self._clock.sleep(jittered(delay_s, self._entropy))
                delay_s = min(delay_s * 2, RETRY_MAX_S)
                continue
            eager = not self.ready and self._clock.monotonic() - began < EAGER_FOR_S
            wait_s = EAGER_S if eager else self._configuration.node_status_update_frequency_s
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._changed.clear()

    async def _update(self) -> None:
        old = (self.node or {}).get("status") or {}
        seen = await self._look()
        status = node_status(self._facts.name, self._configuration, self._machine, self._facts.host_ips, seen, old)
        # The Node may be there from before a restart, and have been seen before we got here.
        if self.node is None or not self._registered.is_set():
            await self._register(status)
            assert self.node is not None
            old = self.node.get("status") or {}
            status = node_status(self._facts.name, self._configuration, self._machine, self._facts.host_ips, seen, old)
        now = self._clock.monotonic()
        due = now - self._written_at >= self._configuration.node_status_report_frequency_s
        if due or differs(old, status):
            self.node = await self._client.patch(
                NODES, self._facts.name, "", {"status": status}, PatchType.STRATEGIC, subresource="status"
            )
            self._written_at = now
        ready = condition(status["conditions"], "Ready")
        self.ready = ready is not None and ready["status"] == "True"

    async def _register(self, status: Object) -> None:
        node = {**node_object(self._facts.name, self._configuration, self._machine), "status": status}
        try:
            if not self._configuration.register_node:
                self.node = await self._client.get(NODES, self._facts.name)
            else:
                self.node = await self._client.create(NODES, node)
                log.info("Registered the node", node=self._facts.name)
        except errors.AlreadyExists:
            self.node = await self._client.get(NODES, self._facts.name)
            labels = self.node["metadata"].get("labels") or {}
            missing = {key: value for key, value in node["metadata"]["labels"].items() if labels.get(key) != value}
            if missing:
                self.node = await self._client.patch(NODES, self._facts.name, "", {"metadata": {"labels": missing}})
        self._registered.set()

    async def _look(self) -> NodeSeen:
        runtime_problem = network_problem = ""
        try:
            if not self._runtime_version:
                version = await self._runtime.version()
                self._runtime_version = f"{version.runtime_name}://{version.runtime_version.lstrip('v')}"
                self._facts.runtime_name = version.runtime_name
            answer = await self._runtime.status()
            for entry in answer.status.conditions:
                text = f"{entry.type}=false reason:{entry.reason} message:{entry.message}"
                if not entry.status and entry.type == "RuntimeReady":
                    runtime_problem = f"container runtime not ready: {text}"
                elif not entry.status and entry.type == "NetworkReady":
                    network_problem = text
            self._handlers = [
                {
                    "name": handler.name,
                    "features": {
                        "recursiveReadOnlyMounts": handler.features.recursive_read_only_mounts,
                        "userNamespaces": handler.features.user_namespaces,
                    },
                }
                for handler in answer.runtime_handlers
            ]
            now = self._clock.monotonic()
            if now - self._images_at > IMAGES_PERIOD_S:
                self._images = [
                    ((*image.repo_digests, *image.repo_tags), image.size) for image in await self._runtime.list_images()
                ]
                self._images_at = now
        except RuntimeFailed as error:
            runtime_problem = f"container runtime is down: {error}"
        total, available = disk_bytes(Path(self._configuration.root_dir))
        return NodeSeen(
            now=self._clock.now(),
            runtime_problem=runtime_problem,
            network_problem=network_problem,
            runtime_version=self._runtime_version,
            memory_available=meminfo().get("MemAvailable", 0),
            disk_total=total,
            disk_available=available,
            images=self._images,
            runtime_handlers=self._handlers,
        )

    async def _set_up_network(self) -> None:
        """Once the node has its podCIDR, and if it is for us to do."""
        if not self._configuration.cni_conf_dir or self.node is None:
            return
        spec = self.node.get("spec") or {}
        cidrs = spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])
        if cidrs and cidrs != self._cni_done:
            leases = Path(self._configuration.root_dir, "cni")
            await cni.set_up(Path(self._configuration.cni_conf_dir), leases, cidrs, self._configuration.cluster_cidrs)
            self._cni_done = list(cidrs)

    # The lease

    async def _lease_forever(self) -> None:
        await self._registered.wait()
        duration_s = self._configuration.node_lease_duration_seconds
        lease: Object | None = None
        delay_s = RETRY_FIRST_S
        while True:
            try:
                lease = await self._renew(lease)
                delay_s = RETRY_FIRST_S
            except API_PROBLEMS as error:
                log.warning("Cannot renew the node's lease", error=str(error))
                lease = None
                await self._clock.sleep(jittered(delay_s, self._entropy))
                delay_s = min(delay_s * 2, RETRY_MAX_S)
                continue
            await self._clock.sleep(jittered(duration_s * RENEW_PART, self._entropy, factor=0.04))

    async def _renew(self, lease: Object | None) -> Object:
        name, now = self._facts.name, rfc3339_micro(self._clock.now())
        if lease is None:
            try:
                lease = await self._client.get(LEASES, name, LEASE_NAMESPACE)
            except errors.NotFound:
                return await self._client.create(LEASES, self._new_lease(now))
        spec = {
            **(lease.get("spec") or {}),
            "holderIdentity": name,
            "leaseDurationSeconds": self._configuration.node_lease_duration_seconds,
            "renewTime": now,
        }
        return await self._client.update(LEASES, {**lease, "spec": spec})

    def _new_lease(self, now: str) -> Object:
        assert self.node is not None
        name = self._facts.name
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": name,
                "namespace": LEASE_NAMESPACE,
                "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid_of(self.node)}],
            },
            "spec": {
                "holderIdentity": name,
                "leaseDurationSeconds": self._configuration.node_lease_duration_seconds,
                "renewTime": now,
            },
        }
