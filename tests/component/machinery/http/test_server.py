"""The HTTP server over real sockets."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pybernetes.client.http import HttpTransport
from pybernetes.machinery import pki
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.machinery.http import websocket
from pybernetes.machinery.http.messages import Handler, Request, Response
from pybernetes.machinery.http.server import HEAD_LIMIT_BYTES, Server
from pybernetes.machinery.http.tls import server_context


@asynccontextmanager
async def serving(handler: Handler, **options: int) -> AsyncIterator[Server]:
    server = Server(handler, clock=SystemClock(), **options)
    await server.start("127.0.0.1", 0)
    try:
        yield server
    finally:
        await server.stop(1)


async def echo(request: Request) -> Response:
    return Response(
        200, {"Content-Type": "text/plain"}, f"{request.method} {request.path}?{request.query} ".encode() + request.body
    )


async def exchange(server: Server, data: bytes, *, until_close: bool = True) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(data)
    await writer.drain()
    answer = await asyncio.wait_for(reader.read() if until_close else reader.read(65536), 5)
    writer.close()
    return answer


async def test_pipelined_requests_are_answered_in_order() -> None:
    delays = {"/slow": 0.05, "/fast": 0.0}

    async def handler(request: Request) -> Response:
        await asyncio.sleep(delays[request.path])
        return Response(200, {}, request.path.encode())

    async with serving(handler) as server:
        answer = await exchange(
            server, b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\nGET /fast HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
    assert answer.index(b"/slow") < answer.index(b"/fast")


async def test_an_iterator_is_sent_in_chunks_and_closed_when_the_client_goes() -> None:
    closed = asyncio.Event()

    async def lines() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"line\n"
                await asyncio.sleep(0.01)
        finally:
            closed.set()

    async def handler(_: Request) -> Response:
        return Response(200, {}, lines())

    async with serving(handler) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Transfer-Encoding: chunked" in head
        assert await reader.readexactly(10) == b"5\r\nline\n\r\n"
        writer.close()
        await asyncio.wait_for(closed.wait(), 5)


async def test_stopping_ends_streams_in_an_orderly_way() -> None:
    async def lines() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.sleep(3600)
        yield b"never"

    async def handler(_: Request) -> Response:
        return Response(200, {}, lines())

    server = Server(handler, clock=SystemClock())
    await server.start("127.0.0.1", 0)
    asking = asyncio.create_task(exchange(server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
    await asyncio.sleep(0.1)
    await server.stop(5)
    assert (await asking).endswith(b"5\r\nfirst\r\n0\r\n\r\n")


@pytest.mark.parametrize(("takes_s", "end"), [(0.3, b"4\r\nlast\r\n0\r\n\r\n"), (3600, b"5\r\nfirst\r\n")])
async def test_what_is_nothing_in_part_is_sent_to_its_end_or_seen_to_be_cut(takes_s: float, end: bytes) -> None:
    async def items() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.sleep(takes_s)
        yield b"last"

    async def handler(_: Request) -> Response:
        return Response(200, {}, items(), ends_anywhere=False)

    server = Server(handler, clock=SystemClock())
    await server.start("127.0.0.1", 0)
    asking = asyncio.create_task(exchange(server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
    await asyncio.sleep(0.1)
    await server.stop(1)
    assert (await asking).endswith(end)


async def test_a_handler_may_have_the_connection_closed() -> None:
    async def handler(_: Request) -> Response:
        return Response(429, {"Connection": "close"}, b"later")

    async with serving(handler) as server:
        answer = await exchange(server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.count(b"HTTP/1.1 429") == 1 and answer.count(b"Connection: close") == 1


async def test_the_producer_waits_for_a_reader_that_does_not_read() -> None:
    produced = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal produced
        for _ in range(10_000):
            produced += 1
            yield b"x" * 65536

    async def handler(_: Request) -> Response:
        return Response(200, {}, chunks())

    async with serving(handler) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.sleep(0.3)
        assert produced < 1000
        writer.transport.abort()


async def test_a_large_body_comes_whole_and_does_not_keep_others_waiting() -> None:
    body = bytes(range(256)) * 128 * 1024

    async def handler(request: Request) -> Response:
        return Response(200, {}, body if request.path == "/large" else b"small")

    async with serving(handler) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        writer.write(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\nGET /small HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        await asyncio.sleep(0.05)  # it has filled the socket, and waits for us
        assert (await exchange(server, b"GET /small HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).endswith(b"small")
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
    _, _, rest = answer.partition(b"\r\n\r\n")
    assert rest[: len(body)] == body
    assert rest[len(body) :].startswith(b"HTTP/1.1 200") and rest.endswith(b"small")


async def test_a_client_that_goes_while_a_large_body_is_sent_leaves_nothing_behind() -> None:
    async def handler(_: Request) -> Response:
        return Response(200, {}, bytes(32 * 1024 * 1024))

    async with serving(handler) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.read(1000)
        writer.transport.abort()
        async with asyncio.timeout(5):
            while any(task.get_name() != "http-sweeper" for task in asyncio.all_tasks() - {asyncio.current_task()}):
                await asyncio.sleep(0.01)


async def test_a_head_request_gets_the_head_alone() -> None:
    async with serving(echo) as server:
        answer = await exchange(server, b"HEAD /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\n")
    assert b"Content-Length: 9" in answer


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * (HEAD_LIMIT_BYTES + 1), b"431"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n", b"413"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n" + b"a" * 101 + b"\r\n0\r\n\r\n", b"413"),
    ],
)
async def test_what_is_malformed_or_too_big_is_refused_before_the_handler(sent: bytes, status: bytes) -> None:
    async def handler(_: Request) -> Response:
        raise AssertionError("must not be called")

    async with serving(handler, body_limit=100) as server:
        assert (await exchange(server, sent)).startswith(b"HTTP/1.1 " + status)


async def test_a_client_that_expects_100_continue_gets_it() -> None:
    async with serving(echo) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        writer.write(b"hi")
        assert (await reader.read()).endswith(b"POST /? hi")
        writer.close()


async def test_a_handler_that_fails_is_a_500_and_the_connection_lives_on() -> None:
    async def handler(request: Request) -> Response:
        if request.path == "/bad":
            raise RuntimeError("a bug")
        return await echo(request)

    async with serving(handler) as server:
        answer = await exchange(
            server, b"GET /bad HTTP/1.1\r\nHost: a\r\n\r\nGET /good HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
    assert answer.startswith(b"HTTP/1.1 500")
    assert b"GET /good?" in answer


async def websocket_echo(request: Request) -> Response:
    async def serve(socket: websocket.WebSocket) -> None:
        while (message := await socket.receive()) is not None:
            await socket.send(socket.subprotocol.encode() + b":" + message)

    return websocket.accept(request, ["v2", "v1"], serve)


async def test_messages_go_both_ways_over_a_websocket() -> None:
    async with serving(websocket_echo) as server:
        transport = HttpTransport(f"http://127.0.0.1:{server.port}")
        request = websocket.handshake("/", "", ["v1", "v0"], SystemEntropy())
        response, connection = await transport.upgrade(request)
        assert connection is not None
        socket = websocket.WebSocket(connection, client=True, subprotocol=websocket.subprotocol_of(request, response))
        assert socket.subprotocol == "v1"
        for message in (b"hello", b"", b"x" * 200_000):
            await socket.send(message)
            assert await socket.receive() == b"v1:" + message
        await socket.close()
        await transport.close()


@asynccontextmanager
async def over_tls(
    directory: Path, handler: Callable[[Request], Awaitable[Response]]
) -> AsyncIterator[tuple[Server, pki.Authority]]:
    now = SystemClock().now()
    authority = pki.Authority.create("ca", now)
    (directory / "ca.crt").write_bytes(authority.certificate_pem)
    authority.issue("server", (), ["localhost"], ["127.0.0.1"], usages=pki.SERVER, now=now).save(
        directory / "tls.crt", directory / "tls.key"
    )
    server = Server(handler, clock=SystemClock())
    context = server_context(str(directory / "tls.crt"), str(directory / "tls.key"), str(directory / "ca.crt"))
    await server.start("127.0.0.1", 0, context)
    try:
        yield server, authority
    finally:
        await server.stop(1)


async def test_a_client_certificate_is_handed_over_and_not_demanded(tmp_path: Path) -> None:
    async def handler(request: Request) -> Response:
        return Response(200, {}, request.peer_certificate or b"none")

    async with over_tls(tmp_path, handler) as (server, authority):
        client = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
        anonymous = HttpTransport(f"https://127.0.0.1:{server.port}", ssl_context=client)
        assert (await anonymous.send(Request("GET", "/"))).body == b"none"
        await anonymous.close()

        pair = authority.issue("alice", ("admins",), now=SystemClock().now())
        pair.save(tmp_path / "alice.crt", tmp_path / "alice.key")
        known = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
        known.load_cert_chain(tmp_path / "alice.crt", tmp_path / "alice.key")
        transport = HttpTransport(f"https://127.0.0.1:{server.port}", ssl_context=known)
        assert (await transport.send(Request("GET", "/"))).body == ssl.PEM_cert_to_DER_cert(pair.certificate_pem.decode())
        await transport.close()


async def test_a_replaced_certificate_is_served_without_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pybernetes.machinery.http.tls.RECHECK_PERIOD_S", 0.0)

    async def served(port: int) -> bytes:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        certificate: bytes = writer.get_extra_info("ssl_object").getpeercert(True)
        writer.close()
        return certificate

    async with over_tls(tmp_path, echo) as (server, authority):
        before = await served(server.port)
        pair = authority.issue("other", (), ["localhost"], ["127.0.0.1"], usages=pki.SERVER, now=SystemClock().now())
        pair.save(tmp_path / "tls.crt", tmp_path / "tls.key")
        assert await served(server.port) == ssl.PEM_cert_to_DER_cert(pair.certificate_pem.decode()) != before
