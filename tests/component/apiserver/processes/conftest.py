"""`pyb apiserver` as a process of its own, started with flags, as its user starts it."""

from __future__ import annotations

import asyncio
import re
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest

from pybernetes.client.http import HttpTransport
from pybernetes.machinery.http.messages import Request
from tests.component.apiserver.authorization.conftest import reviewer

__all__ = ["reviewer"]

ADMIN, JOE = "admin-token", "joe-token"
START_S = 30.0


class Process:
    """A running server, and short ways to ask it something. Its data directory is `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.errors = directory / "stderr"
        self.port = 0
        self._process: asyncio.subprocess.Process | None = None
        self._transports: dict[str, HttpTransport] = {}

    async def start(self, *flags: str, ready: bool = True) -> None:
        """Returns when it is ready (unless it need not be). Raises RuntimeError with what it says if it ends instead."""
        tokens = self.directory / "tokens.csv"
        tokens.write_text(f'{ADMIN},admin,admin,"system:masters"\n{JOE},joe,joe\n')
        command = [
            sys.executable, "-m", "pybernetes", "apiserver", "--data-dir", str(self.directory / "data"), "--secure-port", "0",
            "--bind-address", "127.0.0.1", "--endpoint-reconciler-type", "none", "--token-auth-file", str(tokens), *flags,
        ]  # fmt: skip
        with self.errors.open("wb") as errors:
            self._process = await asyncio.create_subprocess_exec(*command, stdout=errors, stderr=errors)
        async with asyncio.timeout(START_S):
            while not (found := re.search(r'"Serving" address="[0-9.]+:(\d+)"', self.errors.read_text())):
                if self._process.returncode is not None:
                    raise RuntimeError(self.errors.read_text())
                await asyncio.sleep(0.02)
        context = ssl.create_default_context(cafile=str(self.directory / "data" / "pki" / "ca.crt"))
        self.port = int(found[1])
        url = f"https://127.0.0.1:{self.port}"
        self._transports = {token: HttpTransport(url, ssl_context=context, token=token) for token in (ADMIN, JOE)}
        if ready:
            await self.ask("GET", "/readyz")

    async def send(self, method: str, path: str, body: Any = None, token: str = ADMIN) -> tuple[int, bytes]:
        target, _, query = path.partition("?")
        data = b"" if body is None else orjson.dumps(body)
        request = Request(method, target, query, {"content-type": "application/json"}, data)
        response = await self._transports[token].send(request, timeout_s=20)
        assert isinstance(response.body, bytes)
        return response.status, response.body

    async def ask(self, method: str, path: str, body: Any = None, token: str = ADMIN) -> Any:
        """The answer's JSON, or text."""
        _, content = await self.send(method, path, body, token)
        return orjson.loads(content) if content.startswith(b"{") else content.decode()

    async def stop(self) -> None:
        for transport in self._transports.values():
            await transport.close()
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.terminate()
            async with asyncio.timeout(START_S):
                await self._process.wait()


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Process]]]:
    """Starts a server with the flags; it is stopped after the test."""
    started: list[Process] = []

    async def run(*flags: str, ready: bool = True) -> Process:
        process = Process(tmp_path)
        started.append(process)
        await process.start(*flags, ready=ready)
        return process

    yield run
    for process in started:
        await process.stop()
