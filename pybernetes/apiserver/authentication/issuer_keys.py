"""The public keys of an OpenID Connect issuer: where they are is discovered, they are fetched, and fetched again for a token
whose key is not among them.

Source: https://openid.net/specs/openid-connect-discovery-1_0.html, RFC 7517
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import jwt
import orjson

from pybernetes.apiserver.authentication.authorities import authorities_context
from pybernetes.apiserver.authentication.fetching import Fetcher, FetchFailed
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy, jittered
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object

log = logger("authentication")

WELL_KNOWN_PATH: Final = "/.well-known/openid-configuration"
DISCOVERY_RETRY_S: Final = 10.0
REFRESH_PERIOD_S_MIN: Final = 1.0  # a stream of tokens with made-up keys must not become one of requests to the issuer
KEYS_MAX: Final = 256


class IssuerKeys:
    def __init__(self, issuer: Object, *, clock: Clock, entropy: Entropy) -> None:
        """`issuer` as in an AuthenticationConfiguration. Raises ValueError for authorities that are none."""
        self._url: str = issuer["url"]
        self._discovery_url: str = issuer.get("discoveryURL") or self._url.rstrip("/") + WELL_KNOWN_PATH
        self.fetcher = Fetcher(authorities_context(issuer.get("certificateAuthority", "")), clock)
        self._clock = clock
        self._entropy = entropy
        self._jwks_uri = ""
        self._keys: list[tuple[str, Any]] = []  # key id, public key
        self._fetching: asyncio.Task[None] | None = None
        self._fetched_at = float("-inf")

    @property
    def are_known(self) -> bool:
        """Whether it is known where the keys are."""
        return bool(self._jwks_uri)

    async def discover(self) -> None:
        """Find out where the keys are; tries until it succeeds, since the issuer may run on this cluster."""
        while True:
            try:
                return await self.discover_once()
            except FetchFailed as error:
                log.error("oidc authenticator: initializing plugin", issuer=self._url, err=str(error))
                await self._clock.sleep(jittered(DISCOVERY_RETRY_S, self._entropy, factor=0.1))

    async def discover_once(self) -> None:
        """Find out where the keys are, unless that is known. Raises `FetchFailed`."""
        if not self.are_known:
            self._jwks_uri = await self._discovered()

    async def verify(self, token: str, algorithm: str, key_id: str) -> bool:
        """Whether one of the keys has signed `token`. Raises `FetchFailed` where they cannot be got."""
        if self._verified(token, algorithm, key_id):
            return True
        await self._refresh()
        return self._verified(token, algorithm, key_id)

    async def close(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)
        await self.fetcher.close()

    def _verified(self, token: str, algorithm: str, key_id: str) -> bool:
        return any(_has_signed(key, token, algorithm) for name, key in self._keys if not key_id or name == key_id)

    async def _refresh(self) -> None:
        if self._fetching is None:
            if self._clock.monotonic() < self._fetched_at + REFRESH_PERIOD_S_MIN:
                return
            # A task of its own: whose token it is for may go away, and others wait for the same keys.
            self._fetching = asyncio.create_task(self._fetch(), name="keys of an issuer")
            self._fetching.add_done_callback(self._fetch_ended)
        await asyncio.shield(self._fetching)

    def _fetch_ended(self, task: asyncio.Task[None]) -> None:
        self._fetching = None
        if not task.cancelled():
            task.exception()  # seen, if nobody waits any more

    async def _fetch(self) -> None:
        self._fetched_at = self._clock.monotonic()
        body = await self.fetcher.get(self._jwks_uri)
        self._keys = read_keys(body)

    async def _discovered(self) -> str:
        document = _decoded(await self.fetcher.get(self._discovery_url), "oidc: failed to decode provider discovery object")
        if document.get("issuer") != self._url:
            raise FetchFailed(
                "oidc: issuer did not match the issuer returned by provider, "
                f'expected "{self._url}" got "{document.get("issuer", "")}"'
            )
        found = document.get("jwks_uri")
        if not isinstance(found, str) or not found:
            raise FetchFailed("oidc: failed to decode provider discovery object: jwks_uri is missing")
        return found


def read_keys(body: bytes) -> list[tuple[str, Any]]:
    """The keys of a JWK set that we can use, with their ids. Raises `FetchFailed` for what is no such set."""
    found = _decoded(body, "oidc: failed to decode keys").get("keys")
    if not isinstance(found, list):
        raise FetchFailed("oidc: failed to decode keys: it has no list of keys")
    keys: list[tuple[str, Any]] = []
    for jwk in found[:KEYS_MAX]:
        if not isinstance(jwk, dict) or jwk.get("use", "sig") != "sig" or jwk.get("kty") == "oct":
            continue
        try:
            keys.append((str(jwk.get("kid", "")), jwt.PyJWK(jwk).key))
        except jwt.PyJWTError:
            continue  # of a kind that we do not know
    return keys


def _decoded(body: bytes, what: str) -> Object:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise FetchFailed(f"{what}: {error}") from error
    if not isinstance(document, dict):
        raise FetchFailed(f"{what}: it is no object")
    return document


def _has_signed(key: Any, token: str, algorithm: str) -> bool:
    try:
        jwt.PyJWS().decode_complete(token, key, algorithms=[algorithm])
    except (jwt.PyJWTError, TypeError, ValueError, AttributeError):  # the last three: a key of another kind
        return False
    return True
