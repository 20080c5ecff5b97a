"""Conversions that somebody outside does (a webhook), in the midst of decisions that are pure and synchronous.

A decision that comes to such a conversion raises `Unconverted`; `with_conversions` has it done and begins the decision anew,
which then finds it done. Decisions are restartable for being pure. The refused alternative, making every function on the way to
a conversion async, would put the network into server-side apply.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from pybernetes.machinery.errors import StatusError
from pybernetes.store.interface import Entry

T = TypeVar("T")

# Conversions of one decision: each manager of an object may need two or three, and there are a dozen of them.
CONVERSIONS_MAX: Final = 100


class Localized(Entry, frozen=True):
    """An entry whose value is the object in the version that is served, final: nothing is to be filled in or dropped."""


class ConversionFailed(StatusError):
    """A conversion that could not be done; upstream answers with the bare sentence."""


class Unconverted(Exception):
    """A conversion is needed that was not done yet; `convert` does it. Raises `ConversionFailed`."""

    def __init__(self, convert: Callable[[], Awaitable[object]]) -> None:
        super().__init__()
        self.convert = convert


async def with_conversions(decide: Callable[[], T]) -> T:
    """What `decide` gives. Raises whatever it raises, and `ConversionFailed`."""
    for _ in range(CONVERSIONS_MAX):
        try:
            return decide()
        except Unconverted as missing:
            await missing.convert()
    raise ConversionFailed("too many conversions are needed")
