"""Writes that reserve something besides (a Service its addresses) are seen through, whatever becomes of who asked for them.

A client that goes away cancels its request. In the middle of such a write that would leave a reservation without an object; or,
worse, take back what an object holds whose write was under way and cannot be stopped any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from pybernetes.apiserver.registry.strategy import Strategy
from pybernetes.machinery.resources import CONFIG_MAPS

T = TypeVar("T")

_RESERVES_NOTHING = Strategy(resource=CONFIG_MAPS)


async def whole(strategy: Strategy, write: Coroutine[Any, Any, T]) -> T:
    """What `write` gives. If the caller is cancelled, and the kind reserves something, that is raised once it has ended."""
    if strategy.begin_create is _RESERVES_NOTHING.begin_create and strategy.after_delete is _RESERVES_NOTHING.after_delete:
        return await write
    task = asyncio.ensure_future(write)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                continue  # asked once more: the first time counts
        if not task.cancelled():
            task.exception()  # nobody is left to be told
        raise
