"""Files that others replace while we use them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from pybernetes.machinery.log import logger

log = logger("files")

Stamp: TypeAlias = tuple[tuple[int, int, int] | None, ...]
Content: TypeAlias = tuple[bytes, ...]


def stamp_of(*paths: str) -> Stamp:
    """Differs from an earlier one if one of the files was written or replaced since; "" is no file, and one that is not there
    has a stamp too. Take it before reading: what changes meanwhile is then read again."""
    found: list[tuple[int, int, int] | None] = []
    for path in paths:
        try:
            status = os.stat(path) if path else None
        except (OSError, ValueError):  # ValueError: no name that a file could have
            status = None
        found.append((status.st_mtime_ns, status.st_ino, status.st_size) if status else None)
    return tuple(found)


class FollowedFiles:
    """What some files hold that only count together (a certificate and its key, say).

    `look` reads them again where they have changed. What cannot be read, or does not pass `check`, is said in the log and
    changes nothing: whoever replaces files one by one leaves us with a good pair all the time.
    """

    def __init__(self, what: str, paths: Sequence[str], check: Callable[[Content], None]) -> None:
        """`check` raises OSError or ValueError for content that is of no use; so does this, for what is there at first."""
        self.generation = 0  # counts the contents that were taken over since
        self._what = what
        self._paths = tuple(paths)
        self._check = check
        self._stamp = stamp_of(*self._paths)
        self._refused: Stamp | None = None
        self.content = self._read()

    def look(self) -> int:
        """The generation of the content, after a look at the files."""
        stamp = stamp_of(*self._paths)
        if stamp != self._stamp:
            try:
                self.content = self._read()
            except (OSError, ValueError) as error:
                if stamp != self._refused:
                    log.warning("Cannot load changed files", what=self._what, files=self._paths, err=str(error))
                self._refused = stamp
            else:
                self._stamp = stamp
                self.generation += 1
                log.info("Loaded changed files", what=self._what, files=self._paths)
        return self.generation

    def _read(self) -> Content:
        content = tuple(Path(path).read_bytes() for path in self._paths)
        self._check(content)
        return content
