"""Calls to a key management plugin: gRPC over a socket of this machine, each with a time limit."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pybernetes.apiserver.encryption import kms_pb2 as rpc
from pybernetes.apiserver.encryption.configuration import Kms

if TYPE_CHECKING:
    import grpc.aio

    from pybernetes.apiserver.encryption.metrics import Metrics

SERVICE = "/v2.KeyManagementService/"
ANSWER_BYTES_MOST = 1 << 20
# The plugin is not there, or not just now.
TRANSIENT = frozenset(("Unavailable", "DeadlineExceeded", "ResourceExhausted"))


class PluginFailed(Exception):
    """`str()` is Go's sentence for it; `code` gRPC's, spelt as Go spells it."""

    def __init__(self, code: str, details: str) -> None:
        super().__init__(f"rpc error: code = {code} desc = {details}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Encrypted:
    """A data key as the plugin has encrypted it."""

    ciphertext: bytes = field(repr=False)
    key_id: str
    annotations: dict[str, bytes]


class KmsClient:
    """Made on the event loop that uses it; it connects when it is first asked something."""

    def __init__(self, kms: Kms, metrics: Metrics) -> None:
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
        import grpc
        import grpc.aio

        self._grpc = grpc
        self._kms = kms
        self._metrics = metrics
        options = [
            ("grpc.default_authority", "localhost"),
            ("grpc.enable_http_proxy", 0),
            ("grpc.max_receive_message_length", ANSWER_BYTES_MOST),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        self._channel: grpc.aio.Channel = grpc.aio.insecure_channel(target_of(kms.endpoint), options=options)

    async def status(self) -> tuple[str, str, str]:
        """(version, health, id of the current key). Raises `PluginFailed`, as all do."""
        answer = await self._call("Status", rpc.StatusRequest(), rpc.StatusResponse)
        return answer.version, answer.healthz, answer.key_id

    async def encrypt(self, uid: str, plain: bytes) -> Encrypted:
        answer = await self._call("Encrypt", rpc.EncryptRequest(uid=uid, plaintext=plain), rpc.EncryptResponse)
        return Encrypted(answer.ciphertext, answer.key_id, dict(answer.annotations))

    async def decrypt(self, uid: str, encrypted: Encrypted) -> bytes:
        request = rpc.DecryptRequest(
            uid=uid, ciphertext=encrypted.ciphertext, key_id=encrypted.key_id, annotations=encrypted.annotations
        )
        answer = await self._call("Decrypt", request, rpc.DecryptResponse)
        return bytes(answer.plaintext)

    async def close(self) -> None:
        await self._channel.close(None)

    async def _call(self, name: str, request: Any, answer: Any) -> Any:
        method = SERVICE + name
        call = self._channel.unary_unary(method, type(request).SerializeToString, answer.FromString)
        started_s, code = self._metrics.now_s(), "OK"
        try:
            return await call(request, timeout=self._kms.timeout_s, wait_for_ready=True)
        except self._grpc.aio.AioRpcError as error:
            code = _go_name(error.code().name)
            raise PluginFailed(code, error.details() or "") from error
        finally:
            self._metrics.called(self._kms.name, method, code, started_s)


def target_of(endpoint: str) -> str:
    """gRPC's name for `unix:///path`, or for `unix:///@name` in the abstract namespace."""
    path = endpoint.removeprefix("unix:").removeprefix("//")
    return f"unix-abstract:{path[2:]}" if path.startswith("/@") else f"unix:{path}"


def _go_name(name: str) -> str:
    return "Canceled" if name == "CANCELLED" else "".join(part.capitalize() for part in name.split("_"))
