"""Lost requests and answers, parts that die at any moment, nodes that fall silent: what is wanted comes about all the same."""

from __future__ import annotations

import asyncio

import pytest

from pybernetes.client.transport import ConnectionFailed
from pybernetes.machinery import pods
from pybernetes.machinery.errors import NotFound
from pybernetes.machinery.meta import name_of
from pybernetes.machinery.resources import DEPLOYMENTS, IP_ADDRESSES, NODES, SERVICES
from pybernetes.sim.cluster import API_SERVER, SimulatedCluster, simulate
from pybernetes.sim.faults import BAD, NONE, Faults
from pybernetes.sim.havoc import Havoc, wreak
from tests.component.sim.workloads import (
    broken_promises,
    deployment,
    new_image,
    orphans,
    pods_of,
    rolled_out,
    stuck,
)

REPLICAS = 6


async def settle(cluster: SimulatedCluster, image: str) -> None:
    """The connections are good again: what is wanted comes about, and nothing else is left over."""
    cluster.disturb(NONE)
    await cluster.until(lambda: not any(node["spec"].get("taints") for node in cluster.list(NODES)), 200)
    await cluster.until(lambda: rolled_out(cluster), 600)
    await cluster.until(lambda: len(pods_of(cluster)) == REPLICAS, 120)
    found = pods_of(cluster)
    assert {pod["spec"]["containers"][0]["image"] for pod in found} == {image}
    assert all(map(pods.is_ready, found))
    addresses = {pod["status"]["podIP"] for pod in found}
    assert len(addresses) == REPLICAS
    assert orphans(cluster) == []
    assert stuck(cluster) == []
    cluster.check()
    await cluster.passes(60)  # the longest pause between two tries of a client: the last statuses are told
    before = len([event for event in cluster.history if "/leases/" not in event.key])
    await cluster.passes(120)
    after = [event for event in cluster.history if "/leases/" not in event.key]
    assert [str(event) for event in after[before:] if "/events/" not in event.key] == [], "a settled cluster rests"


@pytest.mark.parametrize("seed", range(30))
def test_a_rolling_update_keeps_its_promises_over_bad_connections_and_crashes(seed: int) -> None:
    async def scenario(cluster: SimulatedCluster) -> None:
        await cluster.client.create(DEPLOYMENTS, deployment(REPLICAS, maxSurge=2, maxUnavailable=1))
        await wreak(cluster, Havoc(), for_s=20)
        await cluster.until(lambda: rolled_out(cluster), 600)
        await cluster.client.patch(DEPLOYMENTS, "web", "default", new_image("v2"))
        await wreak(cluster, Havoc(every_s=3), for_s=60)
        await settle(cluster, "v2")
        assert broken_promises(cluster.history, max_surge=2, max_unavailable=1) == []

    simulate(scenario, seed=seed, nodes=4, faults=BAD, disk_latency_s=0.01)


@pytest.mark.parametrize("seed", range(10))
def test_nodes_that_fall_silent_lose_their_pods_to_others(seed: int) -> None:
    async def scenario(cluster: SimulatedCluster) -> None:
        await cluster.client.create(DEPLOYMENTS, deployment(REPLICAS, maxSurge=2, maxUnavailable=1))
        await cluster.until(lambda: rolled_out(cluster), 600)
        await cluster.client.patch(DEPLOYMENTS, "web", "default", new_image("v2"))
        nodes = ("node-1", "node-2", "node-3")
        await wreak(cluster, Havoc(kills=("controller-manager", *nodes), silences=nodes, every_s=60, down_s=500), for_s=1500)
        await settle(cluster, "v2")
        assert broken_promises(cluster.history, max_surge=2, max_unavailable=1, pods_too=False) == []

    simulate(scenario, seed=seed, nodes=4, faults=BAD)


@pytest.mark.parametrize("seed", range(5))
def test_addresses_of_services_are_neither_leaked_nor_lost_when_clients_go_away_and_servers_die(seed: int) -> None:
    """Found by simulation: a Service whose client went away while it was written existed without its address reserved."""

    async def scenario(cluster: SimulatedCluster) -> None:
        client = cluster.client_as("hasty", "system:masters", faults=Faults(interrupted=0.7))
        for number in range(40):
            metadata = {"name": f"web-{number}", "namespace": "default"}
            wanted = {"kind": "Service", "apiVersion": "v1", "metadata": metadata, "spec": {"ports": [{"port": 80}]}}
            for write in (client.create(SERVICES, wanted), client.delete(SERVICES, f"web-{number - 2}", "default")):
                try:
                    await write
                except (ConnectionFailed, NotFound):
                    pass
            if number % 4 == 3:
                last = {**wanted, "metadata": {**metadata, "name": f"last-{number}"}}
                dying = asyncio.ensure_future(cluster.client.create(SERVICES, last))
                await cluster.passes(0.03 * cluster.entropy.random())
                cluster.kill(API_SERVER)
                await asyncio.gather(dying, return_exceptions=True)
                cluster.start(API_SERVER)
                await cluster.until(lambda: cluster.serves)
        await cluster.passes(1)
        held = sorted(each["spec"]["clusterIP"] for each in cluster.list(SERVICES))
        assert held == sorted(name_of(each) for each in cluster.list(IP_ADDRESSES))
        assert len(held) > 5

    simulate(scenario, seed=seed, nodes=0, scheduler=False, controllers=False, disk_latency_s=0.01)
