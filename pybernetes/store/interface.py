"""The store: an ordered map from keys to bytes, with one history.

Each committed write takes a later revision (an int > 0, rising across the whole store), shown as `resourceVersion`; what is
written as one (the deletions by which a lease ends, another client's transaction) may share it. Writes
are linearizable, and return once they are on disk; nobody sees a write, in a read, a watch or a refusal, before that. An
entry read is current when the read returns. `tests/component/store` holds every engine to this text.

Keys are upstream's (`/registry/pods/<namespace>/<name>`); the store gives them no meaning beyond their order (by code point,
which is the order of their UTF-8 bytes) and their prefixes. How much history is kept is the engine's business: at least
`compact` shortens it, and whoever asks for what is forgotten is told so (`Compacted`), never given a part.

A caller that is cancelled while it waits for a write does not know whether it happened, as after `Unavailable`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NewType, Protocol

import msgspec

Revision = NewType("Revision", int)


# A store is hundreds of thousands of these: made eight times as fast as a frozen dataclass, and nothing that the garbage
# collector has to look at (they refer to no more than strings, bytes and numbers; changes to entries).
class Entry(msgspec.Struct, frozen=True, gc=False):
    """A key as of one revision."""

    key: str
    value: bytes
    create_revision: Revision
    mod_revision: Revision
    version: int  # writes since creation, 1 at creation
    lease: int = 0  # 0: none

    @property
    def stale(self) -> bool:
        """Whether the same value would be stored in another form today, and is worth writing again."""
        return False

    def __hash__(self) -> int:
        return hash((self.key, self.mod_revision))


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a range, in key order, all of it as of `revision`."""

    entries: Sequence[Entry]
    revision: Revision
    remaining: int  # entries after the last one given


class Change(msgspec.Struct, frozen=True, gc=False):
    """One committed write to one key. `entry` is None for a deletion; `previous` is None for a creation."""

    revision: Revision
    key: str
    entry: Entry | None
    previous: Entry | None


@dataclass(frozen=True, slots=True)
class State:
    """All that a store is, as of one revision, without its history."""

    revision: Revision = Revision(0)
    entries: Sequence[Entry] = ()  # in any order
    leases: dict[int, int] = field(default_factory=dict)  # id -> seconds to live


class StoreError(Exception):
    """Whatever a store may refuse."""


class KeyExists(StoreError):
    """A creation met an existing key, given as `current`."""

    def __init__(self, current: Entry) -> None:
        super().__init__(f"key exists: {current.key}")
        self.current = current


class Mismatch(StoreError):
    """A guarded write met another revision than expected; `current` is None if the key is gone."""

    def __init__(self, key: str, current: Entry | None) -> None:
        super().__init__(f"revision mismatch: {key}")
        self.current = current


class Compacted(StoreError):
    """The history asked for is forgotten. Known are ranges as of `oldest` and later, and changes after `oldest`."""

    def __init__(self, oldest: Revision) -> None:
        super().__init__(f"required revision has been compacted; oldest is {oldest}")
        self.oldest = oldest


class FutureRevision(StoreError):
    """The revision asked for is not there yet; `current` is."""

    def __init__(self, current: Revision) -> None:
        super().__init__(f"required revision is a future revision; current is {current}")
        self.current = current


class LeaseNotFound(StoreError):
    """No such lease (it may have expired)."""


class LeaseExists(StoreError):
    """The id asked for is taken."""


class Unavailable(StoreError):
    """The store cannot say whether the write happened: read, then decide."""


class Watch(Protocol):
    """Changes under one prefix, in order; see `Store.watch`. For one consumer."""

    def __aiter__(self) -> AsyncIterator[Change]: ...

    async def __anext__(self) -> Change: ...

    @property
    def progress(self) -> Revision:
        """Every change up to this revision has been given out: fit for a bookmark, and for knowing a cache to be current.

        It rises while nothing happens under the prefix but something does elsewhere.
        """
        ...

    async def aclose(self) -> None:
        """End the iteration, also one that waits. Not needed where the engine holds nothing for an idle watch."""
        ...


class Store(Protocol):
    """See the module's text. All methods may raise `Unavailable`."""

    async def revision(self) -> Revision:
        """Of the last committed write (linearizable); in a store never written to, 0 or where it begins to count."""
        ...

    async def writable(self) -> None:
        """Raises `Unavailable` while no write can be taken, which reads need not feel: for a health check."""
        ...

    async def get(self, key: str) -> Entry | None: ...

    async def range(self, prefix: str, *, revision: Revision | None = None, limit: int = 0, after: str = "") -> Page:
        """Entries whose key starts with `prefix` and sorts after `after`; `limit` 0 is all of them.

        As of `revision` (default: now). Raises `Compacted` if it is forgotten, `FutureRevision` if it is to come.
        """
        ...

    async def create(self, key: str, value: bytes, *, lease: int = 0) -> Revision:
        """Raises `KeyExists`, or `LeaseNotFound` for a lease that is not there (nor will be revived)."""
        ...

    async def update(self, key: str, value: bytes, *, mod_revision: Revision, lease: int = 0) -> Revision:
        """Write if the key is still at `mod_revision`, else raise `Mismatch`. The key leaves a lease not named again."""
        ...

    async def delete(self, key: str, *, mod_revision: Revision) -> Revision:
        """Remove if the key is still at `mod_revision`, else raise `Mismatch`."""
        ...

    def watch(self, prefix: str, *, from_revision: Revision, on_progress: Callable[[Revision], None] | None = None) -> Watch:
        """Each change from that revision on (inclusive), in order, no gap and no repeat; then it waits for more.

        To follow a range read, watch from the revision after its own. A revision to come is waited for. Iterating raises
        `Compacted` if history starts later, also in the middle of it for a reader too slow for the window.

        `on_progress` is called whenever the reader waits and `Watch.progress` rises without a change to give: revisions also
        go to what is not under the prefix. It must be quick and must not raise.
        """
        ...

    async def compact(self, revision: Revision) -> None:
        """Forget how the state of `revision` came about; what is known of it, and since, stays. Raises `FutureRevision`."""
        ...

    async def grant(self, ttl_s: int, *, lease: int = 0) -> int:
        """A new lease, durable, its id chosen unless given (then it may raise `LeaseExists`).

        When it expires, the keys last written with it are deleted, by ordinary writes. After a restart of the store it has
        its whole time again.
        """
        ...

    async def keep_alive(self, lease: int) -> int:
        """Renew for the lease's whole time; returns its seconds. Raises `LeaseNotFound`."""
        ...

    async def revoke(self, lease: int) -> None:
        """End the lease now and delete its keys. Raises `LeaseNotFound`."""
        ...

    async def snapshot(self, path: Path) -> Revision:
        """Write a copy of the whole, as of the revision returned, to a new file (see `store.snapshot`); writes go on.

        Raises `FileExistsError`, and OSError if the file cannot be written.
        """
        ...

    async def close(self) -> None:
        """Stop; every acknowledged write is on disk, and watches that wait raise `Unavailable`."""
        ...
