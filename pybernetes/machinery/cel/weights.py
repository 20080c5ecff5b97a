"""How much there is in a value: what going through it costs.

Values may share parts, `[a, a]` in `[b, b]` and so on, and then have more in them than any memory holds: counting has an end.
"""

from __future__ import annotations

import math
from typing import Any, Final

from pybernetes.machinery.cel.library_kubernetes import Cidr, Ip
from pybernetes.machinery.cel.values import CostExceeded, MapList, SetList
from pybernetes.machinery.turns import each, spend

TRAVERSAL: Final = 0.1  # of a character, or an item that is compared
SEARCHED_EACH: Final = 2000  # characters that a search may look at in the time of a unit
PARTS_MAX: Final = 2_000_000  # a request of 3 MB has no more
_CONTAINERS_FREE: Final = 100  # upstream does not count them at all
_SHORT_TEXTS_FREE: Final = 1000  # which cost nothing upstream
_LEAVES: Final = frozenset((str, int, float, bool, type(None)))


def size(value: Any) -> int:
    """As `size()` tells it; 1 for what has none."""
    if type(value) is str:
        return len(value)
    if isinstance(value, str | bytes | list | dict):
        return len(value)
    if isinstance(value, Ip):
        return value.address.max_prefixlen // 8
    return math.ceil(value.network.prefixlen / 8) if isinstance(value, Cidr) else 1


def traversal(value: Any) -> int:
    """Of a value and all that is in it: a tenth of each text, 1 of all else that has nothing in it. Raises `CostExceeded`."""
    cost = 0
    counter = _Counter()
    waiting: list[list[Any] | dict[Any, Any]] = [[value]]
    while waiting:
        part = waiting.pop()
        for item in each([*part, *part.values()] if isinstance(part, dict) else part):
            if isinstance(item, str):
                cost += int(len(item.encode("utf-8", "surrogatepass")) * TRAVERSAL)
            elif isinstance(item, bytes):
                cost += int(len(item) * TRAVERSAL)
            elif isinstance(item, list | dict):
                counter.count(len(item))
                waiting.append(item)
            else:
                cost += 1
    return max(cost + max(0, counter.surplus), (counter.found - _SHORT_TEXTS_FREE) // 2)


def parts(value: list[Any] | dict[Any, Any]) -> int:
    """How many items and entries there are, in what is in it, too; sets compare each with each. Raises `CostExceeded`."""
    counter = _Counter()
    waiting: list[list[Any] | dict[Any, Any]] = [value]
    while waiting:
        part = waiting.pop()
        spend(1 + len(part) // 10)
        counter.count(len(part) ** 2 if isinstance(part, SetList | MapList) else len(part))
        inner = part.values() if isinstance(part, dict) else part
        if _LEAVES.issuperset(map(type, inner)):
            continue
        waiting += [item for item in inner if isinstance(item, list | dict)]
    return counter.found + 10 * max(0, counter.surplus)


class _Counter:
    """Counts parts, and the lists and maps that have them. Many of these take long to go through, whatever is in them."""

    __slots__ = ("found", "surplus")

    def __init__(self) -> None:
        self.found = 0
        self.surplus = -_CONTAINERS_FREE

    def count(self, length: int) -> None:
        self.found += length
        self.surplus += 1
        if self.found + 10 * max(0, self.surplus) > PARTS_MAX:
            raise CostExceeded("operation cancelled: actual cost limit exceeded")
