"""The API server over HTTP/2, as clients in Go use it: every watch on one connection, a stop that says goodbye."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pybernetes.machinery import pki
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.http import frames, header_blocks
from pybernetes.machinery.http.http2 import Http2Connection
from pybernetes.machinery.http.server import Server
from pybernetes.machinery.http.tls import server_context
from tools import install_clients

MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
async def secure(server: Any, tmp_path: Path) -> AsyncIterator[Server]:
    now = SystemClock().now()
    authority = pki.Authority.create("ca", now)
    pair = authority.issue("s", ip_addresses=("127.0.0.1",), usages=pki.SERVER, now=now)
    pair.save(tmp_path / "s.crt", tmp_path / "s.key")
    (tmp_path / "ca.crt").write_bytes(authority.certificate_pem)
    http = Server(server.api.handle, clock=SystemClock())
    await http.start("127.0.0.1", 0, server_context(str(tmp_path / "s.crt"), str(tmp_path / "s.key")))
    yield http
    await http.stop(1)


async def test_kubectl_speaks_http2_and_watches(server: Any, secure: Server, tmp_path: Path) -> None:
    environment = {**os.environ, "KUBECONFIG": "/dev/null", "HOME": str(tmp_path)}
    process = await asyncio.create_subprocess_exec(
        install_clients.kubectl(),
        "--server", f"https://127.0.0.1:{secure.port}", "--certificate-authority", str(tmp_path / "ca.crt"),
        "--token", "test-admin", "get", "configmaps", "--watch", "--output", "name",
        env=environment, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            while not any(table.watcher_count for table in [server.api.image.table("/registry/configmaps/")]):
                await asyncio.sleep(0.05)
            for number in range(3):
                await server.ask("POST", MAPS, {"metadata": {"name": f"m{number}"}})
            seen = [await process.stdout.readline() for _ in range(3)]
        assert seen == [b"configmap/m0\n", b"configmap/m1\n", b"configmap/m2\n"]
        assert {type(connection) for connection in secure._connections} == {Http2Connection}
    finally:
        process.kill()
        await process.wait()


async def test_many_watches_share_a_connection_and_end_in_order(server: Any, secure: Server, tmp_path: Path) -> None:
    import ssl

    context = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    context.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection("127.0.0.1", secure.port, ssl=context)
    writer.write(frames.PREFACE + frames.settings())
    fields = {
        ":method": "GET", ":scheme": "https", ":path": f"{MAPS}?watch=1", ":authority": "h",
        "authorization": "Bearer test-admin",
    }  # fmt: skip
    block = b"".join(header_blocks.field(*field) for field in fields.items())
    watches = [2 * number + 1 for number in range(200)]
    for stream_id in watches:
        writer.write(frames.frame(frames.HEADERS, frames.END_STREAM | frames.END_HEADERS, stream_id, block))
    cut = frames.Frames()
    cut.feed(frames.PREFACE)
    seen: dict[int, bytes] = {}
    ended: set[int] = set()
    said_goodbye = False

    async def read_until(done: Any) -> None:
        nonlocal said_goodbye
        async with asyncio.timeout(10):
            while not done():
                for frame in cut.feed(await reader.read(65536)):
                    said_goodbye = said_goodbye or frame.type == frames.GOAWAY
                    if frame.type == frames.DATA:
                        seen[frame.stream_id] = seen.get(frame.stream_id, b"") + frame.payload
                        if frame.flags & frames.END_STREAM:
                            ended.add(frame.stream_id)

    table = server.api.image.table("/registry/configmaps/")
    async with asyncio.timeout(10):
        while table.watcher_count < len(watches):
            await asyncio.sleep(0.01)
    await server.ask("POST", MAPS, {"metadata": {"name": "a"}})
    await read_until(lambda: len(seen) == len(watches))
    assert set(map(len, seen.values())) == {len(seen[1])} and seen[1].startswith(b'{"type":"ADDED"')
    stopping = asyncio.create_task(secure.stop(5))
    await read_until(lambda: len(ended) == len(watches))
    assert said_goodbye
    await stopping
    assert table.watcher_count == 0
    writer.close()
