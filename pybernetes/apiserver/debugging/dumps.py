"""What runs in the process, and what its memory is used for, as text."""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
import tracemalloc
from typing import Final

from pybernetes.apiserver.debugging.sampler import SECONDS_MAX

LINES_MOST: Final = 100


def running() -> str:
    """Each thread with its stack, each task of the event loop with where it waits. Call on the loop."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = []
    for identifier, frame in sys._current_frames().items():
        stack = "".join(traceback.format_stack(frame))
        parts.append(f"thread {names.get(identifier, identifier)}:\n{stack}")
    tasks = sorted(asyncio.all_tasks(), key=lambda task: task.get_name())
    for task in tasks:
        frames = task.get_stack()
        lines = [f'  File "{one.f_code.co_filename}", line {one.f_lineno}, in {one.f_code.co_qualname}\n' for one in frames]
        parts.append(f"task {task.get_name()}:\n{''.join(lines)}")
    return f"{len(names)} threads, {len(tasks)} tasks\n\n" + "\n".join(parts)


async def allocated(seconds: float) -> str:
    """What was allocated in so many seconds and is still there, by line. Tracing costs a server a third of its speed."""
    if tracemalloc.is_tracing():
        return "somebody else traces allocations at the moment\n"
    tracemalloc.start()
    try:
        await asyncio.sleep(min(seconds, SECONDS_MAX))
        snapshot = tracemalloc.take_snapshot()
    finally:
        tracemalloc.stop()
    found = await asyncio.to_thread(snapshot.statistics, "lineno")
    lines = [f"{one.size:>12} bytes {one.count:>9} objects  {one.traceback}" for one in found[:LINES_MOST]]
    total = sum(one.size for one in found)
    return f"{total} bytes allocated in {seconds:g} s and still there\n" + "".join(line + "\n" for line in lines)
