"""The log backend: an event a line, in a file that is rotated, or on standard output.

The file is lumberjack's: `audit.log` beside `audit-2026-11-27T02-40-00.000.log`, these compressed (`.gz`) if so wished.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Final

import orjson

from pybernetes.apiserver.audit.backends import Losses
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object

log = logger("audit")

PLUGIN: Final = "log"
MEGABYTE = 1024 * 1024
SIZE_DEFAULT_MB = 100  # where no size is given
JSON: Final = "json"
LEGACY: Final = "legacy"
FORMATS: Final = (LEGACY, JSON)


class AuditLog:
    """`path` "-" is standard output. `max_age_days`, `max_backups`: 0 keeps all. Raises OSError if it cannot be opened."""

    def __init__(
        self,
        path: str,
        clock: Clock,
        losses: Losses,
        *,
        max_size_mb: int = 0,
        max_backups: int = 0,
        max_age_days: int = 0,
        compresses: bool = False,
        format_: str = JSON,
    ) -> None:
        self._path = Path(path) if path != "-" else None
        self._clock = clock
        self._losses = losses
        self._limit = (max_size_mb or SIZE_DEFAULT_MB) * MEGABYTE
        self._max_backups = max_backups
        self._max_age = timedelta(days=max_age_days)
        self._compresses = compresses
        self._compressing: asyncio.Task[None] | None = None
        self._legacy = format_ == LEGACY
        self._size = 0
        self._file: BinaryIO = sys.stdout.buffer if self._path is None else self._open(self._path)

    def _open(self, path: Path) -> BinaryIO:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)  # it may hold what secrets hold
        self._size = os.fstat(descriptor).st_size
        return os.fdopen(descriptor, "ab", buffering=0)

    async def process(self, events: Sequence[Object]) -> bool:
        kept = True
        for event in events:
            try:
                self._write(self._line(event))
            except OSError as error:
                self._losses.lost(PLUGIN, str(error), 1)
                kept = False
        return kept

    async def close(self) -> None:
        if self._compressing is not None:
            await asyncio.gather(self._compressing, return_exceptions=True)
        if self._path is not None:
            self._file.close()

    def _line(self, event: Object) -> bytes:
        if not self._legacy:
            return orjson.dumps(event) + b"\n"
        from pybernetes.apiserver.audit.legacy import line_of

        return line_of(event).encode() + b"\n"

    def _write(self, line: bytes) -> None:
        if self._path is not None and self._size and self._size + len(line) > self._limit:
            self._rotate(self._path)
        self._file.write(line)
        self._size += len(line)
        if self._path is None:
            self._file.flush()

    def _rotate(self, path: Path) -> None:
        self._file.close()
        stamp = self._clock.now().strftime("%Y-%m-%dT%H-%M-%S.%f")[:-3]
        path.rename(path.with_name(f"{path.stem}-{stamp}{path.suffix}"))
        self._file = self._open(path)
        _prune(backups_of(path), self._max_backups, self._clock.now() - self._max_age if self._max_age else None)
        if self._compresses and (self._compressing is None or self._compressing.done()):
            self._compressing = asyncio.create_task(self._compress(path), name="compress audit logs")

    async def _compress(self, path: Path) -> None:
        """All that are not; in a thread, since a file takes seconds."""
        try:
            while plain := [backup for backup in backups_of(path) if backup.suffix != ".gz"]:
                for backup in plain:
                    await asyncio.to_thread(compress, backup)
        except OSError as error:
            log.error("Cannot compress an audit log", err=str(error))


def backups_of(path: Path) -> list[Path]:
    """The newest first."""
    pattern = f"{path.stem}-????-??-??T*{path.suffix}"
    return sorted((*path.parent.glob(pattern), *path.parent.glob(f"{pattern}.gz")), reverse=True)


def compress(backup: Path) -> None:
    """Put `NAME.gz` in the file's place, at once. Raises OSError."""
    import gzip
    import shutil

    unfinished = backup.with_name(f".{backup.name}.gz")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with (
            os.fdopen(descriptor, "wb") as target, gzip.GzipFile(fileobj=target, mode="wb", mtime=0) as packed,
            backup.open("rb") as source,
        ):  # fmt: skip
            shutil.copyfileobj(source, packed)
        unfinished.rename(backup.with_name(f"{backup.name}.gz"))
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    backup.unlink(missing_ok=True)


def _prune(backups: Sequence[Path], max_backups: int, oldest: datetime | None) -> None:
    """`max_backups`: 0 is no bound."""
    for position, backup in enumerate(backups):
        too_many = max_backups and position >= max_backups
        try:
            if too_many or (oldest is not None and backup.stat().st_mtime < oldest.timestamp()):
                backup.unlink()
        except FileNotFoundError:  # compressed meanwhile
            continue
