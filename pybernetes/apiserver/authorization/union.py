"""The chain of authorizers, and the sentence in which it says no."""

from __future__ import annotations

from collections.abc import Sequence

from pybernetes.apiserver.attributes import RequestInfo, User
from pybernetes.apiserver.authorization.interface import Authorizer
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery.errors import Forbidden


def build(modes: Sequence[str], reader: Reader) -> Authorizer:
    """The authorizer for `--authorization-mode` (AlwaysAllow, AlwaysDeny, RBAC, Node). Raises ValueError for another mode."""
    raise NotImplementedError


def forbidden(user: User, info: RequestInfo, reason: str = "") -> Forbidden:
    """Upstream's answer to a request that no authorizer allowed."""
    raise NotImplementedError
