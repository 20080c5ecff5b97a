"""Service-account tokens for pods: bound to the pod, cached, renewed at 80 % of their life or after a day (KEP-1205)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

from pybernetes.client.rest import Client
from pybernetes.machinery import errors
from pybernetes.machinery.clock import Clock, parse_time
from pybernetes.machinery.meta import Object, name_of, namespace_of, uid_of
from pybernetes.machinery.resources import SERVICE_ACCOUNTS

AGE_MAX = timedelta(hours=24)
LIFE_USED = 0.8
FORBIDDEN_TRIES = 5
FORBIDDEN_DELAY_S = 0.05


@dataclass(frozen=True, slots=True)
class _Token:
    value: str
    issued: datetime
    expires: datetime

    def __repr__(self) -> str:
        return f"_Token(expires={self.expires})"

    def is_due(self, now: datetime) -> bool:
        return now - self.issued > AGE_MAX or now - self.issued > LIFE_USED * (self.expires - self.issued)


class TokenManager:
    def __init__(self, client: Client, *, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._tokens: dict[tuple[str, str, int], _Token] = {}

    async def token(self, pod: Object, audience: str, expiration_s: int) -> str:
        """See `volumes.interface.TokenSource`. Raises StatusError, ConnectionFailed."""
        key = (uid_of(pod), audience, expiration_s)
        now = self._clock.now()
        held = self._tokens.get(key)
        if held is not None and not held.is_due(now):
            return held.value
        try:
            issued = await self._issue(pod, audience, expiration_s)
        except (errors.StatusError, OSError):
            if held is not None and held.expires > now:
                return held.value  # still good; the next round tries again
            raise
        self._tokens[key] = _Token(issued["token"], now, parse_time(issued["expirationTimestamp"]))
        token: str = issued["token"]
        return token

    async def _issue(self, pod: Object, audience: str, expiration_s: int) -> Object:
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {},
            "spec": {
                "audiences": [audience] if audience else [],
                "expirationSeconds": expiration_s,
                "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": name_of(pod), "uid": uid_of(pod)},
            },
        }
        account = pod["spec"].get("serviceAccountName") or "default"
        for attempt in range(FORBIDDEN_TRIES):
            try:
                answer = await self._client.create(
                    SERVICE_ACCOUNTS, request, namespace_of(pod), name=account, subresource="token"
                )
                status: Object = answer["status"]
                return status
            except errors.Forbidden:
                # The Node authorizer may learn of the pod's binding a moment after we did.
                if attempt == FORBIDDEN_TRIES - 1:
                    raise
                await asyncio.sleep(FORBIDDEN_DELAY_S * 2**attempt)
        raise AssertionError("unreachable")

    def forget(self, uid: str) -> None:
        for key in [key for key in self._tokens if key[0] == uid]:
            del self._tokens[key]
