"""A hollow node: it registers, sends heartbeats and tells of pods what a kubelet would, but runs nothing.

As upstream's kubemark, for tests of everything but the node: a pod is Running and Ready a moment after it was bound, and gone a
moment after it was deleted. Thousands of them fit into one process.

    pod bound        -> starts within POD_START_S …  -> phase Running, Ready
    pod being deleted -> stops within POD_STOP_S      -> deleted for good
    node marked as not Ready by others (it was silent) -> says that it is Ready
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping

from pybernetes.client.informer import Informer
from pybernetes.client.rest import Client, PatchType
from pybernetes.client.workqueue import WorkQueue
from pybernetes.machinery import pods
from pybernetes.machinery.clock import Clock, rfc3339, rfc3339_micro
from pybernetes.machinery.entropy import Entropy, jittered
from pybernetes.machinery.errors import AlreadyExists, Conflict, NotFound, StatusError
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object, condition, is_being_deleted, key_of, split_key, uid_of
from pybernetes.machinery.resources import LEASES, NODES, PODS

log = logger("hollow-node")

CAPACITY = {"cpu": "32", "memory": "256Gi", "pods": "110", "ephemeral-storage": "100Gi"}
LEASE_NAMESPACE = "kube-node-lease"
LEASE_S = 40
HEARTBEAT_S = 10.0
AGAIN_S = 1.0  # between tries to reach the API server, and up to twice that
POD_START_S = 0.2  # and up to twice that
POD_STOP_S = 0.1
NODE = ""  # the key of the node itself, among those of pods


class HollowNode:
    """`run` until cancelled; it may be killed anywhere and started anew under its name, when it takes over what is there.

    `pod_prefix` is what its pods' addresses start with: a.b.c.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        *,
        clock: Clock,
        entropy: Entropy,
        pod_prefix: str = "10.244.0",
        labels: Mapping[str, str] | None = None,
        capacity: Mapping[str, str] = CAPACITY,
    ) -> None:
        self.name = name
        self._client = client
        self._clock = clock
        self._entropy = entropy
        self._pod_prefix = pod_prefix
        self._labels = labels or {}
        self._capacity = dict(capacity)
        self._queue: WorkQueue[str] = WorkQueue(clock=clock, entropy=entropy)
        self._nodes = Informer(client, NODES, field_selector=f"metadata.name={name}", clock=clock, entropy=entropy)
        self._nodes.add_handler(lambda node: self._queue.add(NODE), lambda old, new: self._queue.add(NODE))
        self._pods = Informer(client, PODS, field_selector=f"spec.nodeName={name}", clock=clock, entropy=entropy)
        self._pods.add_handler(self._wake, lambda old, new: self._wake(new), self._gone)
        self._addresses: dict[str, str] = {}  # pod uid -> address that we gave it

    def _wake(self, pod: Object) -> None:
        self._queue.add(key_of(pod))

    def _gone(self, pod: Object) -> None:
        self._addresses.pop(uid_of(pod), None)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            await self._register()
            group.create_task(self._heartbeat())
            group.create_task(self._nodes.run())
            group.create_task(self._pods.run())
            await self._nodes.wait_synced()
            await self._pods.wait_synced()  # before the first address is given, those that are taken must be known
            while True:
                key = await self._queue.get()
                group.create_task(self._sync(key))

    async def _register(self) -> None:
        node: Object = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": self.name,
                "labels": {"kubernetes.io/hostname": self.name, "kubernetes.io/os": "linux", **self._labels},
            },
            "status": {"capacity": self._capacity, "allocatable": self._capacity, "conditions": [self._ready()]},
        }
        while True:
            try:
                await self._client.create(NODES, node)
                return
            except AlreadyExists:
                return  # we were here before
            except (OSError, StatusError) as error:
                log.debug("Registering failed", node=self.name, err=error)
                await self._clock.sleep(jittered(AGAIN_S, self._entropy))

    def _ready(self) -> Object:
        now = rfc3339(self._clock.now())
        times = {"lastHeartbeatTime": now, "lastTransitionTime": now}
        return {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "hollow", **times}

    async def _heartbeat(self) -> None:
        while True:
            pause_s = jittered(HEARTBEAT_S, self._entropy, factor=0.04)
            try:
                await self._renew()
            except (OSError, StatusError) as error:
                log.debug("Heartbeat failed", node=self.name, err=error)
                pause_s = jittered(AGAIN_S, self._entropy)
            await self._clock.sleep(pause_s)

    async def _renew(self) -> None:
        renewed = {
            "renewTime": rfc3339_micro(self._clock.now()),
            "holderIdentity": self.name,
            "leaseDurationSeconds": LEASE_S,
        }
        try:
            await self._client.patch(LEASES, self.name, LEASE_NAMESPACE, {"spec": renewed}, PatchType.MERGE)
        except NotFound:
            lease = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": self.name, "namespace": LEASE_NAMESPACE},
                "spec": renewed,
            }
            await self._client.create(LEASES, lease)

    async def _sync(self, key: str) -> None:
        try:
            if key == NODE:
                await self._sync_node()
            elif (pod := self._pods.get(*split_key(key))) is not None:
                await self._sync_pod(pod)
            self._queue.forget(key)
        except (NotFound, Conflict):
            pass  # it changed meanwhile, which will wake us again
        except (OSError, StatusError) as error:
            log.debug("Sync failed", node=self.name, pod=key, err=error)
            self._queue.add_rate_limited(key)
        finally:
            self._queue.done(key)

    async def _sync_node(self) -> None:
        node = self._nodes.get("", self.name)
        if node is None:
            return  # deleted: as a kubelet, it registers when it starts and not again
        ready = condition((node.get("status") or {}).get("conditions"), "Ready")
        if ready is None or ready["status"] != "True":
            change = {"status": {"conditions": [self._ready()]}}
            await self._client.patch(NODES, self.name, "", change, PatchType.STRATEGIC, subresource="status")

    async def _sync_pod(self, pod: Object) -> None:
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        if is_being_deleted(pod):
            await self._clock.sleep(POD_STOP_S)
            await self._client.delete(PODS, name, namespace, uid=uid_of(pod), grace_period_s=0)
        elif not pods.is_terminal(pod) and not pods.is_ready(pod):
            if not pod["status"].get("podIP"):
                await self._clock.sleep(jittered(POD_START_S, self._entropy))
            # The uid makes the server refuse a namesake.
            change = {"metadata": {"uid": uid_of(pod)}, "status": self._running(pod)}
            await self._client.patch(PODS, name, namespace, change, PatchType.MERGE, subresource="status")

    def _running(self, pod: Object) -> Object:
        now = rfc3339(self._clock.now())
        before = pod["status"]
        address = before.get("podIP") or self._addresses.setdefault(uid_of(pod), self._free_address())
        kinds = ("PodScheduled", "PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready")
        return {
            "phase": "Running",
            "startTime": before.get("startTime") or now,
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [{"type": kind, "status": "True", "lastTransitionTime": now} for kind in kinds],
            "containerStatuses": [_container_status(container, now) for container in pod["spec"]["containers"]],
        }

    def _free_address(self) -> str:
        """The lowest address that none of the node's pods has, or was given and cannot be seen to have yet."""
        taken = {pod["status"].get("podIP", "") for pod in self._pods.list()} | {*self._addresses.values()}
        number = next(number for number in itertools.count(2) if f"{self._pod_prefix}.{number}" not in taken)
        return f"{self._pod_prefix}.{number}"


def _container_status(container: Object, now: str) -> Object:
    return {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": "",
        "ready": True,
        "started": True,
        "restartCount": 0,
        "state": {"running": {"startedAt": now}},
    }
