"""The seam of authorization."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, Protocol

from pybernetes.apiserver.attributes import RequestInfo, User


class Decision(Enum):
    ALLOW = "allow"
    DENY = "deny"
    NO_OPINION = "no opinion"  # ask the next one; after the last it means no


class Verdict(NamedTuple):
    decision: Decision
    reason: str = ""


class Authorizer(Protocol):
    async def authorize(self, user: User, info: RequestInfo) -> Verdict: ...
