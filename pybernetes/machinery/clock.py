"""The one owner of time.

Everything that needs the time is given a `Clock`. Timers (`sleep`, `asyncio.timeout`) run on the event loop, so a loop on
virtual time (`pybernetes.sim`) moves all of them; only "what time is it" needs this seam.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Wall-clock time, monotonic time and sleep, from one source."""

    def now(self) -> datetime:
        """The wall-clock time: aware, UTC, microseconds."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        ...

    async def sleep(self, delay_s: float) -> None: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    monotonic = staticmethod(time.monotonic)  # not a function around it: each request asks several times

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)


def rfc3339(moment: datetime) -> str:
    """`metav1.Time`: whole seconds, as in `2026-11-21T10:00:00Z`."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return f"{moment.isoformat()[:19]}Z"


def rfc3339_micro(moment: datetime) -> str:
    """`metav1.MicroTime`: always six fractional digits."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> datetime:
    """Read an RFC 3339 time (`metav1.Time` or `MicroTime`). Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time without zone: {text!r}")
    return moment.astimezone(UTC)


def age(since: datetime, now: datetime) -> timedelta:
    """How long ago, never negative (clocks of two machines differ)."""
    return max(now - since, timedelta(0))
