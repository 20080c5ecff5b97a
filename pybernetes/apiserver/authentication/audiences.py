"""Tokens that say nothing of audiences: they are good for the API server's own."""

from __future__ import annotations

from pybernetes.apiserver.authentication.interface import Identity, TokenAuthenticator


def intersection(wanted: tuple[str, ...], offered: tuple[str, ...]) -> tuple[str, ...]:
    """The wanted ones that are offered, in their order."""
    return tuple(audience for audience in wanted if audience in offered)


class AudienceAgnostic:
    """Another authenticator's tokens, for askers that answer to one of the API server's audiences."""

    def __init__(self, tokens: TokenAuthenticator, audiences: tuple[str, ...]) -> None:
        self._tokens = tokens
        self._audiences = audiences

    async def authenticate_token(self, token: str, audiences: tuple[str, ...]) -> Identity | None:
        meant = audiences if audiences is self._audiences else intersection(audiences, self._audiences)
        if audiences and not meant:
            return None
        identity = await self._tokens.authenticate_token(token, audiences)
        return identity if identity is None or identity.audiences == meant else identity._replace(audiences=meant)
