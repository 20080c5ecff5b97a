"""Container logs as the CRI runtime writes them: `<time> <stream> <tags> <text>`; tag P is a part of a longer line.

Source: CRI container log format (kubernetes/design-proposals: kubelet-cri-logging).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pybernetes.machinery.clock import Clock, parse_time

CHUNK = 64 * 1024
POLL_S = 0.25
TAIL_BLOCK = 64 * 1024


@dataclass(frozen=True, slots=True)
class LogOptions:
    """PodLogOptions. `tail_lines` and `limit_bytes` None is all."""

    follow: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = None
    since: datetime | None = None
    timestamps: bool = False
    stream: str = ""  # "stdout" or "stderr" alone (KEP-3288)


def text_of(line: bytes) -> bytes:
    """The text of one log line, with its newline unless it is only a part. Malformed lines are given as they are."""
    parts = line.split(b" ", 3)
    if len(parts) < 3:
        return line + b"\n"
    text = parts[3] if len(parts) == 4 else b""
    return text if parts[2].split(b":", 1)[0] == b"P" else text + b"\n"


def render(line: bytes, options: LogOptions) -> bytes:
    """What the reader of the log gets for a line of the file; b"" if it does not want it."""
    parts = line.split(b" ", 2)
    if len(parts) < 3:
        return b""
    if options.stream and parts[1].decode(errors="replace") != options.stream:
        return b""
    if options.since is not None:
        try:
            if parse_time(_micros(parts[0].decode())) < options.since:
                return b""
        except ValueError:
            return b""
    text = text_of(line)
    return parts[0] + b" " + text if options.timestamps else text


def _micros(text: str) -> str:
    """RFC 3339 with nanoseconds, cut to what Python's datetime reads."""
    head, dot, rest = text.partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    return f"{head}.{rest[: min(digits, 6)]}{rest[digits:]}" if dot else text


def tail_offset(path: Path, lines: int) -> int:
    """Where the last `lines` lines of the file begin."""
    size = path.stat().st_size
    if lines <= 0:
        return size
    found, position = 0, size
    with path.open("rb") as file:
        while position > 0:
            block_start = max(position - TAIL_BLOCK, 0)
            file.seek(block_start)
            block = file.read(position - block_start)
            end = len(block)
            if position == size and block.endswith(b"\n"):
                end -= 1
            while (newline := block.rfind(b"\n", 0, end)) >= 0:
                found += 1
                if found == lines:
                    return block_start + newline + 1
                end = newline
            position = block_start
    return 0


async def read_log(
    path: Path, options: LogOptions, *, running: Callable[[], Awaitable[bool]], clock: Clock
) -> AsyncIterator[bytes]:
    """The log's text in chunks. With `follow`, until the container (`running`) has ended and everything is read."""
    left = options.limit_bytes if options.limit_bytes is not None else -1
    file = path.open("rb")
    try:
        if options.tail_lines is not None:
            file.seek(tail_offset(path, options.tail_lines))
        pending = b""
        ending = False
        while True:
            data = file.read(CHUNK)
            if not data:
                if not options.follow or ending:
                    break
                if _rotated(path, file.fileno()):
                    file.close()
                    file = path.open("rb")
                    continue
                # Asked before the last read: what was written before the end is still seen.
                ending = not await running()
                if not ending:
                    await clock.sleep(POLL_S)
                continue
            *lines, pending = (pending + data).split(b"\n")
            out = b"".join(render(line, options) for line in lines)
            if left >= 0:
                out = out[:left]
                left -= len(out)
            if out:
                yield out
            if left == 0:
                return
            await asyncio.sleep(0)
    finally:
        file.close()


def _rotated(path: Path, handle: int) -> bool:
    """Whether the name leads to another file by now."""
    try:
        return os.stat(path).st_ino != os.fstat(handle).st_ino
    except OSError:
        return False
