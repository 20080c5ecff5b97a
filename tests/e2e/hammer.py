"""Clients of an app: one request, or requests without end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


async def fetch(host: str, port: int = 80, timeout_s: float = 3.0) -> str:
    """The app's answer to one GET, on a connection of its own. Raises OSError where there is none, or not the app's."""
    async with asyncio.timeout(timeout_s):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            answer = await reader.read()
        finally:
            writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise ConnectionError(f"answered {head[:60]!r}")
    return body.decode().strip()


async def until_answers(host: str, port: int = 80, timeout_s: float = 15.0) -> str:
    error: Exception | None = None
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            return await fetch(host, port)
        except OSError as failed:  # TimeoutError included
            error = failed
            await asyncio.sleep(0.05)
    raise AssertionError(f"no answer from {host}:{port} within {timeout_s:.0f} s: {error!r}")


@dataclass
class Hammer:
    """A client that fetches all the time, and counts what it got."""

    host: str
    answers: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    async def run(self) -> None:
        while True:
            try:
                answer = await fetch(self.host)
                self.answers[answer] = self.answers.get(answer, 0) + 1
            except OSError as error:
                self.failures.append(f"{time.monotonic():.2f}: {error!r}")
            await asyncio.sleep(0.005)


@asynccontextmanager
async def hammering(host: str, clients: int = 2) -> AsyncIterator[Hammer]:
    """Clients at work for as long as the block lasts."""
    hammer = Hammer(host)
    tasks = [asyncio.create_task(hammer.run()) for _ in range(clients)]
    try:
        yield hammer
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
