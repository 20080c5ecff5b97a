"""What a client may ask of us that brings nothing: resets, pings, settings, empty frames (CVE-2023-44487 and its like)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pybernetes.machinery.http.frames import Code, ConnectionFailure

ALLOWANCE: Final = 2000  # frames, filled up again at
ALLOWANCE_PER_S: Final = 200


class Allowance:
    """Full when it is made. `monotonic` tells the time, in seconds; it is only asked when the allowance is used up."""

    __slots__ = ("_left", "_monotonic", "_since")

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._left = float(ALLOWANCE)
        self._since = monotonic()

    def spend(self) -> None:
        """Draw on it. Raises `ConnectionFailure`."""
        if self._left < 1:
            now = self._monotonic()
            self._left = min(ALLOWANCE, self._left + (now - self._since) * ALLOWANCE_PER_S)
            self._since = now
            if self._left < 1:
                raise ConnectionFailure(Code.ENHANCE_YOUR_CALM, "too many frames that ask for nothing")
        self._left -= 1
