"""Time from a pod's POST to its Ready condition on a watch: `python tests/bench/cluster_pods.py [N] [BURST]`.

N pods one after another, then BURST at once. One container, image present, on a cluster of one node.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time

import uvloop
from cluster_scratch import scratch

from pybernetes.cli.images import BUSYBOX_IMAGE
from pybernetes.client import kubeconfig
from pybernetes.client.rest import Client
from pybernetes.machinery.meta import Object, condition
from pybernetes.machinery.resources import PODS, SERVICE_ACCOUNTS

NAMESPACE = "default"


def pod(name: str) -> Object:
    container = {"name": "c", "image": BUSYBOX_IMAGE, "command": ["sleep", "3600"]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "bench"}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]},
    }


class Watch:
    """When each pod was first seen Ready, and when it was gone."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.ready: dict[str, float] = {}
        self.gone: dict[str, float] = {}
        self._changed = asyncio.Event()

    async def run(self) -> None:
        async for type_, seen in self._client.watch(PODS, NAMESPACE, label_selector="app=bench"):
            name = seen["metadata"].get("name", "")
            ready = condition(seen.get("status", {}).get("conditions"), "Ready")
            if ready is not None and ready["status"] == "True":
                self.ready.setdefault(name, time.monotonic())
            if type_ == "DELETED":
                self.gone[name] = time.monotonic()
            self._changed.set()

    async def until(self, times: dict[str, float], name: str) -> float:
        async with asyncio.timeout(60):
            while name not in times:
                self._changed.clear()
                await self._changed.wait()
        return times[name]


async def start(client: Client, name: str) -> float:
    began = time.monotonic()
    await client.create(PODS, pod(name), NAMESPACE)
    return began


async def bench(path: str, alone: int, burst: int) -> None:
    client = kubeconfig.connect(path)
    while True:
        listed = await client.list(SERVICE_ACCOUNTS, NAMESPACE)
        if listed["items"]:
            break
        await asyncio.sleep(0.1)
    watch = Watch(client)
    watching = asyncio.create_task(watch.run())
    await asyncio.sleep(0.5)
    up, down = [], []
    for number in range(alone):
        name = f"alone-{number}"
        began = await start(client, name)
        up.append(await watch.until(watch.ready, name) - began)
        began = time.monotonic()
        await client.delete(PODS, name, NAMESPACE)
        down.append(await watch.until(watch.gone, name) - began)
        await asyncio.sleep(0.3)  # the runtime clears up after the pod; the next one is to be alone
    tell(f"{alone} pods, one after another", up)
    tell("  their deletion", down)
    names = [f"burst-{number}" for number in range(burst)]
    began = time.monotonic()
    starts = dict(zip(names, await asyncio.gather(*(start(client, name) for name in names)), strict=True))
    times = [await watch.until(watch.ready, name) - starts[name] for name in names]
    tell(f"{burst} pods at once", times)
    print(f"  all Ready after {max(watch.ready[name] for name in names) - began:.2f} s")
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await client.close()


def tell(what: str, times: list[float]) -> None:
    ordered = sorted(times)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    print(f"{what}: p50 {statistics.median(ordered):.3f} s, p99 {p99:.3f} s, min {ordered[0]:.3f} s")


def main() -> None:
    alone = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    burst = int(sys.argv[2]) if len(sys.argv) > 2 else 30
    with scratch() as cluster:
        cluster.pyb("up")
        time.sleep(2)
        uvloop.run(bench(str(cluster.kubeconfig), alone, burst))


if __name__ == "__main__":
    main()
