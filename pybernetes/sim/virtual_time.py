"""Virtual time: when all is idle, the clock jumps to the next timer. An hour of cluster life takes as long as its work.

The loop is asyncio's own; only its selector is ours, which never waits. Whoever would wait for the outside world (a socket, a
thread) would stop time for everybody, so threads are refused and a loop with nothing left to do says so.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class Stalled(RuntimeError):
    """Every task waits for something that will never happen: no timer is left."""


class _NeverWaits(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stalled("all tasks wait, and no timer is set")
        if timeout > 0:
            self.now_s += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time, which starts at 0."""

    def __init__(self) -> None:
        self._virtual = _NeverWaits()
        super().__init__(self._virtual)
        # The base class allows for timers to fire this early; time is exact here.
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._virtual.now_s

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> NoReturn:  # type: ignore[override]
        raise RuntimeError(f"threads do not run on virtual time: {func}")


class VirtualClock:
    """A `Clock` that reads a virtual loop's time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, epoch: datetime = EPOCH) -> None:
        self._loop = loop
        self._epoch = epoch

    def now(self) -> datetime:
        return self._epoch + timedelta(seconds=self._loop.time())

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)


def run(main: Callable[[VirtualClock], Coroutine[Any, Any, T]]) -> T:
    """Run `main(clock)` on a virtual loop of its own. Raises `Stalled` where it would wait for ever."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main(VirtualClock(runner.get_loop())))
