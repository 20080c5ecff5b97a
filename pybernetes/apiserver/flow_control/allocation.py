"""How many requests each priority level may have under way: its share, what it lends, what it borrows. Pure.

Every `ADJUSTMENT_PERIOD_S` the seats are divided anew, by what the levels have asked for since the last time. A level keeps at
least what it does not lend (or what it asked for, if less than its nominal limit is asked for), and gets at most its nominal
limit and what it may borrow.

Contract: API concepts, "API Priority and Fairness", "Seats Occupied by a Request" and "Priority Levels"; KEP-1040.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

ADJUSTMENT_PERIOD_S: Final = 10.0
DECAY: Final = 0.977  # of smoothed demand per period: a burst is forgotten in minutes, not at once
WIDTH_MOST: Final = 10  # seats of one request
WIDTH_SHARE: Final = 0.15  # and of its level's nominal limit
_LEAST_TARGET: Final = 0.001


@dataclass(frozen=True, slots=True)
class Shares:
    """What a PriorityLevelConfiguration says about seats."""

    nominal: int  # nominalConcurrencyShares
    lendable_percent: int = 0
    borrowing_percent: int | None = None  # None: as much as there is
    exempt: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """In seats."""

    nominal: int
    lower: int
    upper: int

    @property
    def initial(self) -> int:
        """Until demand is known: half of what can be lent is."""
        return self.nominal - (self.nominal - self.lower) // 2


def limits(levels: Mapping[str, Shares], seats: int) -> dict[str, Limits]:
    """The bounds of each level by its share of all `seats`."""
    total = sum(shares.nominal for shares in levels.values()) or 1
    found = {}
    for name, shares in levels.items():
        nominal = math.ceil(seats * shares.nominal / total)
        lower = nominal - _rounded(nominal * shares.lendable_percent / 100)
        unbounded = shares.borrowing_percent is None or shares.exempt
        upper = seats if unbounded else nominal + _rounded(nominal * (shares.borrowing_percent or 0) / 100)
        found[name] = Limits(nominal, lower, max(upper, nominal))
    return found


def width_most(nominal: int, hand_size: int) -> int:
    """The seats that one request of a level may take, so that no few of them fill it."""
    share = math.ceil(nominal * WIDTH_SHARE)
    return max(1, min(WIDTH_MOST, share, nominal // hand_size if hand_size else share))


class Demand:
    """What a level has asked for since the last adjustment: the most, and samples of running and waiting seats together."""

    __slots__ = ("_count", "_squares", "_sum", "average", "deviation", "high", "last_high", "smoothed")

    def __init__(self) -> None:
        self.high = 0  # of the period under way
        self.last_high = 0  # this and the following: of the period before
        self.average = 0.0
        self.deviation = 0.0
        self.smoothed = 0.0
        self._sum = self._squares = self._count = 0

    def sample(self, seats: int) -> None:
        self._sum += seats
        self._squares += seats * seats
        self._count += 1

    def close_period(self, seats: int) -> None:
        """Sum the period up and begin the next one, with `seats` asked for at the moment."""
        self.sample(seats)
        self.average = self._sum / self._count
        self.deviation = math.sqrt(max(0.0, self._squares / self._count - self.average**2))
        envelope = self.average + self.deviation
        self.smoothed = max(envelope, DECAY * self.smoothed + (1 - DECAY) * envelope)
        self.last_high, self.high = max(self.high, seats), seats
        self._sum = self._squares = self._count = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """One level in a division: it wants `target` seats, gets at least `lower` and at most `upper`."""

    target: float
    lower: float
    upper: float


def claim(bounds: Limits, demand: Demand) -> Claim:
    lower = max(bounds.lower, min(bounds.nominal, demand.last_high))
    return Claim(max(float(lower), demand.smoothed), lower, max(bounds.upper, lower))


def divide(claims: Sequence[Claim], seats: int) -> tuple[list[int], float]:
    """The seats of each claim, and the fraction of its target that one without bounds gets.

    They sum up to `seats`, but for rounding and where bounds forbid it: the fraction is then the nearest possible one.
    """
    targets = [max(one.target, _LEAST_TARGET) for one in claims]

    def given(fraction: float) -> list[float]:
        return [min(one.upper, max(one.lower, fraction * target)) for one, target in zip(claims, targets, strict=True)]

    low, high = 0.0, max((one.upper / target for one, target in zip(claims, targets, strict=True)), default=0.0)
    for _ in range(64):
        middle = (low + high) / 2
        if sum(given(middle)) < seats:
            low = middle
        else:
            high = middle
    return [_rounded(found) for found in given(high)], high


def _rounded(number: float) -> int:
    return math.floor(number + 0.5)
