"""A server that is asked while it stops."""

from __future__ import annotations

import asyncio

import pytest

from pybernetes.apiserver.config import Config
from pybernetes.apiserver.server import ApiServer
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.machinery.resources import CONFIG_MAPS
from pybernetes.store.embedded import EmbeddedStore, MemoryLog
from pybernetes.store.interface import Unavailable


async def test_no_write_outlasts_the_server():
    """A write waits until the image has seen it, and one of a Service is not to be cancelled. A server which was stopped in the
    middle of one never ended, since its image was followed no more.
    """
    clock, entropy = SystemClock(), SystemEntropy()
    store = await EmbeddedStore.open(MemoryLog(), clock=clock, entropy=entropy)
    api = ApiServer(store, clock=clock, entropy=entropy, config=Config())
    running = asyncio.create_task(api.run())
    await api.wait_ready()
    waiting = asyncio.create_task(api.image.reached(api.image.revision + 1000))
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "default"}}
    async with asyncio.timeout(5):
        with pytest.raises(Unavailable):
            await waiting
        with pytest.raises(Unavailable):
            await api.writer.create(CONFIG_MAPS, config_map)
    await api.close()
    await store.close()
