"""What compiled parts of an expression are, and what they are evaluated in.

A frame is a list: what may be spent at once; the variables; what is held back. Others on the loop have their turn between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from pybernetes.machinery import turns
from pybernetes.machinery.cel.values import CostExceeded

Frame = list[Any]
Run = Callable[[Frame], Any]


class Part(NamedTuple):
    """`price`: what it always costs. An attribute is a variable, or fields and items of something."""

    run: Run
    price: int
    is_attribute: bool = False
    is_constant: bool = False


def constant(value: Any) -> Part:
    return Part(lambda _: value, 0, is_constant=True)


def spend(frame: Frame, cost: int) -> None:
    """Raises `CostExceeded`."""
    frame[0] -= cost
    if frame[0] < 0:
        draw(frame)


def draw(frame: Frame) -> None:
    """More was spent than might be at once: go on with what is held back. Raises `CostExceeded` where that is not enough."""
    left = frame[0] + frame[-1]
    if left < 0:
        raise CostExceeded("operation cancelled: actual cost limit exceeded")
    turns.spend(turns.SLICE_UNITS - frame[0])
    frame[0] = min(left, turns.SLICE_UNITS)
    frame[-1] = left - frame[0]
