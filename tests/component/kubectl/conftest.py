"""An API server in this process, behind TLS on a socket of its own, and both kubectls in processes of theirs."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pybernetes.apiserver.app import complete_files, config
from pybernetes.apiserver.options import Options
from pybernetes.apiserver.server import ApiServer
from pybernetes.client import kubeconfig
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.machinery.http.server import Server
from pybernetes.machinery.http.tls import server_context
from pybernetes.store.embedded import EmbeddedStore, MemoryLog
from tools import install_clients

OURS = "import sys; from pybernetes.kubectl.main import main; sys.exit(main())"


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


Kubectl = Callable[..., Awaitable[Result]]


@asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[Path]:
    """The path of a kubeconfig of an administrator."""
    clock, entropy = SystemClock(), SystemEntropy()
    store = await EmbeddedStore.open(MemoryLog(), clock=clock, entropy=entropy)
    options = Options(data_dir=str(directory), bind_address="127.0.0.1", advertise_address="127.0.0.1")
    files = complete_files(options, clock)
    api = ApiServer(store, clock=clock, entropy=entropy, config=config(options, files, "127.0.0.1"))
    http = Server(api.handle, clock=clock)
    await http.start("127.0.0.1", 0, server_context(files.certificate, files.key, files.client_ca))
    running = asyncio.create_task(api.run())
    try:
        async with asyncio.timeout(20):
            await api.wait_ready()
        pki = directory / "pki"
        path = directory / "kubeconfig"
        written = kubeconfig.build(
            server=f"https://127.0.0.1:{http.port}",
            certificate_authority=(pki / "ca.crt").read_bytes(),
            client_certificate=(pki / "admin.crt").read_bytes(),
            client_key=(pki / "admin.key").read_bytes(),
        )
        kubeconfig.write(path, written)
        yield path
    finally:
        await http.stop(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await api.close()
        await store.close()


async def call(words: list[str], config_path: Path, stdin: bytes = b"") -> Result:
    environment = {**os.environ, "KUBECONFIG": str(config_path), "HOME": str(config_path.parent)}
    process = await asyncio.create_subprocess_exec(
        *words, env=environment, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate(stdin)
    assert process.returncode is not None
    return Result(process.returncode, out.decode(), err.decode())


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Path]:
    async with serving(tmp_path) as path:
        yield path


@pytest.fixture
def ours(cluster: Path) -> Kubectl:
    async def kubectl(*args: str, stdin: bytes = b"") -> Result:
        return await call([sys.executable, "-c", OURS, *args], cluster, stdin)

    return kubectl


@pytest.fixture
def theirs(cluster: Path) -> Kubectl:
    program = install_clients.kubectl()

    async def kubectl(*args: str, stdin: bytes = b"") -> Result:
        return await call([program, *args], cluster, stdin)

    return kubectl
