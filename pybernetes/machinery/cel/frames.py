"""What compiled parts of an expression are, and what they are evaluated in.

A frame is a list: what may still be spent, then the variables.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

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


def exceeded() -> CostExceeded:
    return CostExceeded("operation cancelled: actual cost limit exceeded")


def spend(frame: Frame, cost: int) -> None:
    """Raises `CostExceeded`."""
    frame[0] -= cost
    if frame[0] < 0:
        raise exceeded()
