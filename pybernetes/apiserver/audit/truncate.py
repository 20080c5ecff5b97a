"""Events that are too large lose their objects, or are lost; batches that are too large are split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from pybernetes.apiserver.audit.backends import Backend, Losses
from pybernetes.apiserver.audit.policy import LEVELS, Level
from pybernetes.machinery.meta import Object

PLUGIN: Final = "truncate"
ANNOTATION: Final = "audit.k8s.io/truncated"
_OBJECTS: Final = frozenset(("requestObject", "responseObject"))


@dataclass(frozen=True, slots=True)
class Limits:
    """In bytes, as JSON."""

    max_batch_size: int = 10 * 1024 * 1024
    max_event_size: int = 100 * 1024


class Truncating:
    def __init__(self, backend: Backend, limits: Limits, losses: Losses) -> None:
        self._backend = backend
        self._limits = limits
        self._losses = losses

    async def process(self, events: Sequence[Object]) -> bool:
        limits, kept = self._limits, True
        batch: list[Object] = []
        batch_size = 0
        for whole in events:
            event, size = whole, _size(whole)
            if size > limits.max_event_size and LEVELS[event["level"]] >= Level.REQUEST:
                event = truncated(whole)
                size = _size(event)
            if size > limits.max_event_size:
                self._losses.lost(PLUGIN, "event is too large even after truncating", 1)
                continue
            if batch and batch_size + size > limits.max_batch_size:
                kept = await self._backend.process(batch) and kept
                batch, batch_size = [], 0
            batch.append(event)
            batch_size += size
        if batch:
            kept = await self._backend.process(batch) and kept
        return kept

    async def close(self) -> None:
        await self._backend.close()


def truncated(event: Object) -> Object:
    """A copy without what was sent and answered; an annotation says so."""
    kept = {name: value for name, value in event.items() if name not in _OBJECTS}
    kept["annotations"] = {**event.get("annotations", {}), ANNOTATION: "true"}
    return kept


def _size(event: Object) -> int:
    return len(orjson.dumps(event))
