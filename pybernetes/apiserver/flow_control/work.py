"""How many seats a request takes. Pure.

A list that has to load much takes more than one, so does a watch that begins with all objects. Everything else takes one; in
particular a write: the watchers of its event are told before it is answered, so that their work is within its time already.

Contract: API concepts, "Seats Occupied by a Request"; KEP-1040, "Support for LIST requests".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from pybernetes.apiserver import requests
from pybernetes.apiserver.attributes import RequestInfo
from pybernetes.machinery.errors import StatusError

BYTES_PER_SEAT: Final = 100_000
STREAMED_BYTES: Final = 1_000_000  # of a list at once, however long it is: lists are sent in pieces


def width(info: RequestInfo, query: Mapping[str, str], count: int, size: int, most: int) -> int:
    """Seats of a list or watch over `count` objects of `size` bytes each; at least 1, at most `most`."""
    if info.verb == "watch" and not requests.flag(query, "sendInitialEvents"):
        return 1
    if info.name:
        return 1
    try:
        limit = requests.integer(query, "limit") or count
    except StatusError:
        return most  # it will be refused
    loaded = size * min(limit, count)
    return max(1, min(most, math.ceil(min(loaded, STREAMED_BYTES) / BYTES_PER_SEAT)))
