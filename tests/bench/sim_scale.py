"""How long it really takes to simulate a large cluster: 1,000 hollow nodes, 3,000 pods of 30 Deployments, then quiet minutes.

`python -m tests.bench.sim_scale [NODES [PODS]]`
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time

from pybernetes.machinery import pods
from pybernetes.machinery.meta import Object
from pybernetes.machinery.resources import DEPLOYMENTS, PODS
from pybernetes.sim.cluster import SimulatedCluster, simulate

DEPLOYMENT_COUNT = 30
QUIET_S = 120.0


def deployment(number: int, replicas: int) -> Object:
    labels = {"app": f"app-{number}"}
    container = {"name": "c", "image": "app:1", "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    metadata = {"name": f"app-{number}", "namespace": "default"}
    return {"kind": "Deployment", "apiVersion": "apps/v1", "metadata": metadata, "spec": spec}


class Stopwatch:
    def __init__(self) -> None:
        self.began_s = self.last_s = time.perf_counter()

    def lap(self, what: str, cluster: SimulatedCluster) -> None:
        now_s = time.perf_counter()
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{what:<34} {now_s - self.last_s:7.2f} s real   at {cluster.clock.monotonic():8.2f} s virtual"
            f"   {len(cluster.history):7} changes   {peak_mb:6.0f} MB at most",
            flush=True,
        )
        self.last_s = now_s


def main(nodes: int, pod_count: int) -> None:
    watch = Stopwatch()

    async def scenario(cluster: SimulatedCluster) -> None:
        watch.lap(f"{nodes} nodes Ready", cluster)
        wanted = [deployment(number, pod_count // DEPLOYMENT_COUNT) for number in range(DEPLOYMENT_COUNT)]
        await asyncio.gather(*(cluster.client.create(DEPLOYMENTS, each) for each in wanted))

        def all_ready() -> bool:
            found = cluster.list(PODS)
            return len(found) == pod_count // DEPLOYMENT_COUNT * DEPLOYMENT_COUNT and all(map(pods.is_ready, found))

        await cluster.until(all_ready, 600, every_s=1)
        watch.lap(f"{pod_count} pods Ready", cluster)
        await cluster.passes(QUIET_S)
        watch.lap(f"{QUIET_S:.0f} quiet seconds", cluster)
        cluster.check()
        watch.lap("checked", cluster)

    simulate(scenario, nodes=nodes, detect_mutations=False)
    print(f"{'all':<34} {time.perf_counter() - watch.began_s:7.2f} s real")


if __name__ == "__main__":
    main(*(int(argument) for argument in (sys.argv[1:] + ["1000", "3000"][len(sys.argv) - 1 :])))
