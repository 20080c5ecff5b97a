"""Services over TLS that know who somebody is, and the authority that vouches for them."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pybernetes.client.http import HttpTransport
from pybernetes.machinery import pki
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.http.messages import Handler, Request, Response
from pybernetes.machinery.http.server import Server as HttpServer
from pybernetes.machinery.http.tls import server_context

WHO_AM_I = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"


@pytest.fixture
def authority(tmp_path: Path) -> pki.Authority:
    made = pki.Authority.create("services", SystemClock().now())
    (tmp_path / "services.crt").write_bytes(made.certificate_pem)
    return made


Serve = Callable[..., Awaitable[HttpServer]]


@pytest.fixture
async def serve(authority: pki.Authority, tmp_path: Path) -> AsyncIterator[Serve]:
    """Start a server on loopback for a handler; further arguments are authorities of clients."""
    started: list[HttpServer] = []
    pair = authority.issue("service", (), ["service"], ["127.0.0.1"], usages=pki.SERVER, now=SystemClock().now())
    pair.save(tmp_path / "service.crt", tmp_path / "service.key")

    async def serve(handler: Handler, *client_authorities: Path) -> HttpServer:
        http = HttpServer(handler, clock=SystemClock())
        files = (tmp_path / "service.crt", tmp_path / "service.key", *client_authorities)
        await http.start("127.0.0.1", 0, server_context(*map(str, files)))
        started.append(http)
        return http

    yield serve
    for http in started:
        await http.stop(0)


@pytest.fixture
def who(server: Any) -> Callable[..., Awaitable[Any]]:
    """Whom the server takes a token for: its UserInfo, or None where it answers 401."""

    async def who(token: str) -> Any:
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        response = await server.send("POST", WHO_AM_I, body, authorization=f"Bearer {token}")
        assert response.status in (201, 401), response.body
        return json.loads(response.body)["status"]["userInfo"] if response.status == 201 else None

    return who


def client_context(tmp_path: Path, pair: pki.KeyPair | None = None) -> ssl.SSLContext:
    """Trusts the services; with `pair` it presents that certificate."""
    context = ssl.create_default_context(cafile=str(tmp_path / "services.crt"))
    if pair is not None:
        pair.save(tmp_path / "client.crt", tmp_path / "client.key")
        context.load_cert_chain(tmp_path / "client.crt", tmp_path / "client.key")
    return context


async def ask(port: int, context: ssl.SSLContext, request: Request) -> Response:
    transport = HttpTransport(f"https://127.0.0.1:{port}", ssl_context=context)
    try:
        return await transport.send(request, timeout_s=10)
    finally:
        await transport.close()


async def until(condition: Callable[[], Awaitable[bool]], *, limit_s: float = 10) -> None:
    async with asyncio.timeout(limit_s):
        while not await condition():
            await asyncio.sleep(0.02)
