"""The seams of authentication: who is asking by a request, and by a token."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, Protocol

from pybernetes.apiserver.attributes import ALL_AUTHENTICATED, ALL_UNAUTHENTICATED, ANONYMOUS, User
from pybernetes.machinery.http.messages import Request


class Authenticator(Protocol):
    async def authenticate(self, request: Request) -> User | None:
        """The user that the request's credential proves; None if it carries none of this kind.

        Raises `Unauthorized` for a credential of this kind that is wrong.
        """
        ...


class Identity(NamedTuple):
    """Whom a token proves, and for which of the audiences asked for."""

    user: User
    audiences: tuple[str, ...]
    lasts: bool = False  # until the server ends: nothing can take it back


class TokenAuthenticator(Protocol):
    async def authenticate_token(self, token: str, audiences: tuple[str, ...]) -> Identity | None:
        """None for a token that is not of this kind; raises `Unauthorized`, saying why, for one that is wrong.

        `audiences` are those that the asker answers to, none: whichever. A token that is for none of them proves nobody.
        """
        ...


def authenticated(user: User) -> User:
    """`user`, in the group of all who have proven who they are."""
    if ALL_AUTHENTICATED in user.groups or user.name == ANONYMOUS or ALL_UNAUTHENTICATED in user.groups:
        return user
    return replace(user, groups=(*user.groups, ALL_AUTHENTICATED))
