"""The face on the network: gRPC methods to `Service`'s, over TLS, with client certificates."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pybernetes.machinery.log import logger
from pybernetes.store.etcd import rpc_pb2 as rpc
from pybernetes.store.etcd.connections import target_of
from pybernetes.store.face.errors import Refusal, Unimplemented, refusal
from pybernetes.store.face.service import REQUEST_BYTES_MAX, Service
from pybernetes.store.interface import StoreError

if TYPE_CHECKING:
    import grpc
    import grpc.aio

LOGGER = logger("etcd")

# Why a service has no further methods.
NOT_HERE = {
    "/etcdserverpb.Auth": "this store has no users and roles; it knows its clients by their certificates",
    "/etcdserverpb.Cluster": "this store is one member, and takes no others",
    "/etcdserverpb.Maintenance": "this store is one member, which always leads",
}

Handler = Any  # gRPC's, which is generic in the stubs and not in the module
STREAMS_MAX = 10_000  # on one connection: an API server has a stream for each of its resources' watches
GRACE_S = 2.0


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen, and who may call."""

    urls: Sequence[str]
    cert_file: str = ""
    key_file: str = ""
    client_ca_file: str = ""
    client_cert_auth: bool = False  # refuse whoever has no certificate of that authority


class FaceServer:
    """Made and used on one event loop. `ports` are those listened to, in the order of the URLs."""

    def __init__(self, service: Service, listen: Listen) -> None:
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
        import grpc
        import grpc.aio

        self._grpc = grpc
        self._service = service
        self._listen = listen
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", REQUEST_BYTES_MAX + (512 << 10)),  # etcd's room for the rest
                ("grpc.max_send_message_length", -1),
                ("grpc.max_concurrent_streams", STREAMS_MAX),
                ("grpc.so_reuseport", 0),
                # Clients ping every 30 s or so, also while nothing happens; etcd allows every 5 s.
                ("grpc.http2.min_ping_interval_without_data_ms", 5000),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.max_ping_strikes", 0),
            ]
        )
        self._server.add_generic_rpc_handlers((_Methods(grpc, service),))  # type: ignore[arg-type]  # it need not inherit
        self.ports: list[int] = []

    async def start(self) -> None:
        """Raises OSError for an address that cannot be had, or for files that cannot be read; ValueError for a bad URL."""
        for url in self._listen.urls:
            secure, target = target_of(url, secure=False)
            if secure and not self._listen.cert_file:
                raise ValueError(f"--cert-file and --key-file are needed to listen at {url}")
            try:
                if secure:
                    port = self._server.add_secure_port(target, self._credentials())
                else:
                    port = self._server.add_insecure_port(target)
            except RuntimeError as error:
                raise OSError(f"cannot listen at {url}: is the address another's, or in use?") from error
            self.ports.append(port)
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(GRACE_S)

    def _credentials(self) -> grpc.ServerCredentials:
        """They follow their files: looked at for each connection."""
        files = [self._listen.cert_file, self._listen.key_file, self._listen.client_ca_file]
        stamps: list[tuple[int, int]] = []

        def load() -> grpc.ServerCertificateConfiguration:
            cert, key, ca = (Path(file).read_bytes() if file else None for file in files)
            assert cert is not None and key is not None
            return self._grpc.ssl_server_certificate_configuration([(key, cert)], ca)  # type: ignore[no-any-return]

        def changed() -> grpc.ServerCertificateConfiguration | None:
            try:
                now = [(status.st_mtime_ns, status.st_ino) for file in files if file for status in [os.stat(file)]]
                if now == stamps:
                    return None
                configuration = load()
            except OSError as error:
                LOGGER.warning("Cannot load certificates; keeping the last ones", err=str(error))
                return None
            stamps[:] = now
            return configuration

        first = load()
        return self._grpc.dynamic_ssl_server_credentials(
            first,
            changed,  # type: ignore[arg-type]  # None is "as before", which the stubs do not say
            require_client_authentication=self._listen.client_cert_auth,
        )


