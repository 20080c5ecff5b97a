"""How long a request may take: `--request-timeout`, or less where its `timeout` parameter says so; long-running ones are free.

One sweeper looks at all requests under way, since a timer for each would cost more than many a request does; only those with a
time of their own get one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from pybernetes.apiserver.attributes import RequestInfo
from pybernetes.machinery import go_duration
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.errors import BadRequest, Timeout

LIMIT_S: Final = 60.0
SWEEP_PERIOD_S: Final = 1.0
LONG_RUNNING_SUBRESOURCES: Final = frozenset(("attach", "exec", "proxy", "log", "portforward"))


_PROFILES: Final = "/debug/pprof/"


def is_long_running(info: RequestInfo) -> bool:
    return info.verb == "watch" or is_unlimited(info)


def is_unlimited(info: RequestInfo) -> bool:
    """Long-running, and not counted among those that share the server's seats."""
    return info.subresource in LONG_RUNNING_SUBRESOURCES or (not info.is_resource and info.path.startswith(_PROFILES))


def requested_s(query: Mapping[str, str]) -> float | None:
    """The `timeout` parameter; None if there is none. Raises `BadRequest`."""
    text = query.get("timeout", "")
    if not text:
        return None
    try:
        return go_duration.parse(text) / 1e9 or None
    except ValueError as error:
        raise BadRequest(f"invalid timeout specified in the request URL - {error}") from None


def timed_out() -> Timeout:
    return Timeout("request did not complete within the allotted timeout")


class Running:
    """A request under way."""

    __slots__ = ("deadline", "expired", "task", "waited_s")

    def __init__(self, task: asyncio.Task[object], deadline: float) -> None:
        self.task = task
        self.deadline = deadline
        self.expired = False
        self.waited_s = 0.0  # for a place


class Deadlines:
    """`tick` is called once a second, by the way."""

    def __init__(self, clock: Clock, limit_s: float = LIMIT_S, tick: Callable[[], None] | None = None) -> None:
        self.limit_s = limit_s
        self._tick = tick
        self._clock = clock
        self._running: set[Running] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def count(self) -> int:
        """Requests under way."""
        return len(self._running)

    def start(self, now: float) -> Running:
        """The calling task's request begins; it is cancelled, and `expired` said, when it takes too long."""
        # With the loop given, this does not ask the kernel for the process's id each time.
        task = asyncio.current_task(self._loop)
        assert task is not None
        running = Running(task, now + self.limit_s)
        self._running.add(running)
        return running

    def end(self, running: Running) -> None:
        self._running.discard(running)

    async def run(self) -> None:
        """Look after the deadlines; until cancelled."""
        self._loop = asyncio.get_running_loop()
        while True:
            await self._clock.sleep(SWEEP_PERIOD_S)
            if self._tick is not None:
                self._tick()
            now = self._clock.monotonic()
            for running in tuple(self._running):
                if running.deadline < now and not running.expired:
                    running.expired = True
                    running.task.cancel()
