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
    """`error` is what went wrong while deciding (a webhook that does not answer, say): a request that is not allowed is then
    answered with 500, for nobody knows whether it should have been."""

    decision: Decision
    reason: str = ""
    error: str = ""


class Authorizer(Protocol):
    async def authorize(self, user: User, info: RequestInfo) -> Verdict: ...
