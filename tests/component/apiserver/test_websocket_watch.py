"""A watch as a browser asks for it: over WebSocket, with the token among the subprotocols."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pybernetes.client.http import HttpTransport
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.machinery.http import websocket
from pybernetes.machinery.http.server import Server as HttpServer

MAPS = "/api/v1/namespaces/default/configmaps"
TOKEN = "base64url.bearer.authorization.k8s.io." + base64.urlsafe_b64encode(b"test-admin").decode().rstrip("=")


@pytest.fixture
async def transport(server: Any) -> AsyncIterator[HttpTransport]:
    front = HttpServer(server.api.handle, clock=SystemClock())
    await front.start("127.0.0.1", 0)
    transport = HttpTransport(f"http://127.0.0.1:{front.port}")
    yield transport
    await transport.close()
    await front.stop(1)


async def opened(transport: HttpTransport, query: str, *protocols: str, accept: str = "") -> websocket.WebSocket:
    request = websocket.handshake(MAPS, query, [TOKEN, *protocols], SystemEntropy())
    if accept:
        request.headers = {**request.headers, "accept": accept}
    response, connection = await transport.upgrade(request)
    assert connection is not None, response.body
    return websocket.WebSocket(connection, client=True, subprotocol=websocket.subprotocol_of(request, response))


async def test_each_event_is_a_message(server: Any, transport: HttpTransport) -> None:
    await server.ask("POST", MAPS, {"metadata": {"name": "before"}})
    socket = await opened(transport, "watch=1", "events.example")
    assert socket.subprotocol == "events.example"  # and not the token
    await server.ask("POST", MAPS, {"metadata": {"name": "after"}})
    await server.ask("DELETE", f"{MAPS}/after")
    async with asyncio.timeout(5):
        events = [json.loads(await socket.receive() or b"") for _ in range(3)]
    seen = [(event["type"], event["object"]["metadata"]["name"]) for event in events]
    assert seen == [("ADDED", "before"), ("ADDED", "after"), ("DELETED", "after")]
    await socket.close()


async def test_it_ends_with_the_watch(transport: HttpTransport) -> None:
    socket = await opened(transport, "watch=1&timeoutSeconds=1&resourceVersion=0", "x")
    async with asyncio.timeout(5):
        assert await socket.receive() is None


async def test_events_in_protobuf_come_without_their_length(server: Any, transport: HttpTransport) -> None:
    for name in ("a", "b"):
        await server.ask("POST", MAPS, {"metadata": {"name": name}})
    socket = await opened(transport, "watch=1", "x", accept="application/vnd.kubernetes.protobuf;stream=watch")
    async with asyncio.timeout(5):
        messages = [await socket.receive() or b"" for _ in range(2)]
    assert all(message.startswith(b"\n\x05ADDED") for message in messages)
    await socket.close()


async def test_what_is_refused_is_refused_as_ever(transport: HttpTransport) -> None:
    request = websocket.handshake(MAPS, "watch=1&resourceVersion=x", [TOKEN, "x"], SystemEntropy())
    response, connection = await transport.upgrade(request)
    assert (response.status, connection) == (422, None)
