"""Faults between a component and the API server, drawn from a seed: requests and answers lost, late, cut in the middle.

Where a request can be hit:

    client --- lost before ---> server --- interrupted ---> store --- lost after ---> client

What was lost before never happened. What was lost after did happen, though its sender cannot tell. What is interrupted is a
request whose connection broke while the server worked on it: it may have happened, in whole or in part.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from pybernetes.client.transport import ConnectionFailed, Transport, close_stream
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.http.messages import Request, Response, Upgradable

T = TypeVar("T")

TURNS_MOST = 8  # of the event loop, which a request takes to be served


@dataclass(frozen=True, slots=True)
class Faults:
    """How bad a connection is. Shares are of all requests, from 0 to 1; nothing happens by default."""

    lost_before: float = 0.0
    interrupted: float = 0.0
    lost_after: float = 0.0
    delay_s: float = 0.0  # at most, each way; watched events are late by as much
    stream_s: float = 0.0  # how long a watch lasts on average before its connection breaks; 0: as long as its ends want


NONE = Faults()
BAD = Faults(lost_before=0.05, interrupted=0.05, lost_after=0.05, delay_s=0.2, stream_s=30.0)


class FaultyTransport:
    """Another transport, seen through a bad connection. Faults may be changed at any time; `sever` is a cable pulled out."""

    def __init__(self, inner: Transport, entropy: Entropy, faults: Faults = NONE) -> None:
        self.faults = faults
        self._inner = inner
        self._entropy = entropy
        self._severed = ""  # why
        self._exchanges: dict[_Exchange, None] = {}  # under way, oldest first

    def sever(self, why: str) -> None:
        """From now on nothing passes, and what is under way breaks."""
        self._severed = why
        self.break_all(why)

    def mend(self) -> None:
        self._severed = ""

    def break_all(self, why: str) -> None:
        """Break what is under way; the next request may pass."""
        for exchange in list(self._exchanges):
            exchange.break_off(why)

    async def send(self, request: Request, *, stream: bool = False, timeout_s: float | None = 60) -> Response:
        exchange = self._begin()
        try:
            response = await exchange.passes(lambda: self._send(exchange, request, stream, timeout_s))
        except BaseException:
            exchange.end()
            raise
        if not stream:
            exchange.end()
            return response
        assert not isinstance(response.body, bytes)
        if self.faults.stream_s:
            exchange.break_in(2 * self.faults.stream_s * self._entropy.random())
        body = _Stream(response.body, exchange, self._late)
        return Response(response.status, response.headers, body)

    async def upgrade(self, request: Request, *, timeout_s: float = 30) -> tuple[Response, Upgradable | None]:
        """Its beginning may fail; the connection that comes of it is not disturbed."""
        exchange = self._begin()
        try:
            return await exchange.passes(lambda: self._inner.upgrade(request, timeout_s=timeout_s))
        finally:
            exchange.end()

    async def reachable(self) -> bool:
        return await self._inner.reachable()

    async def close(self) -> None:
        self.break_all("closed")
        await self._inner.close()

    def _begin(self) -> _Exchange:
        if self._severed:
            raise ConnectionFailed(self._severed)
        exchange = _Exchange(self._exchanges)
        self._exchanges[exchange] = None
        return exchange

    async def _send(self, exchange: _Exchange, request: Request, stream: bool, timeout_s: float | None) -> Response:
        faults = self.faults
        luck = self._entropy.random() if faults.lost_before or faults.interrupted or faults.lost_after else 1.0
        await self._late()
        luck -= faults.lost_before
        if luck < 0:
            raise ConnectionFailed("lost before it was served")
        luck -= faults.interrupted
        if luck < 0:
            exchange.break_after(int(TURNS_MOST * self._entropy.random()))
        response = await self._inner.send(request, stream=stream, timeout_s=timeout_s)
        if luck < faults.lost_after:
            await close_stream(response.body)
            raise ConnectionFailed("the answer was lost")
        await self._late()
        return response

    async def _late(self) -> None:
        if self.faults.delay_s:
            await asyncio.sleep(self.faults.delay_s * self._entropy.random())


class _Exchange:
    """A request under way, or the stream that answers it: it can be broken off from outside, whatever it waits for."""

    def __init__(self, all_: dict[_Exchange, None]) -> None:
        self._all = all_
        self._broken = ""  # why
        self._waiting: asyncio.Timeout | None = None
        self._timer: asyncio.TimerHandle | None = None

    def break_off(self, why: str) -> None:
        if self._broken:
            return
        self._broken = why
        if self._waiting is not None:
            self._waiting.reschedule(asyncio.get_running_loop().time())

    def break_after(self, turns: int) -> None:
        """Break off after so many turns of the event loop, during which the server comes so far and no further."""
        if turns:
            asyncio.get_running_loop().call_soon(self.break_after, turns - 1)
        else:
            self.break_off("interrupted")

    def break_in(self, delay_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay_s, self.break_off, "the connection broke")

    def end(self) -> None:
        self._all.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()

    async def passes(self, wait: Callable[[], Awaitable[T]]) -> T:
        """What `wait` gives. Raises `ConnectionFailed` once this is broken off, having cancelled the wait."""
        if self._broken:
            raise ConnectionFailed(self._broken)
        try:
            async with asyncio.timeout(None) as self._waiting:
                return await wait()
        except TimeoutError:
            if self._broken:
                raise ConnectionFailed(self._broken) from None
            raise
        finally:
            self._waiting = None


class _Stream:
    """The body of a streamed answer, which breaks with its exchange."""

    def __init__(self, inner: AsyncIterator[bytes], exchange: _Exchange, late: Callable[[], Awaitable[None]]) -> None:
        self._inner = inner
        self._exchange = exchange
        self._late = late

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return await self._exchange.passes(self._next)

    async def _next(self) -> bytes:
        chunk = await anext(self._inner)
        await self._late()
        return chunk

    async def aclose(self) -> None:
        self._exchange.end()
        await close_stream(self._inner)
