"""An API server in this process, on a store in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pybernetes.apiserver.authentication import Options
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.proxying.targets import Kubelets
from pybernetes.apiserver.server import ApiServer
from pybernetes.client.rest import Client
from pybernetes.client.transport import InProcessTransport
from pybernetes.machinery import pki
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.machinery.http.messages import Request, Response
from pybernetes.store.embedded import EmbeddedStore, MemoryLog

TOKEN = "test-admin"


class Server:
    """The server, and short ways to ask it something as an administrator."""

    def __init__(self, api: ApiServer) -> None:
        self.api = api
        self.client = Client(InProcessTransport(api.handle, headers={"authorization": f"Bearer {TOKEN}"}))

    async def send(self, method: str, target: str, body: Any = None, **headers: str) -> Response:
        path, _, query = target.partition("?")
        sent = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return await self.api.handle(Request(method, path, query, sent, data))

    async def ask(self, method: str, target: str, body: Any = None, **headers: str) -> Any:
        """The answer's JSON."""
        response = await self.send(method, target, body, **headers)
        if isinstance(response.body, bytes):
            return json.loads(response.body)
        return json.loads(b"".join([chunk async for chunk in response.body]))

    async def events(self, target: str, count: int, **headers: str) -> list[Any]:
        """The first events of a watch (fewer if it ends)."""
        response = await self.send("GET", target, **headers)
        assert not isinstance(response.body, bytes), response.body
        found: list[Any] = []
        async with asyncio.timeout(5):
            async for chunk in response.body:
                found += [json.loads(line) for line in chunk.splitlines()]
                if len(found) >= count:
                    break
        await response.body.aclose()  # type: ignore[attr-defined]
        return found


@pytest.fixture
def kubelets() -> Kubelets | None:
    """How the server reaches kubelets; a module overrides it."""
    return None


@pytest.fixture
def configuration() -> dict[str, Any]:
    """Further fields of the server's `Config`; a module overrides it."""
    return {}


@pytest.fixture
def authentication() -> dict[str, Any]:
    """Further fields of the server's authentication `Options`; a module overrides it."""
    return {}


@pytest.fixture
async def server(
    tmp_path: Path, kubelets: Kubelets | None, configuration: dict[str, Any], authentication: dict[str, Any]
) -> AsyncIterator[Server]:
    clock, entropy = SystemClock(), SystemEntropy()
    (tmp_path / "tokens.csv").write_text(f'{TOKEN},admin,admin,"system:masters"\nnobody,nobody,nobody\n')
    pki.write_private(tmp_path / "sa.key", pki.new_key_pem())
    options = Options(
        token_auth_file=tmp_path / "tokens.csv",
        service_account_issuer=("https://kubernetes.default.svc",),
        service_account_key_file=(tmp_path / "sa.key",),
        service_account_signing_key_file=tmp_path / "sa.key",
        **authentication,
    )
    store = await EmbeddedStore.open(MemoryLog(), clock=clock, entropy=entropy)
    api = ApiServer(
        store, clock=clock, entropy=entropy, config=Config(authentication=options, kubelets=kubelets, **configuration)
    )
    running = asyncio.create_task(api.run())
    await api.wait_ready()
    made = Server(api)
    await made.ask("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await api.close()
    await store.close()
