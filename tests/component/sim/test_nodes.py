"""A node that dies: its pods stay where they are for the five minutes that they tolerate, then others take their place."""

from __future__ import annotations

import pytest

from pybernetes.machinery import pods
from pybernetes.machinery.meta import condition, is_being_deleted, name_of
from pybernetes.machinery.resources import DEPLOYMENTS, NODES, PODS
from pybernetes.sim.cluster import SimulatedCluster, simulate
from tests.component.sim.workloads import deployment, orphans, rolled_out

GRACE_S = 50  # of the node lifecycle controller, before silence counts
TOLERATED_S = 300  # the default toleration of unreachable nodes


def on(cluster: SimulatedCluster, node: str) -> list[str]:
    """The active pods on a node."""
    return [name_of(pod) for pod in cluster.list(PODS) if pod["spec"].get("nodeName") == node and pods.is_active(pod)]


def ready_status(cluster: SimulatedCluster, node: str) -> str:
    found = cluster.get(NODES, node)
    assert found is not None
    ready = condition(found["status"]["conditions"], "Ready")
    assert ready is not None
    return str(ready["status"])


async def lose_a_node(cluster: SimulatedCluster) -> tuple[list[str], float]:
    """A Deployment of six on three nodes, one of which dies: (its pods, when)."""
    await cluster.client.create(DEPLOYMENTS, deployment(6))
    await cluster.until(lambda: rolled_out(cluster))
    lost = on(cluster, "node-1")
    assert lost
    cluster.kill("node-1")
    return lost, cluster.clock.monotonic()


def test_its_pods_are_evicted_after_five_minutes_and_run_elsewhere() -> None:
    async def scenario(cluster: SimulatedCluster) -> None:
        lost, died_s = await lose_a_node(cluster)
        await cluster.until(lambda: ready_status(cluster, "node-1") == "Unknown", 120)
        marked_s = cluster.clock.monotonic()
        assert GRACE_S - 10 <= marked_s - died_s <= GRACE_S + 5
        assert on(cluster, "node-1") == lost, "not evicted yet"
        assert not any(pods.is_ready(pod) for pod in cluster.list(PODS) if name_of(pod) in lost)
        await cluster.until(lambda: not on(cluster, "node-1"), TOLERATED_S + 10)
        # The taint's time is in whole seconds.
        assert TOLERATED_S - 1 <= cluster.clock.monotonic() - marked_s <= TOLERATED_S + 2
        await cluster.until(lambda: rolled_out(cluster), 10)
        assert len(on(cluster, "node-2")) + len(on(cluster, "node-3")) == 6
        # Nobody can say that they ended: they are kept, as terminating, until their node is back or gone.
        assert sorted(name_of(pod) for pod in cluster.list(PODS) if is_being_deleted(pod)) == sorted(lost)
        cluster.check()

    simulate(scenario, nodes=3)


def test_a_node_that_comes_back_finishes_what_was_deleted_meanwhile() -> None:
    async def scenario(cluster: SimulatedCluster) -> None:
        await lose_a_node(cluster)
        await cluster.passes(GRACE_S + TOLERATED_S + 30)
        cluster.start("node-1")
        await cluster.until(lambda: len(cluster.list(PODS)) == 6, 30)
        await cluster.until(lambda: not (cluster.get(NODES, "node-1") or {})["spec"].get("taints"), 30)
        assert on(cluster, "node-1") == []
        assert orphans(cluster) == []

    simulate(scenario, nodes=3)


def test_a_node_that_comes_back_in_time_keeps_its_pods() -> None:
    async def scenario(cluster: SimulatedCluster) -> None:
        await cluster.client.create(DEPLOYMENTS, deployment(6))
        await cluster.until(lambda: rolled_out(cluster))
        before = on(cluster, "node-1")
        cluster.sever("node-1")
        await cluster.until(lambda: ready_status(cluster, "node-1") == "Unknown", 120)
        await cluster.passes(TOLERATED_S - 60)
        cluster.mend("node-1")
        await cluster.passes(TOLERATED_S)
        assert rolled_out(cluster)
        assert on(cluster, "node-1") == before
        assert ready_status(cluster, "node-1") == "True"

    simulate(scenario, nodes=3)


def test_a_deleted_node_takes_its_pods_with_it() -> None:
    async def scenario(cluster: SimulatedCluster) -> None:
        await lose_a_node(cluster)
        await cluster.client.delete(NODES, "node-1")
        await cluster.until(lambda: not on(cluster, "node-1"), 120)
        await cluster.until(lambda: rolled_out(cluster), 120)
        await cluster.until(lambda: len(cluster.list(PODS)) == 6, 120)
        assert on(cluster, "node-1") == []

    simulate(scenario, nodes=3)


@pytest.mark.parametrize("seed", range(3))
def test_pods_wait_for_a_node_that_has_room_and_go_there_once_it_comes(seed: int) -> None:
    async def scenario(cluster: SimulatedCluster) -> None:
        await cluster.client.create(DEPLOYMENTS, deployment(150))
        await cluster.passes(60)
        waiting = [pod for pod in cluster.list(PODS) if not pod["spec"].get("nodeName")]
        assert len(waiting) == 40, "a node takes 110"
        cluster.add_node()
        await cluster.until(lambda: rolled_out(cluster), 60)
        addresses = {pod["status"]["podIP"] for pod in cluster.list(PODS)}
        assert len(addresses) == 150

    simulate(scenario, seed=seed, nodes=1)
