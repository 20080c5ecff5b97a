"""The file that audit events are written to."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pybernetes.apiserver.audit import log
from pybernetes.apiserver.audit.backends import Losses
from pybernetes.apiserver.audit.log import AuditLog


class Clock:
    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        self.moment += timedelta(seconds=1)
        return self.moment


@pytest.fixture
def opened(tmp_path: Path, losses: Losses, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AuditLog]:
    """A log whose megabytes have 100 bytes."""
    monkeypatch.setattr(log, "MEGABYTE", 100)
    return lambda **options: AuditLog(str(tmp_path / "audit.log"), Clock(), losses, max_size_mb=1, **options)  # type: ignore[arg-type]


def found(directory: Path, pattern: str) -> list[Path]:
    return sorted(directory.glob(pattern))


async def fill(written: AuditLog, count: int = 12) -> None:
    for number in range(count):
        assert await written.process([{"number": number, "text": "x" * 20}])
    await written.close()


async def test_it_is_rotated_kept_in_number_and_readable_by_us_only(opened: Any, tmp_path: Path) -> None:
    await fill(opened(max_backups=2))
    files = found(tmp_path, "*")
    assert len(files) == 3 and files[-1].name == "audit.log"
    assert all(file.stat().st_size <= 100 and file.stat().st_mode & 0o777 == 0o600 for file in files)
    assert b'"number":11' in files[-1].read_bytes()


async def test_old_ones_are_compressed_and_nothing_is_missing(opened: Any, tmp_path: Path) -> None:
    await fill(opened(compresses=True))
    packed, plain = found(tmp_path, "audit-*.log.gz"), found(tmp_path, "audit-*.log")
    assert packed and not plain and not found(tmp_path, ".*")
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in packed)
    text = b"".join(gzip.decompress(file.read_bytes()) for file in packed) + (tmp_path / "audit.log").read_bytes()
    assert [line.split(b",")[0] for line in text.splitlines()] == [b'{"number":%d' % number for number in range(12)]


async def test_what_cannot_be_written_is_lost_and_said_so(opened: Any, losses: Losses) -> None:
    class Full:
        def write(self, _: bytes) -> int:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            pass

    written = opened()
    written._file.close()
    written._file = Full()
    assert not await written.process([{"a": 1}])
    assert losses.counts == {"log": 1}
    await written.close()
