"""The simulated cluster as a tool: parts, connections, waiting, and what is said when something goes wrong."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pybernetes.client.informer import Informer
from pybernetes.client.transport import ConnectionFailed
from pybernetes.machinery.errors import Forbidden
from pybernetes.machinery.resources import CONFIG_MAPS, NAMESPACES, NODES, SECRETS
from pybernetes.sim.cluster import API_SERVER, NotInTime, Part, PartEnded, SimulatedCluster, simulate
from pybernetes.sim.faults import Faults
from pybernetes.sim.history import Verb


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, "namespace": "default"}, "data": data}


async def copy_config_maps(part: Part) -> None:
    """An operator of a user's: keeps a copy of each ConfigMap that asks for one."""
    informer = Informer(part.client, CONFIG_MAPS, namespace="default", clock=part.clock, entropy=part.entropy)
    wanted: asyncio.Queue[str] = asyncio.Queue()

    def saw(obj: dict[str, Any]) -> None:
        if (obj.get("data") or {}).get("copy"):
            wanted.put_nowait(obj["metadata"]["name"])

    informer.add_handler(saw)

    async def work() -> None:
        while True:
            name = await wanted.get()
            while True:
                try:
                    await part.client.create(CONFIG_MAPS, config_map(f"{name}-copy"))
                    break
                except ConnectionFailed:
                    await part.clock.sleep(1)

    async with asyncio.TaskGroup() as group:
        group.create_task(informer.run())
        group.create_task(work())


def test_a_users_operator_is_a_part_like_the_others() -> None:
    async def scenario(cluster: SimulatedCluster) -> None:
        cluster.add("copier", copy_config_maps)
        await cluster.client.create(CONFIG_MAPS, config_map("a", copy="yes"))
        await cluster.until(lambda: cluster.get(CONFIG_MAPS, "a-copy"))
        cluster.kill("copier")
        await cluster.client.create(CONFIG_MAPS, config_map("b", copy="yes"))
        await cluster.passes(10)
        assert cluster.get(CONFIG_MAPS, "b-copy") is None
        assert not cluster.runs("copier")

    simulate(scenario, nodes=0, scheduler=False)


def test_a_part_has_the_rights_of_its_user() -> None:
    async def scenario(cluster: SimulatedCluster) -> None:
        with pytest.raises(Forbidden, match='User "nobody-special" cannot list resource "secrets"'):
            await cluster.client_as("nobody-special").list(SECRETS)

    simulate(scenario, nodes=0, scheduler=False, controllers=False)


def test_a_part_that_ends_by_itself_ends_the_simulation_and_is_named() -> None:
    async def breaks(part: Part) -> None:
        await part.clock.sleep(5)
        raise KeyError("a bug")

    async def scenario(cluster: SimulatedCluster) -> None:
        cluster.add("fragile", breaks)
        await cluster.passes(3600)

    with pytest.raises(PartEnded, match="fragile") as caught:
        simulate(scenario, seed=9, nodes=0, scheduler=False, controllers=False)
    assert isinstance(caught.value.__cause__, KeyError)
    [note] = caught.value.__notes__
    assert note.startswith("simulated with seed 9, at 5.")


def test_waiting_in_vain_says_for_what_and_what_was_written_last() -> None:
    def it_rains() -> bool:
        return False

    async def scenario(cluster: SimulatedCluster) -> None:
        await cluster.client.create(CONFIG_MAPS, config_map("a"))
        await cluster.until(it_rains, 5)

    with pytest.raises(NotInTime, match=r"not within 5 s: .*it_rains(.|\n)*created  /registry/configmaps/default/a"):
        simulate(scenario, nodes=0, scheduler=False, controllers=False)


