"""Leader election over a Lease (coordination.k8s.io/v1), with client-go's protocol: Go components may be the rivals.

Times of other machines are not trusted: a lease is taken over when its record has not changed for its duration *as seen here*.
So there may be no leader for a while, and two only if a leader is stopped so long that its deadline passes unnoticed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pybernetes.client.rest import Client
from pybernetes.client.transport import ConnectionFailed
from pybernetes.machinery import errors
from pybernetes.machinery.clock import Clock, rfc3339_micro
from pybernetes.machinery.entropy import Entropy, jittered
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object, Resource

log = logger("leader-election")

LEASES = Resource(group="coordination.k8s.io", version="v1", plural="leases", kind="Lease", namespaced=True)
JITTER = 1.2  # of the retry period, while waiting for the lease


class LeadershipLost(Exception):
    """The lease could not be renewed in time: somebody else may lead now."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """The record as last seen, and when it was first seen so (monotonic)."""

    spec: Object
    at_s: float


class LeaderElector:
    """One candidate. `identity` must be unique among the candidates."""

    def __init__(
        self,
        client: Client,
        *,
        namespace: str,
        name: str,
        identity: str,
        clock: Clock,
        entropy: Entropy,
        lease_s: float = 15,
        renew_s: float = 10,
        retry_s: float = 2,
    ) -> None:
        """A lease unrenewed for `lease_s` may be taken; a leader that fails to renew for `renew_s` stops leading."""
        if not lease_s > renew_s > retry_s * JITTER:
            raise ValueError("leader election needs lease_s > renew_s > 1.2 * retry_s")
        self._client = client
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._clock = clock
        self._entropy = entropy
        self._lease_s = lease_s
        self._renew_s = renew_s
        self._retry_s = retry_s
        self._seen: _Seen | None = None
        self.is_leader = False

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Wait for the lease, then run `lead` while holding it. Returns when `lead` does.

        Raises `LeadershipLost` (after cancelling `lead`). Gives the lease up at the end, also when cancelled.
        """
        while not await self._acquire_or_renew():
            await self._clock.sleep(jittered(self._retry_s, self._entropy, factor=JITTER))
        self.is_leader = True
        log.info("Became leader", lease=f"{self._namespace}/{self._name}", identity=self._identity)
        leading = asyncio.ensure_future(lead())
        renewing = asyncio.create_task(self._renew(), name="leader election")
        try:
            await asyncio.wait((leading, renewing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.is_leader = False
            for task in (leading, renewing):
                task.cancel()
            await asyncio.gather(leading, renewing, return_exceptions=True)
            await self._release()
        for task in (leading, renewing):
            if not task.cancelled():
                task.result()

    async def _renew(self) -> None:
        while True:
            await self._clock.sleep(self._retry_s)
            try:
                async with asyncio.timeout(self._renew_s):
                    while not await self._acquire_or_renew():
                        await self._clock.sleep(self._retry_s)
            except TimeoutError:
                raise LeadershipLost(f"failed to renew lease {self._namespace}/{self._name}: timed out") from None

    async def _acquire_or_renew(self) -> bool:
        """One attempt; whether the lease is ours now."""
        try:
            return await self._attempt()
        except (errors.StatusError, ConnectionFailed) as error:
            log.debug("Could not get or write the lease", lease=f"{self._namespace}/{self._name}", err=error)
            return False

    async def _attempt(self) -> bool:
        now = rfc3339_micro(self._clock.now())
        mine: Object = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": max(1, int(self._lease_s)),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": 0,
        }
        try:
            lease = await self._client.get(LEASES, self._name, self._namespace)
        except errors.NotFound:
            metadata = {"name": self._name, "namespace": self._namespace}
            fresh = {"kind": "Lease", "apiVersion": LEASES.api_version, "metadata": metadata, "spec": mine}
            self._observe((await self._client.create(LEASES, fresh))["spec"])
            return True
        spec: Object = lease.get("spec") or {}
        self._observe(spec)
        assert self._seen is not None
        holder = spec.get("holderIdentity") or ""
        if holder and holder != self._identity:
            term_s = float(spec.get("leaseDurationSeconds") or self._lease_s)
            if self._clock.monotonic() < self._seen.at_s + term_s:
                return False
        mine["leaseTransitions"] = spec.get("leaseTransitions") or 0
        if holder == self._identity:
            mine["acquireTime"] = spec.get("acquireTime") or now
        else:
            mine["leaseTransitions"] += 1
        # The resourceVersion read guards the write: of two who take over, one gets Conflict.
        written = await self._client.update(LEASES, {**lease, "spec": {**spec, **mine}})
        self._observe(written["spec"])
        return True

    def _observe(self, spec: Object) -> None:
        if self._seen is None or self._seen.spec != spec:
            self._seen = _Seen(spec, self._clock.monotonic())

    async def _release(self) -> None:
        """Let the next candidate take over at once. Best effort: the lease expires anyway."""
        try:
            async with asyncio.timeout(self._retry_s):
                lease = await self._client.get(LEASES, self._name, self._namespace)
                if (lease.get("spec") or {}).get("holderIdentity") != self._identity:
                    return
                now = rfc3339_micro(self._clock.now())
                spec = {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": now, "acquireTime": now}
                await self._client.update(LEASES, {**lease, "spec": spec})
        except (errors.StatusError, ConnectionFailed, TimeoutError):
            pass
