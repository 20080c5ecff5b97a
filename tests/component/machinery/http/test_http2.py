"""HTTP/2 over TLS, with clients of others: curl and h2load (both nghttp2)."""

from __future__ import annotations

import asyncio
import re
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pybernetes.machinery import pki
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.http import server as servers
from pybernetes.machinery.http.messages import Handler, Request, Response
from pybernetes.machinery.http.server import Server
from pybernetes.machinery.http.tls import server_context

curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
h2load = pytest.mark.skipif(shutil.which("h2load") is None, reason="h2load (Debian: nghttp2-client) is not installed")


@asynccontextmanager
async def serving(handler: Handler, folder: Path) -> AsyncIterator[Server]:
    now = SystemClock().now()
    authority = pki.Authority.create("ca", now)
    authority.issue("s", ip_addresses=("127.0.0.1",), usages=pki.SERVER, now=now).save(folder / "s.crt", folder / "s.key")
    authority.issue("client", now=now).save(folder / "c.crt", folder / "c.key")
    (folder / "ca.crt").write_bytes(authority.certificate_pem)
    server = Server(handler, clock=SystemClock())
    context = server_context(str(folder / "s.crt"), str(folder / "s.key"), str(folder / "ca.crt"))
    await server.start("127.0.0.1", 0, context)
    try:
        yield server
    finally:
        await server.stop(1)


async def run(*command: str, stdin: bytes = b"") -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, errors = await asyncio.wait_for(process.communicate(stdin), 30)
    assert process.returncode == 0, errors.decode()
    return out.decode()


async def echo(request: Request) -> Response:
    name = b"-"
    if request.peer_certificate:
        from cryptography import x509

        name = x509.load_der_x509_certificate(request.peer_certificate).subject.rfc4514_string().encode()
    return Response(
        200, {"X-Echo": "yes"}, f"{request.method} {request.path}?{request.query} {len(request.body)} ".encode() + name
    )


@curl
async def test_curl_sends_bodies_and_an_optional_certificate(tmp_path: Path) -> None:
    async with serving(echo, tmp_path) as server:
        url = f"https://127.0.0.1:{server.port}/a?b=c"
        base = ("curl", "-sS", "--http2", "--cacert", str(tmp_path / "ca.crt"), "-w", " %{http_version}")
        assert await run(*base, url) == "GET /a?b=c 0 - 2"
        certificate = ("--cert", str(tmp_path / "c.crt"), "--key", str(tmp_path / "c.key"))
        sent = await run(*base, *certificate, "--data-binary", "@-", url, stdin=bytes(2_000_000))
        assert sent == "POST /a?b=c 2000000 CN=client 2"
        assert await run(*base, "--http1.1", url) == "GET /a?b=c 0 - 1.1"
        head = await run(*base, "-I", url)
        assert "HTTP/2 200" in head and "x-echo: yes" in head and "content-length: 15" in head
        large = await run(*base, "-o", "/dev/null", "-w", "%{http_code}", "--data-binary", "@-", url, stdin=bytes(3_200_000))
        assert large == "413"


@curl
async def test_a_large_answer_and_a_stream_arrive_whole(tmp_path: Path) -> None:
    async def handler(request: Request) -> Response:
        if request.path == "/large":
            return Response(200, {}, bytes(range(256)) * 40_000)

        async def lines() -> AsyncIterator[bytes]:
            for number in range(300):
                yield b"%d" % number * 100
                await asyncio.sleep(0)

        return Response(200, {}, lines())

    async with serving(handler, tmp_path) as server:
        base = ("curl", "-sS", "--http2", "--cacert", str(tmp_path / "ca.crt"))
        large = tmp_path / "large"
        await run(*base, "-o", str(large), f"https://127.0.0.1:{server.port}/large")
        assert large.read_bytes() == bytes(range(256)) * 40_000
        streamed = await run(*base, f"https://127.0.0.1:{server.port}/stream")
        assert streamed == "".join(str(number) * 100 for number in range(300))


@h2load
async def test_many_streams_on_few_connections(tmp_path: Path) -> None:
    async with serving(echo, tmp_path) as server:
        url = f"https://127.0.0.1:{server.port}/"
        out = await run("h2load", "-n", "5000", "-c", "3", "-m", "100", url)
        assert re.search(r"5000 succeeded, 0 failed", out), out


async def test_a_client_that_leaves_in_the_middle_stops_its_streams(tmp_path: Path) -> None:
    from pybernetes.machinery.http import frames, header_blocks

    closed = 0

    async def lines() -> AsyncIterator[bytes]:
        nonlocal closed
        try:
            while True:
                yield b"x" * 1000
                await asyncio.sleep(0.001)
        finally:
            closed += 1

    async def handler(_: Request) -> Response:
        return Response(200, {}, lines())

    async with serving(handler, tmp_path) as server:
        context = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
        context.set_alpn_protocols(["h2"])
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
        writer.write(frames.PREFACE + frames.settings())
        fields = ((":method", "GET"), (":scheme", "https"), (":path", "/"))
        block = b"".join(header_blocks.field(*field) for field in fields)
        flags = frames.END_STREAM | frames.END_HEADERS
        for number in range(100):  # watches on one connection
            writer.write(frames.frame(frames.HEADERS, flags, 2 * number + 1, block))
        await reader.readexactly(20_000)
        writer.transport.abort()
        async with asyncio.timeout(5):
            while closed < 100:
                await asyncio.sleep(0.01)


async def test_handshakes_that_do_not_end_well_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "HANDSHAKE_TIMEOUT_S", 0.2)
    monkeypatch.setattr(servers, "SWEEP_PERIOD_S", 0.05)
    async with serving(echo, tmp_path) as server:
        for sent in (b"GET / HTTP/1.1\r\n\r\n", b""):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(sent)
            writer.close()
        async with asyncio.timeout(5):
            while server.handshake_errors < 2:
                await asyncio.sleep(0.02)
        trusted = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=trusted)
        await asyncio.sleep(0.4)
        assert server.handshake_errors == 2
        writer.close()
