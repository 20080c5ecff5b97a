"""A bad connection: what is lost where, what breaks when, and that a seed repeats it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from pybernetes.client.transport import ConnectionFailed, InProcessTransport
from pybernetes.machinery.entropy import SeededEntropy
from pybernetes.machinery.http.messages import Request, Response
from pybernetes.sim.faults import NONE, Faults, FaultyTransport
from pybernetes.sim.virtual_time import VirtualClock, run


class Server:
    """Answers after `work_s` seconds; a stream gives a line each second."""

    def __init__(self, work_s: float = 0.0) -> None:
        self.work_s = work_s
        self.began = 0
        self.served = 0
        self.streams_closed = 0

    async def handle(self, request: Request) -> Response:
        self.began += 1
        await asyncio.sleep(self.work_s)
        self.served += 1
        return Response(200, {}, self._lines() if request.path == "/watch" else b"ok")

    async def _lines(self) -> AsyncIterator[bytes]:
        try:
            for number in range(1000):
                await asyncio.sleep(1)
                yield b"%d\n" % number
        finally:
            self.streams_closed += 1

    def behind(self, faults: Faults, seed: int = 1) -> FaultyTransport:
        return FaultyTransport(InProcessTransport(self.handle), SeededEntropy(seed), faults)


def on_virtual_time(main: Callable[[VirtualClock], Coroutine[Any, Any, Any]]) -> Any:
    return run(main)


GET = Request("GET", "/")
WATCH = Request("GET", "/watch")


async def outcomes(transport: FaultyTransport, count: int) -> list[str]:
    found = []
    for _ in range(count):
        try:
            found.append(str((await transport.send(GET)).status))
        except ConnectionFailed as error:
            found.append(str(error))
    return found


def test_a_good_connection_changes_nothing() -> None:
    server = Server()
    assert on_virtual_time(lambda clock: outcomes(server.behind(NONE), 5)) == ["200"] * 5


@pytest.mark.parametrize(
    ("faults", "served"), [(Faults(lost_before=1.0), 0), (Faults(lost_after=1.0), 5), (Faults(interrupted=1.0), 0)]
)
def test_what_is_lost_was_served_or_not_as_the_fault_says(faults: Faults, served: int) -> None:
    server = Server(work_s=1)
    assert "200" not in on_virtual_time(lambda clock: outcomes(server.behind(faults), 5))
    assert server.served == served


def test_shares_are_kept_and_repeated_by_the_seed() -> None:
    faults = Faults(lost_before=0.2, lost_after=0.2)
    first, second, other = (
        on_virtual_time(lambda clock, seed=seed: outcomes(Server().behind(faults, seed), 500)) for seed in (1, 1, 2)
    )
    assert first == second != other
    assert 70 < first.count("lost before it was served") < 130
    assert 70 < first.count("the answer was lost") < 130


def test_requests_and_answers_are_late() -> None:
    async def main(clock: VirtualClock) -> float:
        await outcomes(Server().behind(Faults(delay_s=1.0)), 100)
        return clock.monotonic()

    assert 80 < on_virtual_time(main) < 120


def test_severing_breaks_what_is_under_way_and_refuses_what_comes_until_it_is_mended() -> None:
    server = Server(work_s=10)

    async def main(clock: VirtualClock) -> None:
        transport = server.behind(NONE)
        under_way = asyncio.create_task(outcomes(transport, 1))
        await clock.sleep(5)
        transport.sever("cable out")
        assert await under_way == ["cable out"]
        assert clock.monotonic() == 5
        assert await outcomes(transport, 1) == ["cable out"]
        transport.mend()
        assert await outcomes(transport, 1) == ["200"]

    on_virtual_time(main)
    assert (server.began, server.served) == (2, 1)


def test_a_stream_breaks_while_its_reader_waits() -> None:
    server = Server()

    async def main(clock: VirtualClock) -> list[bytes]:
        response = await server.behind(Faults(stream_s=10)).send(WATCH, stream=True)
        lines = []
        assert not isinstance(response.body, bytes)
        with pytest.raises(ConnectionFailed, match="the connection broke"):
            async for line in response.body:
                lines.append(line)
        return lines

    assert 0 < len(on_virtual_time(main)) < 20
    assert server.streams_closed == 1


def test_whoever_is_cancelled_is_cancelled_and_not_told_of_a_broken_connection() -> None:
    async def main(clock: VirtualClock) -> None:
        waiting = asyncio.create_task(outcomes(Server(work_s=10).behind(NONE), 1))
        await clock.sleep(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    on_virtual_time(main)
