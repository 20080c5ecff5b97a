"""Two API servers side by side on one etcd, or on `pyb etcd`, are one API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest

from pybernetes.apiserver.authentication import Options as AuthenticationOptions
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.options import Options
from pybernetes.apiserver.server import ApiServer
from pybernetes.apiserver.storage import open_store
from pybernetes.client.rest import Client
from pybernetes.client.transport import InProcessTransport
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.machinery.errors import AlreadyExists, Conflict
from pybernetes.machinery.meta import Object
from pybernetes.machinery.resources import CONFIG_MAPS, EVENTS, NAMESPACES
from tests.component.store.etcd_server import EtcdServer

TOKEN = "test-admin"
READY_TIMEOUT_S = 60


@asynccontextmanager
async def api_server(etcd_url: str, tokens: Path) -> AsyncIterator[Client]:
    """A client of a server of its own."""
    clock, entropy = SystemClock(), SystemEntropy()
    store = await open_store(Options(etcd_servers=(etcd_url,)), clock=clock, entropy=entropy)
    config = Config(authentication=AuthenticationOptions(token_auth_file=tokens))
    api = ApiServer(store, clock=clock, entropy=entropy, config=config)
    running = asyncio.create_task(api.run())
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            await asyncio.wait([running, ready := asyncio.create_task(api.wait_ready())], return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
            await ready
        yield Client(InProcessTransport(api.handle, headers={"authorization": f"Bearer {TOKEN}"}))
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await api.close()
        await store.close()


@pytest.fixture(params=["etcd", "pyb_etcd"])
def server(request: pytest.FixtureRequest) -> EtcdServer:
    server: EtcdServer = request.getfixturevalue(request.param)
    server.empty()
    return server


@pytest.fixture
async def clients(server: EtcdServer, tmp_path: Path) -> AsyncIterator[tuple[Client, Client]]:
    tokens = tmp_path / "tokens.csv"
    tokens.write_text(f'{TOKEN},admin,admin,"system:masters"\n')
    async with AsyncExitStack() as stack:
        # Both make what every cluster has, at the same time.
        entering = [stack.enter_async_context(api_server(server.url, tokens)) for _ in range(2)]
        one, other = await asyncio.gather(*entering)
        yield one, other


def config_map(name: str, **data: str) -> Object:
    return {"metadata": {"name": name, "namespace": "default"}, "data": data}


async def test_what_one_server_answers_the_other_has(clients: tuple[Client, Client]) -> None:
    one, other = clients
    for number in range(20):
        made = await one.create(CONFIG_MAPS, config_map(f"c{number}"))
        assert await other.get(CONFIG_MAPS, f"c{number}", "default") == made
        one, other = other, one
    listed = await other.list(CONFIG_MAPS, "default", resource_version=made["metadata"]["resourceVersion"])
    assert {item["metadata"]["name"] for item in listed["items"]} >= {f"c{number}" for number in range(20)}


async def test_of_two_who_create_one_object_one_is_refused_and_stale_updates_conflict(clients: tuple[Client, Client]) -> None:
    one, other = clients
    answers = await asyncio.gather(*(client.create(CONFIG_MAPS, config_map("c")) for client in clients), return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == [AlreadyExists.__name__, "dict"]
    made = await one.get(CONFIG_MAPS, "c", "default")
    await other.update(CONFIG_MAPS, {**made, "data": {"by": "other"}})
    with pytest.raises(Conflict):
        await one.update(CONFIG_MAPS, {**made, "data": {"by": "one"}})


async def test_patches_through_both_servers_at_once_all_count(clients: tuple[Client, Client]) -> None:
    await clients[0].create(CONFIG_MAPS, config_map("c"))
    patches = [clients[number % 2].patch(CONFIG_MAPS, "c", "default", {"data": {f"k{number}": "v"}}) for number in range(4)]
    await asyncio.gather(*patches)
    assert len((await clients[0].get(CONFIG_MAPS, "c", "default"))["data"]) == 4


async def test_a_watch_goes_on_at_the_other_server_from_where_it_was(clients: tuple[Client, Client]) -> None:
    one, other = clients
    version = (await one.list(CONFIG_MAPS, "default"))["metadata"]["resourceVersion"]
    await one.create(CONFIG_MAPS, config_map("a"))
    await other.create(CONFIG_MAPS, config_map("b"))
    await one.create(CONFIG_MAPS, config_map("c"))
    names: list[str] = []
    for client in (one, other, one):
        async with asyncio.timeout(10):
            async for event in client.watch(CONFIG_MAPS, "default", resource_version=version):
                if event.object["metadata"]["name"] == "kube-root-ca.crt":
                    continue
                names.append(event.object["metadata"]["name"])
                version = event.object["metadata"]["resourceVersion"]
                break
    assert names == ["a", "b", "c"]


async def test_events_are_kept_under_leases_of_etcd(clients: tuple[Client, Client], server: EtcdServer) -> None:
    event = {
        "metadata": {"name": "e", "namespace": "default"}, "reason": "Testing", "message": "", "type": "Normal",
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"},
        "firstTimestamp": None, "lastTimestamp": None, "source": {"component": "test"},
    }  # fmt: skip
    await clients[0].create(EVENTS, event)
    assert await clients[1].get(EVENTS, "e", "default")
    leases = server.ctl("lease", "list").split()[3:]
    assert any("/registry/events/default/e" in server.ctl("lease", "timetolive", "--keys", lease) for lease in leases)


async def test_every_cluster_has_its_namespaces_once(clients: tuple[Client, Client]) -> None:
    one, other = [(await client.list(NAMESPACES))["items"] for client in clients]
    assert one == other
    assert {item["metadata"]["name"] for item in one} >= {"default", "kube-system"}
