"""/logs/: the files of a directory, as `--enable-logs-handler` has it."""

from __future__ import annotations

import asyncio
import html
import os
import stat
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import quote, unquote

from pybernetes.apiserver import refusals
from pybernetes.machinery.http.messages import Request, Response

ROOT: Final = "/logs/"
CHUNK_BYTES: Final = 64 * 1024


async def serve(request: Request, directory: Path) -> Response:
    """A file's bytes, or a directory's entries as links. 404 for whatever is not below `directory`."""
    wanted = unquote(request.path.removeprefix(ROOT))
    try:
        path = await asyncio.to_thread(_resolved, directory, wanted)
        if path is None:
            return refusals.page_not_found()
        if path.is_dir():
            return Response(200, {"Content-Type": "text/html; charset=utf-8"}, await asyncio.to_thread(_listing, path))
        file = await asyncio.to_thread(_open, path)
    except OSError:
        return refusals.page_not_found()
    return Response(200, dict(refusals.TEXT), _chunks(file))


def _resolved(directory: Path, wanted: str) -> Path | None:
    root = directory.resolve()
    path = (root / wanted.lstrip("/")).resolve()
    return path if path == root or root in path.parents else None


def _listing(path: Path) -> bytes:
    names = sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in os.scandir(path))
    return ("<pre>\n" + "".join(f'<a href="{quote(name)}">{html.escape(name)}</a>\n' for name in names) + "</pre>\n").encode()


def _open(path: Path) -> BinaryIO:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not hold us up
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("not a file")
    return os.fdopen(descriptor, "rb")


async def _chunks(file: BinaryIO) -> AsyncGenerator[bytes, None]:
    try:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk
    finally:
        file.close()
