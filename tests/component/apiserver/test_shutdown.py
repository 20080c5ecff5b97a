"""A server is told to stop, and another one goes on over the same store: nobody loses anything."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pybernetes.apiserver.authorization import Options as AuthorizationOptions
from pybernetes.apiserver.authorization import of_modes
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.server import ApiServer
from pybernetes.apiserver.shutdown import Shutdown, shut_down
from pybernetes.client.http import HttpTransport
from pybernetes.client.rest import Client
from pybernetes.client.transport import ConnectionFailed
from pybernetes.machinery import errors
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.machinery.http.messages import Request, Response
from pybernetes.machinery.http.server import Server
from pybernetes.machinery.meta import Object
from pybernetes.machinery.resources import CONFIG_MAPS
from pybernetes.store.embedded import EmbeddedStore, MemoryLog

TOKEN = "shutdown-admin"
PYB = "import sys; from pybernetes.cli.main import main; sys.exit(main())"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Cluster:
    """One data directory and port, a process at a time."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.tls = ssl._create_unverified_context()  # the certificate is made anew by each test
        (directory / "tokens.csv").write_text(f'{TOKEN},admin,admin,"system:masters"\n')
        self.processes: list[asyncio.subprocess.Process] = []

    async def start(self, *flags: str) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PYB, "apiserver", "--bind-address=127.0.0.1", f"--secure-port={self.port}",
            "--advertise-address=127.0.0.1", f"--data-dir={self.directory / 'store'}",
            f"--token-auth-file={self.directory / 'tokens.csv'}", *flags, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        self.processes.append(process)
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(ConnectionFailed):
                    if (await self.ask("/readyz")).status == 200:
                        return process
                await asyncio.sleep(0.05)

    def client(self) -> Client:
        return Client(HttpTransport(f"https://127.0.0.1:{self.port}", ssl_context=self.tls, token=TOKEN))

    async def ask(self, path: str) -> Response:
        """Over a connection of its own."""
        client = self.client()
        try:
            return await client.transport.send(Request("GET", path))
        finally:
            await client.close()


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    for process in made.processes:
        if process.returncode is None:
            process.kill()
        await process.wait()


