"""The recent past: the changes that led to what is current, as long as they are remembered.

It serves two needs. A watch reads the changes after the revision that it has reached. A read of the past (later pages of a
list, which must all show one revision) takes what is current and undoes the changes since. Both cost the number of changes
since, in the resources asked for; nothing is paid by writes, and no second copy of the state is kept. (Refused: versions per
key, as etcd's index has, which every write and every plain read would pay for; and a copy per reader, which is megabytes.)

History is kept per resource (a key up to its third slash, `/registry/pods/`), so that busy Leases and Events do not drive out
what a watcher of Pods needs. It is bounded three ways: in changes, in the bytes of superseded values that only history keeps
in memory, and in age, so that a small idle cluster does not slowly fill the bounds of a large one.

Nothing of this is on disk: after a restart history begins at the state that was opened, and watchers from before list again,
as after a restart of upstream's API server.

Several changes may share a revision (a transaction); they come together, and a cursor is a revision, so they are never parted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pybernetes.store.interface import Change, Compacted, Entry, Revision

CHANGE_BYTES = 400  # what a change costs in memory beside the values: the change, an entry, a key
MARK_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class HistoryLimits:
    """What is remembered at most, for each resource."""

    changes: int = 50_000
    bytes: int = 64 << 20
    age_s: float = 300.0  # upstream compacts etcd every five minutes


def resource_of(key_or_prefix: str) -> str:
    """The part up to the third slash; "" if there are fewer, which as a prefix means several resources."""
    slash = -1
    for _ in range(3):
        slash = key_or_prefix.find("/", slash + 1)
        if slash < 0:
            return ""
    return key_or_prefix[: slash + 1]


@dataclass(slots=True)
class _Window:
    """One resource's changes, all of those after `floor`."""

    floor: Revision
    changes: deque[Change] = field(default_factory=deque)
    bytes: int = 0

    def append(self, change: Change) -> None:
        self.changes.append(change)
        self.bytes += _cost(change)

    def forget_first(self) -> None:
        change = self.changes.popleft()
        self.bytes -= _cost(change)
        self.floor = change.revision

    def newest_first(self, after: Revision) -> Iterator[Change]:
        """Changes after that revision, walking back: the cost is what is given, wherever the window begins."""
        for change in reversed(self.changes):
            if change.revision <= after:
                return
            yield change


def _cost(change: Change) -> int:
    # The new value is the image's, or the `previous` of a later change: each value is counted once.
    return CHANGE_BYTES + (len(change.previous.value) if change.previous else 0)


class History:
    """All resources' windows. `floor` is where the whole history begins; some windows may begin later."""

    def __init__(self, floor: Revision, limits: HistoryLimits) -> None:
        self.floor = floor
        self._limits = limits
        self._windows: dict[str, _Window] = {}
        self._marks: deque[tuple[float, Revision]] = deque()  # what had been written when, oldest first

    def extend(self, changes: Iterable[Change], now_s: float) -> None:
        """Take in the next changes, all made `now_s` (any rising clock), and forget what goes beyond the limits."""
        revision = self.floor
        for change in changes:
            resource = resource_of(change.key)
            window = self._windows.get(resource)
            if window is None:
                window = self._windows[resource] = _Window(self.floor)
            window.append(change)
            while len(window.changes) > self._limits.changes or window.bytes > self._limits.bytes:
                window.forget_first()
            revision = change.revision
        if not self._marks or now_s - self._marks[-1][0] >= MARK_EVERY_S:
            self._marks.append((now_s, revision))
        while self._marks and now_s - self._marks[0][0] > self._limits.age_s:
            self.forget(self._marks.popleft()[1])

    def since(self, prefix: str, after: Revision) -> list[Change]:
        """Changes under `prefix` after that revision, in order. Raises `Compacted`."""
        found = [change for change in self._newest_first(prefix, after) if change.key.startswith(prefix)]
        found.reverse()  # so that changes of one revision keep their order
        found.sort(key=lambda change: change.revision)
        return found

    def undo(self, prefix: str, revision: Revision) -> dict[str, Entry | None]:
        """Keys under `prefix` changed since, each with its entry as of that revision. Raises `Compacted`."""
        # The oldest of a key's changes comes last, and prevails.
        return {
            change.key: change.previous
            for change in self._newest_first(prefix, revision)
            if change.key.startswith(prefix)
        }  # fmt: skip

    def forget(self, revision: Revision) -> None:
        """Forget changes up to that revision (inclusive)."""
        self.floor = max(self.floor, revision)
        for resource, window in list(self._windows.items()):
            while window.changes and window.changes[0].revision <= revision:
                window.forget_first()
            window.floor = max(window.floor, revision)
            if not window.changes and window.floor == self.floor:  # nothing that the history does not say
                del self._windows[resource]

    def _newest_first(self, prefix: str, after: Revision) -> Iterator[Change]:
        """The windows that concern `prefix`, one after the other."""
        resource = resource_of(prefix)
        if resource:
            windows = [window] if (window := self._windows.get(resource)) else []
        else:
            windows = list(self._windows.values())
        floor = max((window.floor for window in windows), default=self.floor)
        if after < floor:
            raise Compacted(floor)
        for window in windows:
            yield from window.newest_first(after)