def test_what_was_acknowledged_survives_the_servers_death_whenever_it_comes() -> None:
    async def scenario(cluster: SimulatedCluster) -> None:
        acknowledged: list[str] = []

        async def write() -> None:
            for number in range(200):
                try:
                    await cluster.client.create(CONFIG_MAPS, config_map(f"cm-{number}"))
                    acknowledged.append(f"cm-{number}")
                except ConnectionFailed:
                    await cluster.clock.sleep(0.1)

        writing = asyncio.create_task(write())
        for _ in range(20):
            await cluster.clock.sleep(0.3 * cluster.entropy.random())
            cluster.kill(API_SERVER)
            cluster.start(API_SERVER)
            await cluster.until(lambda: cluster.serves)
        await writing
        kept = {obj["metadata"]["name"] for obj in cluster.list(CONFIG_MAPS, "default")}
        assert kept >= {*acknowledged}
        assert 100 < len(acknowledged) < 200, "some were lost, and some were not"
        cluster.check()

    simulate(scenario, seed=4, nodes=0, scheduler=False, controllers=False, disk_latency_s=0.02)


def test_requests_are_lost_before_or_after_they_were_served() -> None:
    async def scenario(cluster: SimulatedCluster) -> None:
        before = cluster.client_as("before", "system:masters", faults=Faults(lost_before=1.0))
        with pytest.raises(ConnectionFailed):
            await before.create(CONFIG_MAPS, config_map("before"))
        assert cluster.get(CONFIG_MAPS, "before") is None
        after = cluster.client_as("after", "system:masters", faults=Faults(lost_after=1.0))
        with pytest.raises(ConnectionFailed):
            await after.create(CONFIG_MAPS, config_map("after"))
        assert cluster.get(CONFIG_MAPS, "after") is not None
        late = cluster.client_as("late", "system:masters", faults=Faults(delay_s=2.0))
        began_s = cluster.clock.monotonic()
        await late.create(CONFIG_MAPS, config_map("late"))
        assert 0 < cluster.clock.monotonic() - began_s < 4

    simulate(scenario, nodes=0, scheduler=False, controllers=False)


def test_a_severed_part_runs_on_and_a_mended_one_catches_up() -> None:
    async def scenario(cluster: SimulatedCluster) -> None:
        cluster.add("copier", copy_config_maps)
        cluster.sever("copier")
        await cluster.client.create(CONFIG_MAPS, config_map("a", copy="yes"))
        await cluster.passes(30)
        assert cluster.runs("copier")
        assert cluster.get(CONFIG_MAPS, "a-copy") is None
        cluster.mend("copier")
        await cluster.until(lambda: cluster.get(CONFIG_MAPS, "a-copy"), 120)

    simulate(scenario, nodes=0, scheduler=False)


def test_the_history_tells_what_was_written_when() -> None:
    async def scenario(cluster: SimulatedCluster) -> None:
        await cluster.client.create(CONFIG_MAPS, config_map("a"))
        await cluster.passes(10)
        await cluster.client.patch(CONFIG_MAPS, "a", "default", {"data": {"x": "1"}})
        await cluster.client.delete(CONFIG_MAPS, "a", "default")
        told = [event for event in cluster.history if event.key == "/registry/configmaps/default/a"]
        assert [event.verb for event in told] == [Verb.CREATED, Verb.UPDATED, Verb.DELETED]
        assert told[1].at_s - told[0].at_s == pytest.approx(10)
        assert told[1].object["data"] == {"x": "1"}

    simulate(scenario, nodes=0, scheduler=False, controllers=False)


def test_a_deleted_namespace_empties_in_no_time() -> None:
    async def scenario(cluster: SimulatedCluster) -> None:
        await cluster.client.create(NAMESPACES, {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "team"}})
        await cluster.until(lambda: cluster.list(CONFIG_MAPS, "team") or cluster.get(NAMESPACES, "team", ""))
        await cluster.client.delete(NAMESPACES, "team")
        await cluster.until(lambda: cluster.get(NAMESPACES, "team", "") is None, 600)

    simulate(scenario, nodes=0, scheduler=False)


def test_nodes_have_the_labels_that_they_were_given() -> None:
    async def scenario(cluster: SimulatedCluster) -> None:
        name = cluster.add_node(labels={"disk": "ssd"})
        await cluster.until(lambda: cluster.get(NODES, name))
        assert cluster.list(NODES)[1]["metadata"]["labels"]["disk"] == "ssd"

    simulate(scenario)


def test_a_simulation_needs_virtual_time() -> None:
    async def main() -> None:
        SimulatedCluster()

    with pytest.raises(RuntimeError, match="virtual time"):
        asyncio.run(main())
