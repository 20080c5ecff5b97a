"""Calls to an etcd cluster: one endpoint is used until it fails, then the next.

A call that may be repeated (a read), or that cannot have reached etcd, goes on to the other endpoints for some seconds.
Any other failure of a write is `Unavailable` at once: it may have happened, and its caller is the one who can find out.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import urlsplit

from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.log import logger
from pybernetes.store.etcd import rpc_pb2 as rpc
from pybernetes.store.interface import Compacted, FutureRevision, LeaseExists, LeaseNotFound, Revision, StoreError, Unavailable

if TYPE_CHECKING:
    import grpc.aio

LOGGER = logger("store")

CALL_TIMEOUT_S = 10.0
TRY_AGAIN_S = 3.0  # how long other tries are made after a failure
PAUSE_FIRST_S, PAUSE_MAX_S = 0.05, 1.0  # between rounds through endpoints that cannot be reached
DEFAULT_PORT = 2379

Sent = TypeVar("Sent")
Received = TypeVar("Received")


@dataclass(frozen=True, slots=True)
class Method(Generic[Sent, Received]):
    """One of the API's."""

    path: str
    sent: Callable[[Sent], bytes]
    received: Callable[[bytes], Received]


def method(path: str, sent: type[Sent], received: type[Received]) -> Method[Sent, Received]:
    return Method(f"/etcdserverpb.{path}", sent.SerializeToString, received.FromString)  # type: ignore[attr-defined]


RANGE = method("KV/Range", rpc.RangeRequest, rpc.RangeResponse)
TXN = method("KV/Txn", rpc.TxnRequest, rpc.TxnResponse)
COMPACT = method("KV/Compact", rpc.CompactionRequest, rpc.CompactionResponse)
WATCH = method("Watch/Watch", rpc.WatchRequest, rpc.WatchResponse)
GRANT = method("Lease/LeaseGrant", rpc.LeaseGrantRequest, rpc.LeaseGrantResponse)
REVOKE = method("Lease/LeaseRevoke", rpc.LeaseRevokeRequest, rpc.LeaseRevokeResponse)
KEEP_ALIVE = method("Lease/LeaseKeepAlive", rpc.LeaseKeepAliveRequest, rpc.LeaseKeepAliveResponse)
TIME_TO_LIVE = method("Lease/LeaseTimeToLive", rpc.LeaseTimeToLiveRequest, rpc.LeaseTimeToLiveResponse)
STATUS = method("Maintenance/Status", rpc.StatusRequest, rpc.StatusResponse)


@dataclass(frozen=True, slots=True)
class Servers:
    """Where etcd is, and by what it and we know each other. Files are read again when they changed."""

    endpoints: tuple[str, ...]  # URLs: http://…, https://… or unix://…
    ca_file: str = ""  # default: the machine's authorities
    cert_file: str = ""
    key_file: str = ""


