"""A server that is asked while it starts."""

from __future__ import annotations

import asyncio

import pytest

from pybernetes.apiserver import server as servers
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.server import ApiServer
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.machinery.http.messages import Request
from pybernetes.store.embedded import EmbeddedStore, MemoryLog


@pytest.fixture
async def starting():
    clock, entropy = SystemClock(), SystemEntropy()
    store = await EmbeddedStore.open(MemoryLog(), clock=clock, entropy=entropy)
    api = ApiServer(store, clock=clock, entropy=entropy, config=Config())
    yield api
    await api.close()
    await store.close()


async def test_requests_that_come_during_the_start_are_answered_when_it_is_done(starting):
    """Refused with Retry-After, a kubelet of a new cluster came back a second later."""
    asked = asyncio.create_task(starting.handle(Request("GET", "/version")))
    await asyncio.sleep(0.05)
    assert not asked.done()
    assert (await starting.handle(Request("GET", "/livez"))).status == 500
    running = asyncio.create_task(starting.run())
    async with asyncio.timeout(10):
        assert (await asked).status == 200
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_who_waits_too_long_for_the_start_is_asked_to_come_back(starting, monkeypatch):
    monkeypatch.setattr(servers, "START_WAIT_S", 0.05)
    answer = await starting.handle(Request("GET", "/version"))
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
