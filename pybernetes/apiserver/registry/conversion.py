"""Conversions that somebody outside does (a webhook), in the midst of decisions that are synchronous: these are made by turns,
and wait (`machinery/turns`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.turns import by_turns
from pybernetes.store.interface import Entry

if TYPE_CHECKING:
    from pybernetes.apiserver.registry.kinds import Kind

T = TypeVar("T")


class Localized(Entry, frozen=True):
    """An entry whose value is the object in the version that is served, final: nothing is to be filled in or dropped."""


class ConversionFailed(StatusError):
    """A conversion that could not be done; upstream answers with the bare sentence."""


async def with_conversions(kind: Kind, decide: Callable[[], T]) -> T:
    """What `decide` gives, which may convert objects of the kind. Raises whatever it raises, and `ConversionFailed`."""
    return await by_turns(decide) if kind.converts_remotely else decide()
