"""What the server sees of a door, whichever it is: `gate`, or `in_flight`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeVar

from pybernetes.apiserver.attributes import RequestInfo, User

Place = TypeVar("Place")  # with `headers` for the answer
NO_HEADERS: Mapping[str, str] = {}


class TooBusy(Exception):
    """No place for the request: 429. `headers` go out with it."""

    def __init__(self, headers: Mapping[str, str] = NO_HEADERS) -> None:
        super().__init__("too many requests")
        self.headers = headers


class Door(Protocol[Place]):
    """Ask for a `seat`, `enter_at_once` or `wait` (which gives the seat to use from then on), serve, `leave`."""

    def seat(self, user: User, info: RequestInfo, query: Mapping[str, str]) -> Place: ...

    def enter_at_once(self, seat: Place) -> bool:
        """Whether the request may be served now."""
        ...

    async def wait(self, seat: Place, user: User, info: RequestInfo, size: int) -> Place:
        """Until it may; `size` is that of its body, in bytes. Raises `TooBusy`."""
        ...

    def leave(self, seat: Place) -> None: ...
