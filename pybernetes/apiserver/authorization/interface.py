"""The seam of authorization."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple, Protocol, runtime_checkable

from pybernetes.apiserver.attributes import RequestInfo, User
from pybernetes.machinery.meta import Object


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


class Rules(NamedTuple):
    """What a user may do in a namespace, as `PolicyRule`s. Where `incomplete`, it may be more."""

    rules: Sequence[Object]
    incomplete: bool = False
    error: str = ""  # what could not be resolved


@runtime_checkable
class RuleResolver(Protocol):
    """An authorizer whose answers can be listed, or that says why not."""

    def rules_for(self, user: User, namespace: str) -> Rules: ...
