"""Files that others replace while we use them: has one changed since we read it?"""

from __future__ import annotations

import os
from typing import TypeAlias

Stamp: TypeAlias = tuple[tuple[int, int, int] | None, ...]


def stamp_of(*paths: str) -> Stamp:
    """Differs from an earlier one if one of the files was written or replaced since; "" is no file, and one that is not there
    has a stamp too. Take it before reading: what changes meanwhile is then read again."""
    found: list[tuple[int, int, int] | None] = []
    for path in paths:
        try:
            status = os.stat(path) if path else None
        except OSError:
            status = None
        found.append((status.st_mtime_ns, status.st_ino, status.st_size) if status else None)
    return tuple(found)
