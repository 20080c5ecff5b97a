"""Tokens of one OpenID Connect issuer, or of whoever else signs JWTs and publishes keys.

Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#openid-connect-tokens
"""

from __future__ import annotations

from collections.abc import Collection

from pybernetes.apiserver.attributes import User
from pybernetes.apiserver.authentication.claim_mapping import Mapping
from pybernetes.apiserver.authentication.distributed_claims import DistributedClaims
from pybernetes.apiserver.authentication.issuer_keys import IssuerKeys
from pybernetes.apiserver.authentication.verifier import Verifier
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.errors import Unauthorized
from pybernetes.machinery.meta import Object
from pybernetes.machinery.turns import by_turns


class JwtTokens:
    """One issuer. `close` when its tokens are no longer accepted."""

    def __init__(self, entry: Object, *, signing_algs: Collection[str], clock: Clock, entropy: Entropy) -> None:
        """`entry` of an AuthenticationConfiguration, without problems."""
        issuer = entry["issuer"]
        self.keys = IssuerKeys(issuer, clock=clock, entropy=entropy)
        self._verifier = Verifier(issuer["url"], self.keys, issuer["audiences"], signing_algs, clock)
        self._mapping = Mapping(entry)
        self._distributed = None
        if claim := self._mapping.groups_claim:
            self._distributed = DistributedClaims(
                claim, issuer, self.keys, signing_algs=signing_algs, clock=clock, entropy=entropy
            )

    async def user(self, token: str) -> User:
        """Raises `Unauthorized`, saying why not."""
        try:
            claims = await self._verifier.claims(token)
        except Unauthorized as error:
            raise Unauthorized(f"oidc: verify token: {error.message}") from error
        if self._distributed is not None:
            claims = await self._distributed.expanded(claims)
        return await by_turns(lambda: self._mapping.user(claims))

    async def close(self) -> None:
        if self._distributed is not None:
            await self._distributed.close()
        await self.keys.close()
