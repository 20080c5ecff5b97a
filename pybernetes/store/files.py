"""Files that only we may read, and that are on disk before they are relied upon."""

from __future__ import annotations

import os
from pathlib import Path


def make_private(path: Path) -> None:
    """An empty file, 0600, in place of what an attempt that was cut short has left."""
    path.with_name(path.name + "-wal").unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def publish(part: Path, path: Path) -> None:
    """Give a finished file its name, once it is on disk."""
    sync(part)
    os.rename(part, path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Put on disk what was written to a file, or which names a directory has."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
