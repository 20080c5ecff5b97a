"""A key management plugin (KMS v2) on a socket: AES-GCM with the key whose id is `key_id`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pybernetes.apiserver.encryption import kms_pb2 as rpc
from pybernetes.apiserver.encryption.kms_client import SERVICE

ANNOTATIONS = {"plugin.example.com": b"kept beside the value"}


class KmsPlugin:
    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.key_id = "key-1"
        self.healthz = "ok"
        self.version = "v2"
        self.asked: list[str] = []  # methods, in the order of the calls
        self._keys: dict[str, bytes] = {}
        self._server: grpc.aio.Server | None = None

    @property
    def provider(self) -> dict[str, Any]:
        """As the configuration names it."""
        return {"kms": {"apiVersion": "v2", "name": "vault", "endpoint": f"unix://{self.socket}", "timeout": "500ms"}}

    async def start(self) -> None:
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers((_Handler(self),))
        self._server.add_insecure_port(f"unix:{self.socket}")
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
            self._server = None
        self.socket.unlink(missing_ok=True)

    async def status(self, _: Any, __: Any) -> Any:
        self.asked.append("Status")
        return rpc.StatusResponse(version=self.version, healthz=self.healthz, key_id=self.key_id)

    async def encrypt(self, request: Any, _: Any) -> Any:
        self.asked.append("Encrypt")
        nonce = os.urandom(12)
        sealed = nonce + self._cipher(self.key_id).encrypt(nonce, request.plaintext, b"")
        return rpc.EncryptResponse(ciphertext=sealed, key_id=self.key_id, annotations=ANNOTATIONS)

    async def decrypt(self, request: Any, context: Any) -> Any:
        self.asked.append("Decrypt")
        if dict(request.annotations) != ANNOTATIONS:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the annotations are not mine")
        if request.key_id not in self._keys:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such key")
        sealed = request.ciphertext
        return rpc.DecryptResponse(plaintext=self._cipher(request.key_id).decrypt(sealed[:12], sealed[12:], b""))

    def forget(self, key_id: str) -> None:
        del self._keys[key_id]

    def _cipher(self, key_id: str) -> AESGCM:
        return AESGCM(self._keys.setdefault(key_id, os.urandom(32)))


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, plugin: KmsPlugin) -> None:
        self._methods = {
            f"{SERVICE}Status": (plugin.status, rpc.StatusRequest, rpc.StatusResponse),
            f"{SERVICE}Encrypt": (plugin.encrypt, rpc.EncryptRequest, rpc.EncryptResponse),
            f"{SERVICE}Decrypt": (plugin.decrypt, rpc.DecryptRequest, rpc.DecryptResponse),
        }

    def service(self, handler_call_details: Any) -> Any:
        found = self._methods.get(handler_call_details.method)
        if found is None:
            return None
        call, request, response = found
        return grpc.unary_unary_rpc_method_handler(call, request.FromString, response.SerializeToString)
