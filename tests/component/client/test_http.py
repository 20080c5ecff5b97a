"""The HTTP transport against servers of a few lines each, over real sockets."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from pybernetes.client import http
from pybernetes.client.http import HttpTransport
from pybernetes.client.transport import ConnectionFailed, RequestTimeout, close_stream
from pybernetes.machinery import pki
from pybernetes.machinery.http.messages import Request


@asynccontextmanager
async def serving(serve, *, ssl_context=None, client_context=None, **options):
    """A server that runs `serve(reader, writer, n)` for its nth connection, and a transport to it."""
    count = 0
    tasks = set()

    async def accept(reader, writer):
        nonlocal count
        count += 1
        tasks.add(asyncio.current_task())
        try:
            await serve(reader, writer, count)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=ssl_context)
    port = server.sockets[0].getsockname()[1]
    scheme = "https" if ssl_context else "http"
    transport = HttpTransport(f"{scheme}://127.0.0.1:{port}", ssl_context=client_context, **options)
    try:
        async with asyncio.timeout(20):
            yield transport
    finally:
        await transport.close()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def read_request(reader):
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = next((int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length")), 0)
    return head, await reader.readexactly(length)


def answer(body=b"ok", extra=""):
    return f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n{extra}\r\n".encode() + body


async def test_a_connection_is_kept_and_reused():
    async def serve(reader, writer, n):
        while True:
            head, body = await read_request(reader)
            writer.write(answer(f"{n} {head.splitlines()[0]} {body.decode()}".encode()))

    async with serving(serve) as transport:
        for _ in range(3):
            response = await transport.send(Request("POST", "/a", "b=c", {}, b"hello"))
            assert response.body == b"1 POST /a?b=c HTTP/1.1 hello"


async def test_a_kept_connection_that_the_server_closed_is_replaced_for_a_read_but_not_for_a_write():
    async def serve(reader, writer, n):
        await read_request(reader)
        writer.write(answer())
        await read_request(reader)  # then close without an answer

    async with serving(serve) as transport:
        for _ in range(3):
            assert (await transport.send(Request("GET", "/"))).body == b"ok"
    async with serving(serve) as transport:
        await transport.send(Request("POST", "/"))
        with pytest.raises(ConnectionFailed):
            await transport.send(Request("POST", "/"))


async def test_a_fresh_connection_that_breaks_is_not_tried_again():
    seen = []

    async def serve(reader, writer, n):
        seen.append(n)
        await read_request(reader)

    async with serving(serve) as transport:
        with pytest.raises(ConnectionFailed):
            await transport.send(Request("GET", "/"))
    assert seen == [1]


async def test_a_chunked_stream_arrives_as_it_is_sent_and_stops_the_sender_when_not_read():
    sent = 0

    async def serve(reader, writer, n):
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await writer.drain()
        while True:
            writer.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
            await writer.drain()
            sent += 0x10000

    async with serving(serve) as transport:
        response = await transport.send(Request("GET", "/"), stream=True)
        assert (await anext(response.body)).startswith(b"hello")
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.2)
        assert sent < 32 * 1024 * 1024
        received, waiting = 0, sent
        while received <= waiting:
            received += len(await anext(response.body))
        await close_stream(response.body)


async def test_an_answer_too_large_to_be_read_whole_is_refused(monkeypatch):
    monkeypatch.setattr(http, "BODY_BYTES_MAX", 10)

    async def serve(reader, writer, n):
        await read_request(reader)
        writer.write(answer(bytes(11)))

    async with serving(serve) as transport:
        with pytest.raises(ConnectionFailed, match="larger than 10 bytes"):
            await transport.send(Request("GET", "/"))


@pytest.mark.parametrize("head", [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 300_000])
async def test_what_is_not_http_is_refused(head):
    async def serve(reader, writer, n):
        await read_request(reader)
        writer.write(head)
        await writer.drain()
        await reader.read()

    async with serving(serve) as transport:
        with pytest.raises(ConnectionFailed):
            await transport.send(Request("GET", "/"))


async def test_a_body_cut_short_is_a_failure_and_one_ended_by_closing_is_not():
    async def short(reader, writer, n):
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")

    async def closing(reader, writer, n):
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc")

    async with serving(short) as transport:
        with pytest.raises(ConnectionFailed):
            await transport.send(Request("GET", "/"))
    async with serving(closing) as transport:
        assert (await transport.send(Request("GET", "/"))).body == b"abc"


async def test_a_silent_server_is_given_up_on():
    async def serve(reader, writer, n):
        await reader.read()

    async with serving(serve) as transport:
        with pytest.raises(RequestTimeout):
            await transport.send(Request("GET", "/"), timeout_s=0.1)


async def test_a_refused_connection_says_where_to():
    transport = HttpTransport("http://127.0.0.1:1")
    with pytest.raises(ConnectionFailed, match=r"dial tcp 127\.0\.0\.1:1") as caught:
        await transport.send(Request("GET", "/"))
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)


async def test_an_upgraded_connection_is_a_pipe_with_what_came_along():
    async def serve(reader, writer, n):
        head, _ = await read_request(reader)
        assert "upgrade: echo" in head
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nhello ")
        while data := await reader.read(100):
            writer.write(data.upper())

    async with serving(serve) as transport:
        response, pipe = await transport.upgrade(Request("GET", "/", "", {"connection": "upgrade", "upgrade": "echo"}))
        assert response.status == 101
        await pipe.write(b"world")
        got = b""
        while len(got) < 11:
            got += await pipe.read()
        assert got == b"hello WORLD"
        pipe.close()


async def test_an_upgrade_that_is_refused_gives_the_answer():
    async def serve(reader, writer, n):
        await read_request(reader)
        writer.write(answer(b"no"))

    async with serving(serve) as transport:
        response, pipe = await transport.upgrade(Request("GET", "/", "", {"connection": "upgrade", "upgrade": "echo"}))
        assert (response.status, response.body, pipe) == (200, b"no", None)


async def test_a_line_break_cannot_be_smuggled_into_the_head():
    async def serve(reader, writer, n):
        await reader.read()

    async with serving(serve) as transport:
        with pytest.raises(ValueError, match="line break"):
            await transport.send(Request("GET", "/", "", {"x": "a\r\nevil: yes"}))


async def test_the_token_is_asked_for_each_request():
    async def serve(reader, writer, n):
        while True:
            head, _ = await read_request(reader)
            line = next(line for line in head.splitlines() if line.startswith("authorization"))
            writer.write(answer(line.encode()))

    tokens = iter(["one", "two"])
    async with serving(serve, token=lambda: next(tokens)) as transport:
        assert (await transport.send(Request("GET", "/"))).body == b"authorization: Bearer one"
        assert (await transport.send(Request("GET", "/"))).body == b"authorization: Bearer two"


async def test_tls_proves_both_sides(tmp_path):
    now = datetime.now(UTC)
    authority = pki.Authority.create("test", now)
    server_pair = authority.issue("server", ip_addresses=("127.0.0.1",), usages=pki.SERVER, now=now)
    client_pair = authority.issue("alice", usages=pki.CLIENT, now=now)
    (tmp_path / "ca").write_bytes(authority.certificate_pem)
    server_pair.save(tmp_path / "crt", tmp_path / "key")
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tmp_path / "ca"))
    server_context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    server_context.verify_mode = ssl.CERT_REQUIRED

    async def serve(reader, writer, n):
        await read_request(reader)
        subject = dict(pair[0] for pair in writer.get_extra_info("peercert")["subject"])
        writer.write(answer(subject["commonName"].encode()))

    from pybernetes.client.kubeconfig import Access, build

    def context(ca: bytes) -> ssl.SSLContext:
        config = build(
            server="https://x", certificate_authority=ca, client_certificate=client_pair.certificate_pem,
            client_key=client_pair.key_pem,
        )  # fmt: skip
        found = Access(config).ssl_context()
        assert found is not None
        return found

    async with serving(serve, ssl_context=server_context, client_context=context(authority.certificate_pem)) as transport:
        assert (await transport.send(Request("GET", "/"))).body == b"alice"
    stranger = pki.Authority.create("other", now).certificate_pem
    async with serving(serve, ssl_context=server_context, client_context=context(stranger)) as transport:
        with pytest.raises(ConnectionFailed) as caught:
            await transport.send(Request("GET", "/"))
        assert isinstance(caught.value.__cause__, ssl.SSLError)


async def test_a_server_that_takes_connections_is_reachable_at_once():
    async def serve(reader, writer, n):
        await reader.read()

    async with serving(serve) as transport:
        assert await transport.reachable()


async def test_a_server_that_is_away_is_found_soon_after_it_is_back_by_one_prober_for_all():
    reserved = socket.socket()
    reserved.bind(("127.0.0.1", 0))
    port = reserved.getsockname()[1]
    transport = HttpTransport(f"http://127.0.0.1:{port}")
    waiting = [asyncio.create_task(transport.reachable()) for _ in range(20)]
    await asyncio.sleep(0.2)
    assert not any(task.done() for task in waiting)
    reserved.close()
    accepted = 0

    async def accept(_, writer):
        nonlocal accepted
        accepted += 1
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", port)
    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(5):
        assert await asyncio.gather(*waiting) == [False] * 20
    assert asyncio.get_running_loop().time() - began < 0.2
    await asyncio.sleep(0.05)
    assert accepted == 1
    server.close()
    await transport.close()


async def test_who_waits_for_a_server_is_let_go_when_the_transport_is_closed():
    reserved = socket.socket()
    reserved.bind(("127.0.0.1", 0))
    transport = HttpTransport(f"http://127.0.0.1:{reserved.getsockname()[1]}")
    waiting = asyncio.create_task(transport.reachable())
    await asyncio.sleep(0.05)
    await transport.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    reserved.close()
