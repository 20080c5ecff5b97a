"""Two upgraded connections joined: what either side says, the other hears."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from pybernetes.machinery.http.messages import Upgradable
from pybernetes.machinery.log import logger

log = logger("streams")


async def relay(one: Upgradable, other: Upgradable) -> None:
    """Bytes both ways until either side ends; then both are closed."""

    async def copy(source: Upgradable, target: Upgradable) -> None:
        while data := await source.read():
            await target.write(data)

    try:
        await until_either_ends(copy(one, other), copy(other, one))
    finally:
        one.close()
        other.close()


async def until_either_ends(*both: Coroutine[Any, Any, None]) -> None:
    """The one that goes on is cancelled. A connection that breaks is an end like another; what else fails is logged."""
    tasks = [asyncio.create_task(one) for one in both]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception) and not isinstance(result, OSError):
                log.warning("A stream broke", error=repr(result))
