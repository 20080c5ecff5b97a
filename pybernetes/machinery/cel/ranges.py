"""Sizes that are known only within bounds, and arithmetic that stops at 64 bits instead of growing."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from pybernetes.machinery.cel.tree import Expr
from pybernetes.machinery.cel.types import Type

MOST: Final = 2**64 - 1  # no bound


def added(*costs: int) -> int:
    return min(sum(costs), MOST)


def multiplied(a: int, b: int) -> int:
    return min(a * b, MOST)


def scaled(size: int, factor: float) -> int:
    """Rounded up, out of floating point: the last digit counts where definitions are compared with upstream's answers."""
    return min(math.ceil(float(size) * factor), MOST)


class Range(NamedTuple):
    """From `low` to `high`, both included."""

    low: int
    high: int

    def union(self, other: Range) -> Range:
        return Range(min(self.low, other.low), max(self.high, other.high))

    def plus(self, other: Range) -> Range:
        return Range(added(self.low, other.low), added(self.high, other.high))

    def times(self, other: Range) -> Range:
        return Range(multiplied(self.low, other.low), multiplied(self.high, other.high))

    def cost(self, factor: float) -> int:
        """Of going through the most of it, at so much each."""
        return scaled(self.high, factor)


UNKNOWN: Final = Range(0, MOST)


class Entries(NamedTuple):
    """Sizes of what is in a list or map that an expression made."""

    container: str
    key: Range
    value: Range

    def union(self, other: Entries) -> Entries:
        return Entries(self.container, self.key.union(other.key), self.value.union(other.value))


class Operand(NamedTuple):
    """What is known of a part of an expression. `path`: the variable, fields and elements that lead to it, if these do."""

    cost: int
    type: Type
    path: tuple[str, ...] = ()
    size: Range | None = None
    entries: Entries | None = None
    expr: Expr | None = None
