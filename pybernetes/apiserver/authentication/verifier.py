"""Whether a JWT of a known issuer is in order, as an OpenID Connect client judges it: issuer, audience, times, signature.

Source: https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import jwt

from pybernetes.apiserver.authentication.fetching import FetchFailed
from pybernetes.apiserver.authentication.issuer_keys import IssuerKeys
from pybernetes.apiserver.authentication.unverified import unverified_claims
from pybernetes.machinery.clock import Clock, rfc3339
from pybernetes.machinery.errors import Unauthorized
from pybernetes.machinery.meta import Object

NOT_BEFORE_LEEWAY_S: Final = 300


class Verifier:
    def __init__(
        self, issuer: str, keys: IssuerKeys, audiences: Collection[str], signing_algs: Collection[str], clock: Clock
    ) -> None:
        self._issuer = issuer
        self._keys = keys
        self._audiences = audiences
        self._signing_algs = signing_algs
        self._clock = clock

    async def claims(self, token: str) -> Object:
        """What a token says that is in order. Raises `Unauthorized`."""
        if not self._keys.are_known:
            raise Unauthorized("oidc: authenticator not initialized")
        claims = unverified_claims(token)
        if claims is None:
            raise Unauthorized("oidc: malformed jwt")
        self._check(claims)
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError as error:
            raise Unauthorized(f"oidc: malformed jwt: {error}") from error
        algorithm, key_id = str(header.get("alg", "")), str(header.get("kid", ""))
        if algorithm not in self._signing_algs:
            wanted = _listed(self._signing_algs)
            raise Unauthorized(f'oidc: id token signed with unsupported algorithm, expected {wanted} got "{algorithm}"')
        try:
            signed = await self._keys.verify(token, algorithm, key_id)
        except FetchFailed as error:
            raise Unauthorized(f"failed to verify signature: fetching keys {error}") from error
        if not signed:
            raise Unauthorized("failed to verify signature: failed to verify id token signature")
        return claims

    def _check(self, claims: Object) -> None:
        issuer, audience = claims.get("iss", ""), claims.get("aud")
        if issuer != self._issuer:
            raise Unauthorized(f'oidc: id token issued by a different provider, expected "{self._issuer}" got "{issuer}"')
        meant = audience if isinstance(audience, list) else [] if audience is None else [audience]
        if not any(name in self._audiences for name in meant):
            raise Unauthorized(f"oidc: expected audience in {_listed(sorted(self._audiences))} got {_listed(meant)}")
        now = self._clock.now()
        expires, not_before = _seconds(claims, "exp"), _seconds(claims, "nbf")
        if expires is None or expires < now.timestamp():
            raise Unauthorized(f"oidc: token is expired (Token Expiry: {_shown_time(expires)})")
        if not_before is not None and not_before > now.timestamp() + NOT_BEFORE_LEEWAY_S:
            raise Unauthorized(f"oidc: current time {rfc3339(now)} before the nbf (not before) time: {_shown_time(not_before)}")


def _seconds(claims: Object, name: str) -> float | None:
    """A time of a claim, since the epoch; None if it is absent. Raises `Unauthorized`."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unauthorized(f"oidc: failed to unmarshal claims: {name} is no number")
    return float(value)


def _shown_time(seconds: float | None) -> str:
    from datetime import UTC, datetime

    try:
        return "0001-01-01T00:00:00Z" if seconds is None else rfc3339(datetime.fromtimestamp(seconds, UTC))
    except (ValueError, OverflowError, OSError):
        return f"{seconds:g}"


def _listed(texts: Collection[Any]) -> str:
    return "[" + " ".join(f'"{text}"' for text in texts) + "]"
