"""The engines that the contract suite runs over, each as a way to open a store on an empty place, and to open it again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from pybernetes.store.embedded import EmbeddedStore, MemoryLog, SqliteLog
from pybernetes.store.interface import Store

Open = Callable[[], Awaitable[Store]]


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    log = MemoryLog() if request.param == "memory" else SqliteLog(tmp_path / "store")
    store = await EmbeddedStore.open(log)
    yield store
    await store.close()


@pytest.fixture
async def reopen(tmp_path: Path) -> AsyncIterator[Open]:
    """Opens the store on disk; called again, closes it first."""
    current: list[Store] = []

    async def open_() -> Store:
        while current:
            await current.pop().close()
        current.append(await EmbeddedStore.open(SqliteLog(tmp_path / "store")))
        return current[-1]

    yield open_
    for store in current:
        await store.close()
