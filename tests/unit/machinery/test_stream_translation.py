"""WebSocket channels in front, SPDY streams behind; both ends in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import orjson
import pytest

from pybernetes.machinery import spdy
from pybernetes.machinery.http.relay import relay
from pybernetes.machinery.http.websocket import WebSocket
from pybernetes.machinery.stream_translation import RESIZE, STDIN, STDOUT, V4, V5, translate_command, tunnel


class End:
    """One end of a connection; `Upgradable`."""

    def __init__(self) -> None:
        self.other: End
        self.closed = False
        self._received: asyncio.Queue[bytes] = asyncio.Queue()

    async def read(self) -> bytes:
        return await self._received.get()

    async def write(self, data: bytes) -> None:
        if self.closed or self.other.closed:
            raise ConnectionResetError("closed")
        self.other._received.put_nowait(data)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            for end in (self, self.other):
                end._received.put_nowait(b"")


def connection() -> tuple[End, End]:
    one, other = End(), End()
    one.other, other.other = other, one
    return one, other


class Kubelet:
    """The SPDY side: what it was sent, and what it says."""

    def __init__(self, end: End) -> None:
        self.end = end
        self.protocol = spdy.Connection(client=False)
        self.streams: dict[str, int] = {}
        self.data: list[tuple[int, bytes, bool]] = []

    async def hear(self) -> None:
        for event in self.protocol.receive(await self.end.read()):
            if isinstance(event, spdy.StreamOpened):
                self.streams[event.headers["streamtype"]] = event.stream_id
            elif isinstance(event, spdy.Data):
                self.data.append((event.stream_id, event.data, event.fin))

    async def say(self, stream: str, data: bytes, *, fin: bool = False) -> None:
        self.protocol.send(self.streams[stream], data, fin=fin)
        await self.end.write(self.protocol.outgoing())


class Session:
    def __init__(self, protocol: str) -> None:
        front, client = connection()
        behind, kubelet = connection()
        self.client = WebSocket(client, client=True, subprotocol=protocol)
        self.server = WebSocket(front, subprotocol=protocol)
        self.behind = behind
        self.kubelet = Kubelet(kubelet)

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.create_task(work)


async def test_a_command_is_carried_through_to_its_status() -> None:
    session = Session(V5)
    work = session.start(translate_command(session.server, session.behind, [STDIN, STDOUT]))
    async with asyncio.timeout(5):
        await session.kubelet.hear()
        assert list(session.kubelet.streams) == ["error", "stdin", "stdout"]
        await session.client.send(b"\0typed")
        await session.client.send(b"\xff\0")
        while len(session.kubelet.data) < 2:
            await session.kubelet.hear()
        stdin = session.kubelet.streams["stdin"]
        assert session.kubelet.data == [(stdin, b"typed", False), (stdin, b"", True)]
        await session.kubelet.say("stdout", b"printed", fin=True)
        status = orjson.dumps({"status": "Failure", "reason": "NonZeroExitCode"})
        await session.kubelet.say("error", status, fin=True)
        assert await session.client.receive() == b"\1printed"
        assert await session.client.receive() == b"\3" + status
        assert await session.client.receive() is None
        await work
    assert session.behind.closed


async def test_a_command_that_says_nothing_against_it_has_succeeded() -> None:
    session = Session(V5)
    work = session.start(translate_command(session.server, session.behind, [STDOUT]))
    async with asyncio.timeout(5):
        await session.kubelet.hear()
        await session.kubelet.say("stdout", b"", fin=True)
        await session.kubelet.say("error", b"", fin=True)
        message = await session.client.receive()
        assert message is not None
        assert (message[:1], orjson.loads(message[1:])["status"]) == (b"\3", "Success")
        await work


async def test_version_4_has_no_end_of_input_and_a_terminal_can_be_resized() -> None:
    session = Session(V4)
    work = session.start(translate_command(session.server, session.behind, [STDIN, STDOUT, RESIZE]))
    async with asyncio.timeout(5):
        await session.kubelet.hear()
        await session.client.send(b"\xff\0")
        await session.client.send(b'\4{"Width":80,"Height":24}')
        while not session.kubelet.data:
            await session.kubelet.hear()
        assert session.kubelet.data == [(session.kubelet.streams["resize"], b'{"Width":80,"Height":24}', False)]
        await session.client.close()
        await work
    assert session.behind.closed


@pytest.mark.parametrize("who", ["client", "kubelet"])
async def test_a_tunnel_carries_bytes_until_either_side_ends(who: str) -> None:
    session = Session("SPDY/3.1+portforward.k8s.io")
    work = session.start(tunnel(session.server, session.behind))
    async with asyncio.timeout(5):
        await session.client.send(b"there")
        assert await session.kubelet.end.read() == b"there"
        await session.kubelet.end.write(b"and back")
        assert await session.client.receive() == b"and back"
        if who == "client":
            await session.client.close()
        else:
            session.kubelet.end.close()
        await work
    assert session.behind.closed


async def test_two_connections_are_joined_until_either_ends() -> None:
    (left, one), (right, other) = connection(), connection()
    work = asyncio.create_task(relay(one, other))
    async with asyncio.timeout(5):
        await left.write(b"there")
        assert await right.read() == b"there"
        await right.write(b"and back")
        assert await left.read() == b"and back"
        left.close()
        await work
    assert one.closed and other.closed
