"""All that was ever written in a simulated cluster: each committed change, when it was committed, and to what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import zip_longest

import orjson

from pybernetes.machinery.meta import Object
from pybernetes.store.interface import Change, Revision


class Verb(StrEnum):
    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Event:
    """One committed change. Two are equal only if they happened at the same time and wrote the same bytes."""

    at_s: float  # virtual seconds since the cluster's start
    revision: Revision
    verb: Verb
    key: str  # as in the store: /registry/pods/default/web-0
    value: bytes  # what was written; for a deletion what was there last

    @property
    def object(self) -> Object:
        """The object as it was written (a deleted one: as it was last), decoded anew with each call."""
        obj: Object = orjson.loads(self.value)
        return obj

    def __str__(self) -> str:
        return f"{self.at_s:.6f} s  r{self.revision}  {self.verb}  {self.key}"


def event_of(change: Change, at_s: float) -> Event:
    written = change.entry or change.previous
    assert written is not None
    verb = Verb.DELETED if change.entry is None else Verb.CREATED if change.previous is None else Verb.UPDATED
    return Event(at_s, change.revision, verb, change.key, written.value)


def difference(first: Sequence[Event], second: Sequence[Event]) -> str:
    """Where two histories part, in words; "" if they are the same."""
    for number, (one, other) in enumerate(zip_longest(first, second)):
        if one != other:
            lines = [f"event {number} differs:", f"  {one}", f"  {other}"]
            if one and other and one.key == other.key:
                lines += [f"  {each.value.decode()}" for each in (one, other)]
            return "\n".join(lines)
    return ""


def state_after(history: Sequence[Event]) -> dict[str, bytes]:
    """What a store holds once all of this happened. Raises AssertionError for a history that cannot be."""
    state: dict[str, bytes] = {}
    revision = 0
    for event in history:
        assert event.revision > revision, f"out of order: {event}"
        revision = event.revision
        assert (event.verb is Verb.CREATED) == (event.key not in state), f"impossible: {event}"
        if event.verb is Verb.DELETED:
            del state[event.key]
        else:
            state[event.key] = event.value
    return state
