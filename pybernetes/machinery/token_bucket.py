"""A token bucket: so many at once, so many a second after that (client-go's flow control, `golang.org/x/time/rate`)."""

from __future__ import annotations

from pybernetes.machinery.clock import Clock


class TokenBucket:
    """Full at first: `burst` may be taken at once; `per_second` come back, up to `burst`."""

    __slots__ = ("_at_s", "_burst", "_clock", "_per_second", "_tokens")

    def __init__(self, per_second: float, burst: int, clock: Clock) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._tokens = float(burst)
        self._at_s = clock.monotonic()

    def take(self) -> bool:
        """Take one, if there is one."""
        self._refill()
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    async def wait(self) -> None:
        """Take one as soon as there is one; who waits first is not necessarily served first."""
        while not self.take():
            await self._clock.sleep((1 - self._tokens) / self._per_second)

    def _refill(self) -> None:
        now_s = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now_s - self._at_s) * self._per_second)
        self._at_s = now_s
