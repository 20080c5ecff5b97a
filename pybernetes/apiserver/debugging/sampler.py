"""A sampling profile of this process: what its threads were doing, looked at a hundred times a second.

A thread of its own looks at the frames of the others, so that the server runs on; a look costs some 50 µs with the
interpreter's lock held. What a thread was doing is weighed by the processor time that it has used since the last look, which
the kernel tells: threads that wait do not count.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Final, TypeAlias

PERIOD_S: Final = 0.01
SECONDS_MAX: Final = 600.0
DEPTH_MAX: Final = 128
LEAST_NANOS: Final = 100_000  # of processor time between two looks: less is waking up and going back to sleep

Frame: TypeAlias = tuple[str, str, int, int]  # function, file, line of the function, line
Stack: TypeAlias = tuple[Frame, ...]  # the innermost first


@dataclass(slots=True)
class Profile:
    """How often each stack was seen, and the nanoseconds of processor time spent there, in `seconds`."""

    seconds: float
    counts: Counter[Stack] = field(default_factory=Counter)
    nanos: Counter[Stack] = field(default_factory=Counter)

    def collapsed(self) -> str:
        """One line a stack, outermost first, as flame graph tools read them."""
        lines = [";".join(frame[0] for frame in reversed(stack)) + f" {count}" for stack, count in self.counts.most_common()]
        return "".join(line + "\n" for line in lines)


async def sample(seconds: float) -> Profile:
    """Look for so long (at most `SECONDS_MAX`); cancelled, it stops looking."""
    profile = Profile(min(seconds, SECONDS_MAX))
    stop = threading.Event()
    looking = threading.Thread(target=_look, args=(profile, stop), name="profiler", daemon=True)
    looking.start()
    try:
        await asyncio.sleep(profile.seconds)
    finally:
        stop.set()
    await asyncio.to_thread(looking.join)
    return profile


def _look(profile: Profile, stop: threading.Event) -> None:
    own = threading.get_ident()
    before: dict[int, int] = {}
    while not stop.wait(PERIOD_S):
        frames = sys._current_frames()
        for thread in threading.enumerate():
            frame = frames.get(thread.ident or 0)
            if frame is None or thread.ident == own or thread.native_id is None:
                continue
            spent = _processor_nanos(thread.native_id)
            used = spent - before.get(thread.native_id, spent)
            before[thread.native_id] = spent
            if used >= LEAST_NANOS:
                stack = stack_of(frame)
                profile.counts[stack] += 1
                profile.nanos[stack] += used


def _processor_nanos(native_id: int) -> int:
    """Of a thread since it began; 0 once it is gone."""
    try:
        return int(Path(f"/proc/self/task/{native_id}/schedstat").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0


def stack_of(frame: FrameType | None) -> Stack:
    found: list[Frame] = []
    while frame is not None and len(found) < DEPTH_MAX:
        code = frame.f_code
        found.append((code.co_qualname, code.co_filename, code.co_firstlineno, frame.f_lineno))
        frame = frame.f_back
    return tuple(found)
