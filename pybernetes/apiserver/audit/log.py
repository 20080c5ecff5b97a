"""The log backend: one JSON event a line, in a file that is rotated, or on standard output.

A line is written before the request goes on (upstream's blocking mode): what was answered is in the log.
"""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

import orjson

from pybernetes.machinery.clock import Clock
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object

log = logger("audit")

MEGABYTE = 1024 * 1024
SIZE_DEFAULT_MB = 100  # where no size is given


class AuditLog:
    """`path` "-" is standard output. `max_age_days`, `max_backups`: 0 keeps all. Raises OSError if it cannot be opened."""

    def __init__(self, path: str, clock: Clock, *, max_size_mb: int = 0, max_backups: int = 0, max_age_days: int = 0) -> None:
        self._path = Path(path) if path != "-" else None
        self._clock = clock
        self._limit = (max_size_mb or SIZE_DEFAULT_MB) * MEGABYTE
        self._max_backups = max_backups
        self._max_age = timedelta(days=max_age_days)
        self._size = 0
        self._file: BinaryIO = sys.stdout.buffer if self._path is None else self._open(self._path)

    def _open(self, path: Path) -> BinaryIO:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)  # it may hold what secrets hold
        self._size = os.fstat(descriptor).st_size
        return os.fdopen(descriptor, "ab", buffering=0)

    def write(self, event: Object) -> None:
        line = orjson.dumps(event) + b"\n"
        try:
            if self._path is not None and self._size and self._size + len(line) > self._limit:
                self._rotate(self._path)
            self._file.write(line)
            self._size += len(line)
            if self._path is None:
                self._file.flush()
        except OSError as error:
            log.error("Cannot write audit event", err=str(error))

    def close(self) -> None:
        if self._path is not None:
            self._file.close()

    def _rotate(self, path: Path) -> None:
        self._file.close()
        stamp = self._clock.now().strftime("%Y-%m-%dT%H-%M-%S.%f")[:-3]
        path.rename(path.with_name(f"{path.stem}-{stamp}{path.suffix}"))
        self._file = self._open(path)
        backups = sorted(path.parent.glob(f"{path.stem}-????-??-??T*{path.suffix}"), reverse=True)
        oldest = (self._clock.now() - self._max_age).timestamp()
        for position, backup in enumerate(backups):
            too_many = self._max_backups and position >= self._max_backups
            if too_many or (self._max_age and backup.stat().st_mtime < oldest):
                backup.unlink(missing_ok=True)