class _Methods:
    """A generic handler: finds a method by its path. Requests that are refused end with etcd's code and sentence."""

    def __init__(self, grpc: Any, service: Service) -> None:
        self._grpc = grpc
        unary: dict[str, tuple[Callable[[Any], Awaitable[Any]], Any]] = {
            "KV/Range": (service.range, rpc.RangeRequest),
            "KV/Put": (service.put, rpc.PutRequest),
            "KV/DeleteRange": (service.delete_range, rpc.DeleteRangeRequest),
            "KV/Txn": (service.txn, rpc.TxnRequest),
            "KV/Compact": (service.compact, rpc.CompactionRequest),
            "Lease/LeaseGrant": (service.lease_grant, rpc.LeaseGrantRequest),
            "Lease/LeaseRevoke": (service.lease_revoke, rpc.LeaseRevokeRequest),
            "Lease/LeaseTimeToLive": (service.lease_time_to_live, rpc.LeaseTimeToLiveRequest),
            "Lease/LeaseLeases": (service.lease_leases, rpc.LeaseLeasesRequest),
            "Cluster/MemberList": (service.member_list, rpc.MemberListRequest),
            "Maintenance/Status": (service.status, rpc.StatusRequest),
            "Maintenance/Alarm": (service.alarm, rpc.AlarmRequest),
            "Maintenance/Defragment": (service.defragment, rpc.DefragmentRequest),
            "Maintenance/Hash": (service.hash, rpc.HashRequest),
            "Maintenance/HashKV": (service.hash_kv, rpc.HashKVRequest),
        }
        self._handlers = {f"/etcdserverpb.{path}": self._unary(*method) for path, method in unary.items()}
        self._handlers["/etcdserverpb.Lease/LeaseKeepAlive"] = self._keep_alive(service)
        self._handlers["/etcdserverpb.Watch/Watch"] = self._watch(service)
        self._handlers["/etcdserverpb.Maintenance/Snapshot"] = self._snapshot(service)

    def service(self, call: grpc.HandlerCallDetails) -> Handler | None:
        found = self._handlers.get(call.method)
        if found is None and (why := NOT_HERE.get(call.method.rpartition("/")[0])):
            return self._unary(_refusing(why), _Anything)
        return found

    def _unary(self, method: Callable[[Any], Awaitable[Any]], request: Any) -> Handler:
        async def answer(request: Any, context: Any) -> Any:
            try:
                return await method(request)
            except (Refusal, StoreError) as error:
                await self._abort(context, error)

        return self._grpc.unary_unary_rpc_method_handler(answer, request.FromString, _encoded)

    def _keep_alive(self, service: Service) -> Handler:
        async def answer(requests: AsyncIterator[rpc.LeaseKeepAliveRequest], context: Any) -> None:
            try:
                async for request in requests:
                    await context.write(await service.lease_keep_alive(request))
            except StoreError as error:
                await self._abort(context, error)

        return self._grpc.stream_stream_rpc_method_handler(answer, rpc.LeaseKeepAliveRequest.FromString, _encoded)

    def _watch(self, service: Service) -> Handler:
        async def answer(requests: AsyncIterator[rpc.WatchRequest], context: Any) -> None:
            await service.watch(requests, context.write)

        return self._grpc.stream_stream_rpc_method_handler(answer, rpc.WatchRequest.FromString, _encoded)

    def _snapshot(self, service: Service) -> Handler:
        async def answer(_: rpc.SnapshotRequest, context: Any) -> None:
            await service.snapshot(context.write)

        return self._grpc.unary_stream_rpc_method_handler(answer, rpc.SnapshotRequest.FromString, _encoded)

    async def _abort(self, context: Any, error: Refusal | StoreError) -> None:
        refused = error if isinstance(error, Refusal) else refusal(error)
        await context.abort(self._grpc.StatusCode[refused.code], str(refused))


class _Anything:
    """Any message, unread."""

    @staticmethod
    def FromString(data: bytes) -> bytes:
        return data


def _refusing(why: str) -> Callable[[Any], Awaitable[Any]]:
    async def refuse(_: Any) -> Any:
        raise Unimplemented(f"etcdserver: {why}")

    return refuse


def _encoded(message: Any) -> bytes:
    encoded: bytes = message.SerializeToString()
    return encoded
