"""Entries as they come out of the store that encrypts: what was decrypted, and what cannot be.

An entry that cannot be read stays an entry: it is listed, counted, watched and (by who knows nothing but its key) deleted like
any other. Only whoever looks at its value gets the error, which is the API's answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import TYPE_CHECKING

from pybernetes.machinery.errors import Cause, InternalError
from pybernetes.store.interface import Entry

if TYPE_CHECKING:
    from pybernetes.apiserver.encryption.transformers import Origin, Transformer


_FIELDS = attrgetter("key", "value", "create_revision", "mod_revision", "version", "lease")


class Transformed(Entry, frozen=True, eq=False, kw_only=True):
    """An entry of a resource with providers of its own; equal to the entry that it means."""

    origin: Origin
    transformer: Transformer

    __hash__ = Entry.__hash__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Entry) and _FIELDS(self) == _FIELDS(other)

    def __repr__(self) -> str:
        return f"Transformed(key={self.key!r}, mod_revision={self.mod_revision})"

    @property
    def stale(self) -> bool:
        return self.origin != self.transformer.origin


class Unreadable(Entry, frozen=True, eq=False, kw_only=True):
    """An entry whose value nobody here can decrypt."""

    why: str

    @classmethod
    def of(cls, stored: Entry, why: str) -> Unreadable:
        return cls(stored.key, b"", stored.create_revision, stored.mod_revision, stored.version, stored.lease, why=why)

    @property  # type: ignore[misc]  # not given: it raises
    def value(self) -> bytes:
        """Raises `CannotBeRead`."""
        raise CannotBeRead(self.key, self.why)

    def __repr__(self) -> str:
        return f"Unreadable(key={self.key!r}, mod_revision={self.mod_revision}, why={self.why!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unreadable) and (self.key, self.mod_revision) == (other.key, other.mod_revision)

    __hash__ = Entry.__hash__


class CannotBeRead(InternalError):
    """Nor can it be written, where no provider can encrypt."""

    def __init__(self, key: str, why: str, said: str = "") -> None:
        """`said`: how the answer puts it, if not just `why`."""
        super().__init__(f"Internal error occurred: {said or why}", causes=[Cause("", said or why)])
        self.key = key
        self.why = why


def check_readable(entries: Iterable[Entry]) -> None:
    """For a list, which is whole or not at all. Raises `CannotBeRead`, naming the first entry that cannot."""
    if Unreadable in map(type, entries):
        broken = next(entry for entry in entries if isinstance(entry, Unreadable))
        raise CannotBeRead(broken.key, broken.why, f'unable to transform key "{broken.key}": {broken.why}')