class Writer:
    """Makes one numbered ConfigMap after the other, over and over until each is acknowledged."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster = cluster
        self._name = name
        self.acknowledged: list[str] = []
        self.unanswered: list[str] = []  # written, but nobody was told

    async def run(self) -> None:
        client = self._cluster.client()
        try:
            while True:
                await self._create(client, f"{self._name}-{len(self.acknowledged)}")
        finally:
            await client.close()

    async def _create(self, client: Client, name: str) -> None:
        while True:
            try:
                await client.create(CONFIG_MAPS, {"metadata": {"name": name, "namespace": "default"}})
            except ConnectionFailed:
                await asyncio.sleep(0.02)
            except errors.AlreadyExists:
                self.unanswered.append(name)
                self.acknowledged.append(name)
                return
            else:
                self.acknowledged.append(name)
                return


class Watcher:
    """Watches on from where it was whenever a watch ends, and lists where that is too long ago (as reflectors do).

    `ends` counts the clean ends, `breaks` the others.
    """

    def __init__(self, cluster: Cluster, revision: str) -> None:
        self._cluster = cluster
        self._revision = revision
        self.seen: list[str] = []
        self.ends = self.breaks = 0

    async def run(self) -> None:
        client = self._cluster.client()
        try:
            while True:
                try:
                    if not self._revision:
                        await self._list(client)
                    async for event in client.watch(CONFIG_MAPS, "default", resource_version=self._revision):
                        self._revision = event.object["metadata"]["resourceVersion"]
                        self.seen.append(event.object["metadata"]["name"])
                    self.ends += 1
                except ConnectionFailed:
                    self.breaks += 1
                except errors.Expired:
                    self._revision = ""
                await asyncio.sleep(0.02)
        finally:
            await client.close()

    async def _list(self, client: Client) -> None:
        found = await client.list(CONFIG_MAPS, "default")
        self._revision = found["metadata"]["resourceVersion"]
        self.seen += sorted({obj["metadata"]["name"] for obj in found["items"]} - set(self.seen))


async def test_writers_and_watchers_lose_nothing_over_a_restart(cluster: Cluster) -> None:
    first = await cluster.start()
    client = cluster.client()
    start: Object = await client.list(CONFIG_MAPS, "default")
    await client.close()
    writers = [Writer(cluster, f"w{number}") for number in range(8)]
    watcher = Watcher(cluster, start["metadata"]["resourceVersion"])
    tasks = [asyncio.create_task(one.run()) for one in (*writers, watcher)]
    try:
        await asyncio.sleep(1)
        before = sum(len(writer.acknowledged) for writer in writers)
        first.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(first.wait(), 10) == 0
        assert watcher.ends >= 1
        clean = watcher.ends
        await cluster.start()
        await asyncio.sleep(1)
        written = [name for writer in writers for name in writer.acknowledged]
        async with asyncio.timeout(10):
            while not set(written) <= set(watcher.seen):
                await asyncio.sleep(0.05)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert before > 20 and len(written) > before + 20 and clean >= 1
    assert [name for writer in writers for name in writer.unanswered] == []
    assert len(watcher.seen) == len(set(watcher.seen))  # no event twice
    client = cluster.client()
    names = {obj["metadata"]["name"] for obj in (await client.list(CONFIG_MAPS, "default"))["items"]}
    await client.close()
    assert set(written) <= names


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
async def test_writers_over_http2_are_told_of_all_that_they_wrote(cluster: Cluster) -> None:
    """What GOAWAY says was not taken was not carried out, and everything else is answered."""
    process = await cluster.start()
    script = str(Path(__file__).with_name("http2_writers.mjs"))
    writers = await asyncio.create_subprocess_exec(
        "node", script, f"https://127.0.0.1:{cluster.port}", TOKEN,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    cluster.processes.append(writers)
    await asyncio.sleep(1)
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 10) == 0
    await cluster.start()
    await asyncio.sleep(0.5)
    out, _ = await asyncio.wait_for(writers.communicate(b""), 20)
    counts = json.loads(out)
    assert counts["created"] > 50 and counts["goaway"] >= 1 and counts["unanswered"] == 0, counts
    client = cluster.client()
    stored = (await client.list(CONFIG_MAPS, "default"))["items"]
    await client.close()
    assert sum(obj["metadata"]["name"].startswith("h2-") for obj in stored) == counts["created"]


async def test_the_server_goes_on_serving_during_the_delay_with_readyz_failing(cluster: Cluster) -> None:
    process = await cluster.start("--shutdown-delay-duration=1500ms")
    process.send_signal(signal.SIGTERM)
    await asyncio.sleep(0.3)
    ready = await cluster.ask("/readyz")
    assert ready.status == 500 and b"[-]shutdown failed: reason withheld" in (await whole(ready))
    assert (await cluster.ask("/livez")).status == 200
    assert (await cluster.ask("/api/v1/namespaces/default/configmaps")).status == 200
    assert process.returncode is None
    assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_watches_end_one_after_the_other() -> None:
    clock, entropy = SystemClock(), SystemEntropy()
    store = await EmbeddedStore.open(MemoryLog(), clock=clock, entropy=entropy)
    config = Config(authorization=AuthorizationOptions(of_modes(("AlwaysAllow",))))
    api = ApiServer(store, clock=clock, entropy=entropy, config=config)
    running = asyncio.create_task(api.run())
    await api.wait_ready()
    ended: list[float] = []

    async def watch() -> None:
        response = await api.handle(Request("GET", "/api/v1/configmaps", "watch=1&resourceVersion=1"))
        assert not isinstance(response.body, bytes)
        async for _ in response.body:
            pass
        ended.append(clock.monotonic())

    watches = [asyncio.create_task(watch()) for _ in range(40)]
    await asyncio.sleep(0.1)
    server = Server(api.handle, clock=clock)
    await shut_down(api, server, Shutdown(watch_termination_grace_s=0.4), clock)
    await asyncio.wait_for(asyncio.gather(*watches), 5)
    assert ended[-1] - ended[0] >= 0.25
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await api.close()
    await store.close()


async def whole(response: Response) -> bytes:
    return response.body if isinstance(response.body, bytes) else b"".join([chunk async for chunk in response.body])
