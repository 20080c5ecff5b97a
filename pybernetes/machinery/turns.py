"""Synchronous work that stops in its midst: to let others on the loop have their turn, or for an answer from outside.

    errors = await by_turns(lambda: rules.validate(obj, old))

Somewhere below, in plain functions, what may take long says what it does (`spend`), and what needs an answer waits for it
(`wait_for`). The work has a stack of its own (a greenlet), which is left then, and entered again where it was left. It is done
once, on the loop's thread, and nothing but time tells it that it was stopped.

Work begins at once; what ends within `TURN_UNITS` was never stopped. What does not goes on by `SLICE_UNITS`, one slice in a
turn of the loop, whoever's it is: those who take long wait for each other, and others for one slice at most.

Refused: a thread, since the interpreter's lock comes back to the loop only 5 ms after each call that lets go of it (a socket's,
TLS'), and since virtual time has no threads. Coroutines all the way down, since all that is cheap would be slower by half. To
end the work by an exception and to begin anew with the answer: only what is pure can be repeated, and it has to be.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

if TYPE_CHECKING:
    from greenlet import greenlet

T = TypeVar("T")
_Answer = Callable[[], Awaitable[Any]]

# A unit is about one step of an evaluation, 0.1 to 0.7 µs.
TURN_UNITS: Final = 30_000  # for all work that begins in one turn of the loop
SLICE_UNITS: Final = 5_000
_EACH: Final = 1000
_IDLE_MAX: Final = 16  # stacks that are kept: to make one takes longer than most work does


async def by_turns(work: Callable[[], T]) -> T:
    """What `work` gives, or raises. Where the caller is cancelled while it is stopped, it ends by a `GreenletExit`."""
    lane = _lane_of(asyncio.get_running_loop())
    while lane.left <= 0:
        await asyncio.sleep(0)
    run = _Run(work, lane)
    asked = run.begin()
    lane.spend(run.spent)
    try:
        while not run.ended:
            if asked is None:
                async with lane.line:
                    await asyncio.sleep(0)
                    run.left = SLICE_UNITS
                    asked = run.go_on(None)
                continue
            try:
                answer = await asked()
            except Exception as error:
                asked = run.fail(error)
            else:
                asked = run.go_on(answer)
    finally:
        run.close()
    return run.outcome()


def spend(units: int) -> None:
    """Say what was done, or is done next: where that adds up, others have their turn. Of work that is not done by turns,
    nobody takes notice."""
    run = _here.run
    if run is not None:
        run.left -= units
        if run.left < 0:
            run.stop(None)


def each(items: Collection[T]) -> Iterable[T]:
    """The items, for a loop that takes some units a turn: others have theirs in between, if there are many."""
    return items if len(items) <= _EACH else _with_turns(items)


def _with_turns(items: Iterable[T]) -> Iterator[T]:
    for place, item in enumerate(items):
        if place % _EACH == 0:
            spend(_EACH)
        yield item


def wait_for(answer: Callable[[], Awaitable[T]]) -> T:
    """What it gives, or raises. Raises RuntimeError in work that is not done by turns."""
    run = _here.run
    if run is None:
        raise RuntimeError("work that waits must be done by turns")
    found: T = run.stop(answer)
    return found


class _Lane:
    """What there is of one loop's time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.left = TURN_UNITS  # of this turn, for what begins in it
        self.line = asyncio.Lock()  # held for a turn, by those who go on
        self.idle: list[greenlet] = []
        self._is_counting = False

    def spend(self, units: int) -> None:
        self.left -= units
        if not self._is_counting:
            self._is_counting = True
            self.loop.call_soon(self._turned)

    def _turned(self) -> None:
        self.left, self._is_counting = TURN_UNITS, False


class _Run(Generic[T]):
    """Work under way, on a stack of its own. `left`: units until it is stopped. `begin`, `go_on` and `fail` give what it is
    stopped for: an answer, or a turn (None)."""

    __slots__ = ("_error", "_granted", "_lane", "_stack", "_value", "_work", "ended", "left")

    def __init__(self, work: Callable[[], T], lane: _Lane) -> None:
        self._work = work
        self._value: T | None = None
        self._error: BaseException | None = None
        self._lane = lane
        self._stack = lane.idle.pop() if lane.idle else _new_stack()
        self._granted = self.left = lane.left
        self.ended = False

    @property
    def spent(self) -> int:
        """Until it is stopped for the first time."""
        return self._granted - self.left

    # On the caller's stack

    def begin(self) -> _Answer | None:
        return self._entered(self._stack.switch, self)

    def go_on(self, answer: object) -> _Answer | None:
        return self._entered(self._stack.switch, answer)

    def fail(self, error: Exception) -> _Answer | None:
        return self._entered(self._stack.throw, error)

    def _entered(self, enter: Callable[[Any], Any], given: object) -> _Answer | None:
        _here.run = self
        try:
            asked: _Answer | None = enter(given)
        finally:
            _here.run = None
        return asked

    def close(self) -> None:
        """Work that has not ended does so now."""
        if not self.ended:
            self._stack.throw()  # a `GreenletExit`
        if len(self._lane.idle) < _IDLE_MAX:
            self._lane.idle.append(self._stack)

    def outcome(self) -> T:
        error, self._error = self._error, None
        if error is None:
            return self._value  # type: ignore[return-value]  # it is a T where there is no error
        try:
            raise error
        finally:
            del error  # or it would hold this frame, and the frame it

    # On its own

    def do(self) -> None:
        try:
            self._value = self._work()
        except BaseException as error:
            self._error = error
        self.ended = True

    def stop(self, asked: _Answer | None) -> Any:
        return self._stack.parent.switch(asked)  # type: ignore[union-attr]


class _Here(threading.local):
    """What a thread is at."""

    run: _Run[Any] | None = None  # whose stack is in use
    lane: _Lane | None = None  # of the loop that ran last


_here: Final = _Here()


def _lane_of(loop: asyncio.AbstractEventLoop) -> _Lane:
    lane = _here.lane
    if lane is None or lane.loop is not loop:
        lane = _here.lane = _Lane(loop)
    return lane


def _new_stack() -> greenlet:
    from greenlet import getcurrent, greenlet  # here, since most servers never need one

    home = getcurrent()

    def serve() -> None:
        run = home.switch()
        while True:
            run.do()
            run = None  # it may be all that holds what it gave
            run = home.switch()

    stack = greenlet(serve)
    stack.switch()
    return stack
