"""Copies of a store: a snapshot is one file, a database as the log's own, and a store can be made from it."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

from pybernetes.store.embedded.log import State
from pybernetes.store.embedded.sqlite_log import PUT, SCHEMA, Rows, connect, sync
from pybernetes.store.interface import StoreError

# Clients remember revisions that were reached after the snapshot and are not in it. A restored store goes on from beyond
# them, so that no revision is given twice; etcd's guide to restoring has the same figure (`--bump-revision`).
REVISIONS_SKIPPED = 1_000_000_000


def save(state: State, path: Path) -> None:
    """Write the state to a new file, 0600, whole or not at all. Blocks. Raises `FileExistsError`."""
    if path.exists():
        raise FileExistsError(f"{path} exists")
    part = path.with_name(path.name + ".part")
    _make_private(part)
    connection = sqlite3.connect(part, isolation_level=None)
    try:
        # Nobody opens the part before it is whole and synced, so it needs neither a journal nor a sync on the way.
        connection.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {SCHEMA} BEGIN;")
        rows = Rows()
        for entry in (entries := sorted(state.entries, key=lambda entry: entry.create_revision)):
            rows.add(entry)
        connection.executemany(PUT, (rows.filled(entry) for entry in entries))
        connection.executemany("INSERT INTO lease (id, ttl_s) VALUES (?, ?)", state.leases.items())
        connection.execute("UPDATE deleted SET revision = ?", (state.revision,))
        connection.execute("COMMIT")
    finally:
        connection.close()
    _publish(part, path)


def restore(path: Path, directory: Path, *, revisions_skipped: int = REVISIONS_SKIPPED) -> None:
    """Make the store of a new `directory` from a snapshot. Blocks. Raises `StoreError` if there is a store already."""
    target = directory / "state.db"
    if target.exists():
        raise StoreError(f"{directory} holds a store already: remove it first, or choose another directory")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = directory / "state.db.part"
    _make_private(part)
    shutil.copyfile(path, part)
    connection = connect(part)
    try:
        connection.execute("UPDATE deleted SET revision = revision + ?", (revisions_skipped,))
    finally:
        connection.close()
    _publish(part, target)


def _make_private(path: Path) -> None:
    """An empty file, 0600, in place of what an attempt that was cut short has left."""
    path.with_name(path.name + "-wal").unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _publish(part: Path, path: Path) -> None:
    """Give a finished file its name, once it is on disk."""
    sync(part)
    os.rename(part, path)
    sync(path.parent)
