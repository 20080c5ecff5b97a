"""The seam of authentication."""

from __future__ import annotations

from typing import Protocol

from pybernetes.apiserver.attributes import User
from pybernetes.machinery.http.messages import Request


class Authenticator(Protocol):
    async def authenticate(self, request: Request) -> User | None:
        """The user that the request's credential proves; None if it carries none of this kind.

        Raises `Unauthorized` for a credential of this kind that is wrong.
        """
        ...
