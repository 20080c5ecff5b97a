"""API servers that encrypt, one after the other or side by side, over one store in memory."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml

from pybernetes.apiserver.authentication import Options
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.encryption.encryption import Encryption
from pybernetes.apiserver.encryption.store import EncryptedStore, NoProviders, Resources
from pybernetes.apiserver.registry.all import STRATEGIES
from pybernetes.apiserver.registry.kinds import stored_under
from pybernetes.apiserver.server import ApiServer
from pybernetes.machinery import resources
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.store.embedded import EmbeddedStore, MemoryLog
from pybernetes.store.interface import Store
from tests.component.apiserver.conftest import TOKEN, Server

Provider = dict[str, Any]


def aes(name: str, byte: int = 0, kind: str = "aesgcm") -> Provider:
    return {kind: {"keys": [{"name": name, "secret": base64.b64encode(bytes((byte,)) * 32).decode()}]}}


@dataclass
class Encrypting:
    """A server, the file that it reads, and the store beneath it."""

    server: Server
    file: Path
    inner: Store

    def configure(self, *providers: Provider, resources: tuple[str, ...] = ("secrets",)) -> None:
        self.file.write_text(configuration(*providers, resources=resources))

    async def stored(self, key: str) -> bytes:
        entry = await self.inner.get(key)
        assert entry is not None
        return entry.value


def configuration(*providers: Provider, resources: tuple[str, ...] = ("secrets",)) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration",
            "resources": [{"resources": list(resources), "providers": list(providers)}],
        }
    )  # fmt: skip


_NUMBERS = count()  # of files: each server has its own

Start = Callable[..., Awaitable[Encrypting]]


@pytest.fixture
async def inner() -> AsyncIterator[Store]:
    store = await EmbeddedStore.open(MemoryLog())
    yield store
    await store.close()


@pytest.fixture
async def start(tmp_path: Path, inner: Store) -> AsyncIterator[Start]:
    """`start(*providers, resources=…)`: a server that encrypts so; without providers, one that does not encrypt."""
    (tmp_path / "tokens.csv").write_text(f'{TOKEN},admin,admin,"system:masters"\n')
    paths = Resources(stored_under(STRATEGIES, resources.BUILTIN))
    async with AsyncExitStack() as stack:

        async def started(*providers: Provider, resources: tuple[str, ...] = ("secrets",)) -> Encrypting:
            return await stack.enter_async_context(_started(tmp_path, inner, paths, providers, resources))

        yield started


@asynccontextmanager
async def _started(
    tmp_path: Path, inner: Store, paths: Resources, providers: tuple[Provider, ...], resources: tuple[str, ...]
) -> AsyncIterator[Encrypting]:
    clock, entropy = SystemClock(), SystemEntropy()
    config = Config(authentication=Options(token_auth_file=tmp_path / "tokens.csv"))
    file = tmp_path / f"encryption-{next(_NUMBERS)}.yaml"
    tasks = []
    encryption = None
    if providers:
        file.write_text(configuration(*providers, resources=resources))
        encryption = await Encryption.open(
            str(file), reload=True, clock=clock, entropy=entropy, server_id="test", poll_s=0.05
        )  # fmt: skip
        config = Config(config.authentication, checks=encryption.checks, registries=(encryption.metrics.registry,))
        tasks.append(asyncio.create_task(encryption.run()))
    store = encryption.wrap(inner, paths) if encryption else EncryptedStore(inner, paths, NoProviders())
    api = ApiServer(store, clock=clock, entropy=entropy, config=config)
    tasks.append(asyncio.create_task(api.run()))
    await api.wait_ready()
    yield Encrypting(Server(api), file, inner)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await api.close()
    if encryption:
        await encryption.close()
