"""The seam between the engine and the disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from pybernetes.store.interface import Change, Unavailable
from pybernetes.store.interface import State as State  # what a log opens with, and so part of this seam


@dataclass(slots=True)
class Batch:
    """What one commit makes durable, all or nothing."""

    changes: list[Change] = field(default_factory=list)  # in revision order
    leases: dict[int, int | None] = field(default_factory=dict)  # id -> seconds to live, None if it ended

    def __bool__(self) -> bool:
        return bool(self.changes or self.leases)


class Log(Protocol):
    """Keeps a store's state through the end of its process. One batch is under way at a time."""

    async def open(self) -> State:
        """The state after the last batch that became durable. Raises `StoreError` with a sentence for the user."""
        ...

    def commit(self, batch: Batch, done: Callable[[Exception | None], None]) -> None:
        """Make the batch durable, then call `done` on the event loop: with None, or with the error.

        After an error it is unknown whether the batch became durable.
        """
        ...

    async def recover(self) -> State:
        """After a failed commit: the state after the last batch that became durable, once batches can be again.

        Raises what still keeps them from it.
        """
        ...

    async def close(self) -> None: ...


class MemoryLog:
    """Nothing survives, and nothing takes time: no thread, no real time, the same order in every run."""

    async def open(self) -> State:
        return State()

    def commit(self, batch: Batch, done: Callable[[Exception | None], None]) -> None:
        done(None)

    async def recover(self) -> State:
        raise Unavailable("nothing of this log is kept")

    async def close(self) -> None:
        pass
