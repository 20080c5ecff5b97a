"""`--enable-priority-and-fairness=false`: so many reading and so many writing requests at a time, whoever asks.

Nobody waits; what finds no place is answered 429, except for `system:masters`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pybernetes.apiserver.attributes import MASTERS, RequestInfo, User
from pybernetes.apiserver.flow_control.interface import NO_HEADERS, TooBusy

READS: Final = frozenset(("get", "list", "watch"))


class Slot:
    """One of the two kinds of requests; a limit of 0 is none. `privileged` requests are counted and never refused."""

    __slots__ = ("counter", "headers", "privileged")

    def __init__(self, counter: Counter, *, privileged: bool) -> None:
        self.counter = counter
        self.privileged = privileged
        self.headers = NO_HEADERS


class Counter:
    __slots__ = ("limit", "plain", "privileged", "running")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.running = 0
        self.plain = Slot(self, privileged=False)
        self.privileged = Slot(self, privileged=True)


class MaxInFlight:
    """See `Door`."""

    def __init__(self, reading: int, writing: int) -> None:
        self._reading = Counter(reading)
        self._writing = Counter(writing)

    def seat(self, user: User, info: RequestInfo, _query: Mapping[str, str]) -> Slot:
        counter = self._reading if info.verb in READS else self._writing
        return counter.privileged if MASTERS in user.groups else counter.plain

    def enter_at_once(self, seat: Slot) -> bool:
        counter = seat.counter
        if counter.limit and counter.running >= counter.limit and not seat.privileged:
            return False
        counter.running += 1
        return True

    async def wait(self, _seat: Slot, _user: User, _info: RequestInfo, _size: int) -> Slot:
        raise TooBusy

    def leave(self, seat: Slot) -> None:
        seat.counter.running -= 1
