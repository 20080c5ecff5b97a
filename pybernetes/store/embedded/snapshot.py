"""Copies of a store: a snapshot is one file, a database as the log's own, and a store can be made from it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pybernetes.store.embedded.log import State
from pybernetes.store.embedded.sqlite_log import PUT, connect, row_of
from pybernetes.store.interface import StoreError

# Clients remember revisions that were reached after the snapshot and are not in it. A restored store goes on from beyond
# them, so that no revision is given twice; etcd's guide to restoring has the same figure (`--bump-revision`).
REVISIONS_SKIPPED = 1_000_000_000


def save(state: State, path: Path) -> None:
    """Write the state to a new file, 0600, whole or not at all. Blocks. Raises `FileExistsError`."""
    if path.exists():
        raise FileExistsError(f"{path} exists")
    part = path.with_name(path.name + ".part")
    _remove(part)
    connection = connect(part)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(PUT, (row_of(entry) for entry in state.entries))
        connection.executemany("INSERT INTO lease (id, ttl_s) VALUES (?, ?)", state.leases.items())
        connection.execute("UPDATE deleted SET revision = ?", (state.revision,))
        connection.execute("COMMIT")
    finally:
        connection.close()  # which folds the WAL into the file, and syncs it
    os.rename(part, path)
    _sync(path.parent)


def restore(path: Path, directory: Path, *, revisions_skipped: int = REVISIONS_SKIPPED) -> None:
    """Make the store of a new `directory` from a snapshot. Blocks. Raises `StoreError` if there is a store already."""
    target = directory / "state.db"
    if target.exists():
        raise StoreError(f"{directory} holds a store already: remove it first, or choose another directory")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = directory / "state.db.part"
    _remove(part)
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    shutil.copyfile(path, part)
    connection = connect(part)
    try:
        connection.execute("UPDATE deleted SET revision = revision + ?", (revisions_skipped,))
    finally:
        connection.close()
    os.rename(part, target)
    _sync(directory)


def _remove(database: Path) -> None:
    """What an attempt that was cut short has left."""
    for path in (database, database.with_name(database.name + "-wal")):
        path.unlink(missing_ok=True)


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
