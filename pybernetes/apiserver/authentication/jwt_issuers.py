"""All issuers of JWTs that the server trusts: of the flags, or of a configuration file that is followed.

A changed file is taken over when it makes sense and the keys of all its issuers are found; until then, and if not, the issuers
stay what they were.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path
from typing import Final

from pybernetes.apiserver.authentication import configuration, configuration_checks
from pybernetes.apiserver.authentication.configuration import Configuration
from pybernetes.apiserver.authentication.interface import Identity
from pybernetes.apiserver.authentication.jwt_tokens import JwtTokens
from pybernetes.apiserver.authentication.metrics import Metrics
from pybernetes.apiserver.authentication.token_cache import CachedTokens
from pybernetes.apiserver.authentication.unverified import unverified_issuer
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.log import logger

log = logger("authentication")

RECHECK_PERIOD_S: Final = 5.0
TAKE_OVER_S_MAX: Final = 60.0
# A token's user is kept for so long: as upstream's cache of all tokens.
SUCCESS_TTL_S: Final = 10.0


class Issuers:
    """Those of one configuration."""

    def __init__(self, given: Configuration, metrics: Metrics, *, clock: Clock, entropy: Entropy) -> None:
        self._metrics = metrics
        self._clock = clock
        self._tokens = {
            entry["issuer"]["url"]: JwtTokens(entry, signing_algs=given.signing_algs, clock=clock, entropy=entropy)
            for entry in given.jwt
        }
        self.cached = CachedTokens(self, clock=clock, success_ttl_s=SUCCESS_TTL_S, failure_ttl_s=0)

    async def discover(self) -> None:
        """Returns when the keys of all issuers are found."""
        async with asyncio.TaskGroup() as group:
            for tokens in self._tokens.values():
                group.create_task(tokens.keys.discover())

    async def authenticate_token(self, token: str, audiences: tuple[str, ...]) -> Identity | None:
        """`audiences` have been judged: issuers have some of their own."""
        issuer = unverified_issuer(token) if self._tokens else ""
        tokens = self._tokens.get(issuer)
        if tokens is None:
            return None
        started, accepted = self._clock.monotonic(), False
        try:
            user = await tokens.user(token)
            accepted = True
        finally:
            self._metrics.token_judged(issuer, self._clock.monotonic() - started, accepted=accepted)
        return Identity(user, audiences)

    async def close(self) -> None:
        await self.cached.close()
        for tokens in self._tokens.values():
            await tokens.close()


class JwtIssuers:
    """`run` looks for keys, and after the file."""

    def __init__(
        self,
        initial: Configuration,
        path: Path | None,
        own_issuers: Collection[str],
        metrics: Metrics,
        *,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        """`initial` is in order, and `path` the file that says so, if it was one. Raises OSError."""
        self._initial = initial
        self._path = path
        self._judged = b"" if path is None else path.read_bytes()
        self._own_issuers = own_issuers
        self._metrics = metrics
        metrics.reloads.configured(self._judged)
        self._clock = clock
        self._entropy = entropy
        self._issuers = Issuers(initial, metrics, clock=clock, entropy=entropy)
        self._retired: Issuers | None = None  # whom requests under way may still ask
        self._readable = True

    async def authenticate_token(self, token: str, audiences: tuple[str, ...]) -> Identity | None:
        return await self._issuers.cached.authenticate_token(token, audiences)

    async def run(self) -> None:
        """Until cancelled."""
        discovering = asyncio.create_task(self._issuers.discover(), name="keys of issuers")
        try:
            while self._path is not None:
                await self._clock.sleep(RECHECK_PERIOD_S)
                data = self._changed(self._path)
                if data is not None and await self._take_over(data):
                    discovering.cancel()
            await discovering
        finally:
            discovering.cancel()
            await asyncio.gather(discovering, return_exceptions=True)

    async def close(self) -> None:
        for issuers in (self._issuers, self._retired):
            if issuers is not None:
                await issuers.close()

    def _changed(self, path: Path) -> bytes | None:
        """What the file says now, if that has not been judged."""
        try:
            data = path.read_bytes()
        except OSError as error:
            if self._readable:
                log.error("failed to read authentication config file", file=str(path), err=str(error))
                self._failed()
            self._readable = False
            return None
        self._readable = True
        return None if data == self._judged else data

    async def _take_over(self, data: bytes) -> bool:
        try:
            given = configuration.load(data)
            configuration_checks.check(given, self._own_issuers, self._initial)
        except ValueError as error:
            log.error("failed to validate authentication config", file=str(self._path), err=str(error))
            self._failed()
            self._judged = data  # and will never be better
            return False
        issuers = Issuers(given, self._metrics, clock=self._clock, entropy=self._entropy)
        try:
            async with asyncio.timeout(TAKE_OVER_S_MAX):
                await issuers.discover()
        except TimeoutError:
            log.error("failed to update authentication config", file=str(self._path), err="its issuers do not answer")
            self._failed()
            await issuers.close()
            return False  # they may later
        except BaseException:
            await issuers.close()
            raise
        if self._retired is not None:
            await self._retired.close()
        self._retired, self._issuers, self._judged = self._issuers, issuers, data
        self._metrics.reloads.configured(data)
        self._metrics.reloads.reloaded("success", self._clock.now().timestamp())
        log.info("reloaded authentication config", file=str(self._path))
        return True

    def _failed(self) -> None:
        self._metrics.reloads.reloaded("failure", self._clock.now().timestamp())
