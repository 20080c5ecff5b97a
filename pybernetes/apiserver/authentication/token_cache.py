"""What is known of tokens that somebody else was asked about, for a while; those who ask for the same token share one answer.

A failure of the asking itself (nobody answered, the token was called wrong) is not kept: the next request asks again.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Final, NamedTuple

from pybernetes.apiserver.authentication.interface import Identity, TokenAuthenticator
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.recent import Recent

ENTRIES_MAX: Final = 4096  # the longest unused goes


class _Known(NamedTuple):
    identity: Identity | None
    until: float  # monotonic, seconds


_Key = tuple[tuple[str, ...], bytes]


class CachedTokens:
    """Asks `tokens` where nothing is known. `close` when the server ends."""

    def __init__(self, tokens: TokenAuthenticator, *, clock: Clock, success_ttl_s: float, failure_ttl_s: float) -> None:
        """`failure_ttl_s` is for tokens that `tokens` does not know; 0 keeps nothing."""
        self._tokens = tokens
        self._clock = clock
        self._ttl_s = {True: success_ttl_s, False: failure_ttl_s}
        self._known: Recent[_Key, _Known] = Recent(ENTRIES_MAX)
        self._asking: dict[_Key, asyncio.Task[Identity | None]] = {}

    async def authenticate_token(self, token: str, audiences: tuple[str, ...]) -> Identity | None:
        key = (audiences, hashlib.sha256(token.encode()).digest())
        known = self._known.get(key)
        if known is not None and known.until > self._clock.monotonic():
            return known.identity
        asking = self._asking.get(key)
        if asking is None:
            # A task of its own: who asked first may go away, and the others still want to know.
            asking = asyncio.create_task(self._ask(key, token, audiences), name="token review")
            self._asking[key] = asking
            asking.add_done_callback(lambda task: self._asked(key, task))
        return await asyncio.shield(asking)

    async def close(self) -> None:
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    async def _ask(self, key: _Key, token: str, audiences: tuple[str, ...]) -> Identity | None:
        identity = await self._tokens.authenticate_token(token, audiences)
        ttl_s = self._ttl_s[identity is not None]
        if ttl_s > 0:
            self._known.put(key, _Known(identity, self._clock.monotonic() + ttl_s))
        return identity

    def _asked(self, key: _Key, task: asyncio.Task[Identity | None]) -> None:
        del self._asking[key]
        if not task.cancelled():
            task.exception()  # seen, if nobody waits any more
