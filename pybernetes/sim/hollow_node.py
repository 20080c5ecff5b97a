"""A hollow node: it registers, sends heartbeats and tells of pods what a kubelet would, but runs nothing.

As upstream's kubemark, for tests of everything but the node: a pod is Running and Ready a moment after it was bound, and gone a
moment after it was deleted. Thousands of them fit into one process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from pybernetes.client.informer import Informer
from pybernetes.client.rest import Client, PatchType
from pybernetes.client.workqueue import WorkQueue
from pybernetes.machinery.clock import Clock, rfc3339, rfc3339_micro
from pybernetes.machinery.entropy import Entropy, jittered
from pybernetes.machinery.errors import Conflict, NotFound, StatusError
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object, is_being_deleted, key_of, split_key, uid_of
from pybernetes.machinery.resources import LEASES, NODES, PODS

log = logger("hollow-node")

CAPACITY = {"cpu": "32", "memory": "256Gi", "pods": "110", "ephemeral-storage": "100Gi"}
LEASE_NAMESPACE = "kube-node-lease"
LEASE_S = 40
HEARTBEAT_S = 10.0
POD_START_S = 0.2
POD_STOP_S = 0.1


class HollowNode:
    """`run` until cancelled. `address` is what its pods' addresses are counted up from: a.b.c.0."""

    def __init__(
        self,
        client: Client,
        name: str,
        *,
        clock: Clock,
        entropy: Entropy,
        pod_prefix: str = "10.244.0",
        labels: Object | None = None,
    ) -> None:
        self.name = name
        self._client = client
        self._clock = clock
        self._entropy = entropy
        self._pod_prefix = pod_prefix
        self._labels = labels or {}
        self._addresses: dict[str, str] = {}  # pod uid -> its address
        self._next_address = 2
        self._pods = Informer(client, PODS, field_selector=f"spec.nodeName={name}", clock=clock, entropy=entropy)
        self._queue: WorkQueue[str] = WorkQueue(clock=clock, entropy=entropy)
        self._pods.add_handler(self._enqueue, lambda old, new: self._enqueue(new), None)

    def _enqueue(self, pod: Object) -> None:
        self._queue.add(key_of(pod))

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            await self._register()
            group.create_task(self._heartbeat())
            group.create_task(self._pods.run())
            group.create_task(self._work())

    async def _register(self) -> None:
        now = rfc3339(self._clock.now())
        node: Object = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": self.name,
                "labels": {"kubernetes.io/hostname": self.name, "kubernetes.io/os": "linux", **self._labels},
            },
            "status": {
                "capacity": CAPACITY,
                "allocatable": CAPACITY,
                "conditions": [
                    {
                        "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "hollow",
                        "lastHeartbeatTime": now, "lastTransitionTime": now,
                    }
                ],
            },
        }  # fmt: skip
        await self._client.create(NODES, node)

    async def _heartbeat(self) -> None:
        while True:
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
                await _tolerating(self._client.create(LEASES, lease))
            except (OSError, StatusError) as error:
                log.debug("Heartbeat failed", node=self.name, err=error)
            await self._clock.sleep(jittered(HEARTBEAT_S, self._entropy, factor=0.04))

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                key = await self._queue.get()
                group.create_task(self._sync(key))

    async def _sync(self, key: str) -> None:
        try:
            pod = self._pods.get(*split_key(key))
            if pod is not None:
                await self._sync_pod(pod)
            self._queue.forget(key)
        except (NotFound, Conflict):
            pass  # it changed meanwhile, which will wake us again
        except (OSError, StatusError) as error:
            log.debug("Pod sync failed", pod=key, err=error)
            self._queue.add_rate_limited(key)
        finally:
            self._queue.done(key)

    async def _sync_pod(self, pod: Object) -> None:
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        if is_being_deleted(pod):
            await self._clock.sleep(POD_STOP_S)
            self._addresses.pop(uid_of(pod), None)
            await self._client.delete(PODS, name, namespace, uid=uid_of(pod), grace_period_s=0)
        elif pod.get("status", {}).get("phase") not in ("Running", "Succeeded", "Failed"):
            await self._clock.sleep(jittered(POD_START_S, self._entropy))
            await self._client.patch(
                PODS, name, namespace, {"status": self._running(pod)}, PatchType.MERGE, subresource="status"
            )

    def _running(self, pod: Object) -> Object:
        now = rfc3339(self._clock.now())
        if uid_of(pod) not in self._addresses:
            self._addresses[uid_of(pod)] = f"{self._pod_prefix}.{self._next_address}"
            self._next_address += 1
        address = self._addresses[uid_of(pod)]
        kinds = ("PodScheduled", "PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready")
        return {
            "phase": "Running",
            "startTime": now,
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [{"type": kind, "status": "True", "lastTransitionTime": now} for kind in kinds],
            "containerStatuses": [_container_status(container, now) for container in pod["spec"]["containers"]],
        }


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


async def _tolerating(request: Coroutine[Any, Any, Object]) -> None:
    """A heartbeat that is refused is followed by another."""
    try:
        await request
    except (OSError, StatusError) as error:
        log.debug("Heartbeat failed", err=error)
