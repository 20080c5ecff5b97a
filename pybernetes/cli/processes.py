"""Processes named so that a later command cannot mistake another for them: by id and start time."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pybernetes.machinery.clock import Clock


class ProcessRef(NamedTuple):
    """A process id is reused, the pair with its start (clock ticks after boot) is not."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> ProcessRef:
        """Raises ProcessLookupError."""
        return cls(pid, _stat(pid).started)

    def is_alive(self) -> bool:
        """Whether it still runs (a zombie does not)."""
        try:
            stat = _stat(self.pid)
        except ProcessLookupError:
            return False
        return stat.started == self.started and stat.state not in "ZX"

    def send(self, number: signal.Signals) -> None:
        """Signal it, if it is still the same process."""
        if self.is_alive():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def memory_bytes(self) -> int:
        """Proportional set size: its own pages, and its share of those that it shares. 0 if it is gone."""
        try:
            rollup = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        except OSError:
            return 0
        for line in rollup.splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
        return 0


class _Stat(NamedTuple):
    state: str
    started: int


def _stat(pid: int) -> _Stat:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError) as error:
        raise ProcessLookupError(f"no process {pid}") from error
    # The name in parentheses may hold anything; the fields are counted from behind it (proc(5)).
    fields = text.rpartition(")")[2].split()
    return _Stat(fields[0], int(fields[19]))


def stop(processes: list[ProcessRef], grace_s: float, clock: Clock) -> None:
    """SIGTERM to all, then SIGKILL to whoever is left after the grace."""
    for process in processes:
        process.send(signal.SIGTERM)
    deadline = clock.monotonic() + grace_s
    while any(process.is_alive() for process in processes) and clock.monotonic() < deadline:
        time.sleep(0.02)
    for process in processes:
        process.send(signal.SIGKILL)
    while any(process.is_alive() for process in processes) and clock.monotonic() < deadline + 5:
        time.sleep(0.02)
