"""Where audit events go: the seam, what is lost on the way, and several backends as one.

Backends ─▶ blocking: the log, the webhook           (the request waits until its event is there)
         └▶ Buffered ─▶ Truncating ─▶ log, webhook   (batches, in the background)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object

log = logger("audit")

BATCH: Final = "batch"
BLOCKING: Final = "blocking"
BLOCKING_STRICT: Final = "blocking-strict"
MODES: Final = (BATCH, BLOCKING, BLOCKING_STRICT)


class Backend(Protocol):
    async def process(self, events: Sequence[Object]) -> bool:
        """Take finished events, which nobody alters any more; False if one of them is lost (and said to be so)."""
        ...

    async def close(self) -> None:
        """Send what was taken, within a bound; nothing is processed afterwards."""
        ...


class Losses:
    """Counts the events that were lost, by the part that lost them."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def lost(self, plugin: str, why: str, events: int) -> None:
        self.counts[plugin] = self.counts.get(plugin, 0) + events
        log.error("Error in audit plugin", plugin=plugin, events=events, err=why)


class Backends:
    """Each event goes to all of them. Those in mode blocking-strict must have it before a request may go on."""

    def __init__(self, members: Sequence[tuple[str, Backend]], losses: Losses) -> None:
        """`members`: (mode, backend)."""
        self._members = tuple(members)
        self.losses = losses

    async def process(self, events: Sequence[Object]) -> bool:
        kept = True
        for mode, backend in self._members:
            if not await backend.process(events) and mode == BLOCKING_STRICT:
                kept = False
        return kept

    async def close(self) -> None:
        for _, backend in self._members:
            await backend.close()
