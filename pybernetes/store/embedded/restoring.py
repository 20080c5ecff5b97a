"""A store made of a snapshot."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from pybernetes.store.embedded.tables import Contents, connect, put
from pybernetes.store.files import make_private, publish
from pybernetes.store.interface import Revision, State, StoreError
from pybernetes.store.snapshot import load

# Clients remember revisions that were reached after the snapshot and are not in it. A restored store goes on from beyond
# them, so that no revision is given twice; etcd's guide to restoring has the same figure (`--bump-revision`).
REVISIONS_SKIPPED = 1_000_000_000


def restore(path: Path, directory: Path, *, revisions_skipped: int = REVISIONS_SKIPPED) -> State:
    """Make the store of a new `directory` from a snapshot; what it then holds. Blocks.

    Raises `StoreError` for a file that is none, or if there is a store already.
    """
    target = directory / "state.db"
    if target.exists():
        raise StoreError(f"{directory} holds a store already: remove it first, or choose another directory")
    state = load(path)
    state = State(Revision(state.revision + revisions_skipped), state.entries, state.leases)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = directory / "state.db.part"
    make_private(part)
    connection = connect(part)
    try:
        _fill(connection, state)
    finally:
        connection.close()
    publish(part, target)
    return state


def _fill(connection: sqlite3.Connection, state: State) -> None:
    contents = Contents()
    entries = sorted(state.entries, key=lambda entry: entry.create_revision)
    for entry in entries:
        contents.add(entry)
        contents.replace(None, entry)
    connection.execute("BEGIN")
    connection.executemany(put(1), (contents.filled(entry) for entry in entries))
    connection.executemany("INSERT INTO lease (id, ttl_s) VALUES (?, ?)", state.leases.items())
    connection.execute("UPDATE deleted SET revision = ?, total = ?", (state.revision, contents.total))
    connection.execute("COMMIT")