class Connections:
    """Made on the event loop that uses it."""

    def __init__(self, servers: Servers, *, clock: Clock, entropy: Entropy) -> None:
        if not servers.endpoints:
            raise ValueError("etcd needs at least one endpoint")
        if bool(servers.cert_file) != bool(servers.key_file):
            raise ValueError("a client certificate for etcd and its key go together")
        # Nothing here forks without an exec; gRPC's care for those who do costs a warning at each.
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
        import grpc
        import grpc.aio

        self._grpc = grpc
        self._servers = servers
        self._clock = clock
        self._entropy = entropy
        self.timeout_s = CALL_TIMEOUT_S
        self._at = 0
        self._channels: dict[int, grpc.aio.Channel] = {}
        self._stamps = _stamps(servers)
        self._closing: set[asyncio.Task[None]] = set()

    async def call(
        self, method: Method[Sent, Received], request: Sent, *, repeatable: bool, timeout_s: float | None = None
    ) -> Received:
        """Raises `StoreError`s, `Unavailable` above all."""
        begun_s = self._clock.monotonic()
        timeout_s = timeout_s or self.timeout_s
        deadline_s = begun_s + timeout_s
        pause_s = PAUSE_FIRST_S
        tries = 0
        while True:
            at = self._at
            left_s = deadline_s - self._clock.monotonic()
            try:
                answer: Received = await self._callable(at, method)(request, timeout=max(left_s, 0.001))
                return answer
            except self._grpc.aio.AioRpcError as error:
                failure = self.failure(error)
                if not isinstance(failure, Unavailable):
                    raise failure from error
                self.leave(at)
                if not repeatable and not _unsent(error):
                    raise failure from error
                tries += 1
                if tries % len(self._servers.endpoints) == 0:  # all have failed: give them a moment
                    pause_s = min(pause_s * (1.5 + self._entropy.random()), PAUSE_MAX_S)
                    if self._clock.monotonic() + pause_s >= begun_s + min(timeout_s, TRY_AGAIN_S):
                        raise failure from error
                    await self._clock.sleep(pause_s)
            except asyncio.CancelledError:
                # gRPC cancels calls when their channel is closed, as `leave` does after certificates have changed.
                task = asyncio.current_task()
                if (task is not None and task.cancelling()) or self._at_open(at):
                    raise
                if not repeatable:
                    raise Unavailable("the connection to etcd was closed") from None

    async def greet(self, *, timeout_s: float) -> None:
        """Return when etcd answers. Raises `Unavailable` if it does not in that time."""
        deadline_s = self._clock.monotonic() + timeout_s
        while True:
            try:
                await self.call(STATUS, rpc.StatusRequest(), repeatable=True, timeout_s=timeout_s)
                return
            except Unavailable:
                if self._clock.monotonic() + PAUSE_MAX_S > deadline_s:
                    raise

    async def exchange(self, method: Method[Sent, Received], request: Sent) -> Received:
        """One request and its answer, over a method of streams. May be repeated."""
        at = self._at
        call = self._streams(at, method)(None, timeout=self.timeout_s)
        try:
            await call.write(request)
            answer: Received = await call.read()
            await call.done_writing()
            if answer is self._grpc.aio.EOF:
                raise Unavailable("etcd ended the call")
            return answer
        except (self._grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            self.leave(at)
            if isinstance(error, self._grpc.aio.AioRpcError):
                raise self.failure(error) from error
            raise Unavailable(f"etcd ended the call: {error}") from error
        finally:
            call.cancel()

    def stream(self, method: Method[Sent, Received]) -> tuple[int, grpc.aio.StreamStreamCall[Sent, Received]]:
        """A call of streams for the caller to keep, and which endpoint it is at: to `leave` when it breaks."""
        # A member that lost its leader must end the stream, instead of being silent.
        return self._at, self._streams(self._at, method)(None, metadata=(("hasleader", "true"),))

    async def ask(self, at: int, method: Method[Sent, Received], request: Sent, *, timeout_s: float) -> Received:
        """A call to one endpoint and no other."""
        try:
            answer: Received = await self._callable(at, method)(request, timeout=timeout_s)
            return answer
        except self._grpc.aio.AioRpcError as error:
            raise self.failure(error) from error

    def leave(self, at: int) -> None:
        """That endpoint failed: use the next one, unless somebody has left it before."""
        if self._at == at:
            self._at = (at + 1) % len(self._servers.endpoints)
        if (stamps := _stamps(self._servers)) != self._stamps:
            self._stamps = stamps
            for channel in self._channels.values():
                closing = asyncio.ensure_future(channel.close(None))
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
            self._channels.clear()

    def failure(self, error: grpc.aio.AioRpcError) -> StoreError:
        """What we call it; etcd tells its errors apart by their text."""
        text = error.details() or error.code().name
        if "has been compacted" in text:
            return Compacted(Revision(0))
        if "is a future revision" in text:
            return FutureRevision(Revision(0))
        if "lease not found" in text:
            return LeaseNotFound(text)
        if "lease already exists" in text:
            return LeaseExists(text)
        codes = self._grpc.StatusCode
        if "too large" in text or "larger than max" in text:
            return StoreError(f"etcd takes no request as large: {text}")
        if error.code() in (codes.INVALID_ARGUMENT, codes.FAILED_PRECONDITION, codes.UNIMPLEMENTED):
            return StoreError(f"etcd refuses the request: {text}")
        return Unavailable(f"etcd: {text}")

    async def close(self) -> None:
        await asyncio.gather(*(channel.close(None) for channel in self._channels.values()), *self._closing)

    def _at_open(self, at: int) -> bool:
        return at in self._channels

    def _callable(self, at: int, method: Method[Sent, Received]) -> Any:
        return self._channel(at).unary_unary(method.path, method.sent, method.received)

    def _streams(self, at: int, method: Method[Sent, Received]) -> Any:
        return self._channel(at).stream_stream(method.path, method.sent, method.received)

    def _channel(self, at: int) -> grpc.aio.Channel:
        channel = self._channels.get(at)
        if channel is None:
            channel = self._channels[at] = self._connect(self._servers.endpoints[at])
        return channel

    def _connect(self, endpoint: str) -> grpc.aio.Channel:
        secure, target = target_of(endpoint, secure=bool(self._servers.ca_file or self._servers.cert_file))
        options = [
            ("grpc.max_receive_message_length", -1),  # etcd is trusted, and a page may hold many large objects
            ("grpc.max_send_message_length", -1),
            ("grpc.enable_http_proxy", 0),
            # As upstream's: a peer that is gone without a word is noticed within 40 s, also by a quiet watch.
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 2000),
            ("grpc.use_local_subchannel_pool", 1),  # credentials may have changed since another channel's connection
        ]
        if not secure:
            return self._grpc.aio.insecure_channel(target, options=options)
        ca, cert, key = (
            Path(file).read_bytes() if file else None
            for file in (self._servers.ca_file, self._servers.cert_file, self._servers.key_file)
        )
        credentials = self._grpc.ssl_channel_credentials(ca, key, cert)
        return self._grpc.aio.secure_channel(target, credentials, options=options)


def target_of(endpoint: str, *, secure: bool) -> tuple[bool, str]:
    """Whether to speak TLS, and gRPC's name for an endpoint; one without a scheme is `secure` or not."""
    if "://" not in endpoint:
        endpoint = f"{'https' if secure else 'http'}://{endpoint}"
    url = urlsplit(endpoint)
    if url.scheme in ("unix", "unixs"):
        return url.scheme == "unixs", f"unix:{url.netloc}{url.path}"
    if url.scheme not in ("http", "https") or not url.hostname or url.path not in ("", "/"):
        raise ValueError(f"an etcd endpoint looks like https://10.0.0.1:2379, not {endpoint}")
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    return url.scheme == "https", f"{host}:{url.port or DEFAULT_PORT}"


def _stamps(servers: Servers) -> tuple[tuple[int, int], ...]:
    found = []
    for file in (servers.ca_file, servers.cert_file, servers.key_file):
        if file:
            try:
                status = os.stat(file)
            except OSError as error:
                LOGGER.warning("Cannot look at a file for etcd", file=file, err=error.strerror)
                continue
            found.append((status.st_mtime_ns, status.st_ino))
    return tuple(found)


def _unsent(error: grpc.aio.AioRpcError) -> bool:
    """Whether the request surely never left."""
    return (error.details() or "").startswith("failed to connect to all addresses")
