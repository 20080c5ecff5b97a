"""The log on disk: SQLite in WAL mode, each batch a transaction that is fsynced before it is acknowledged.

The table holds the current state alone, a row an entry, so the file grows with the state and not with the number of writes
(SQLite reuses the pages of deleted rows). The row's number is the entry's create revision: rising, so a creation appends and
an update finds its row without an index on the keys, which only memory needs in order. Of entries created by one transaction,
at one revision, all but the first have numbers below zero, and say their create revision.

    <directory>/           0700
      lock                 held (flock) by the process that has the store open, whose pid it holds
      state.db, -wal       0600

One thread does all the work and owns the connection; it takes one job after the other.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pybernetes.store.embedded.log import Batch, State
from pybernetes.store.files import sync
from pybernetes.store.interface import Entry, Revision, StoreError, Unavailable

FILES = ("state.db", "state.db-wal")
APPLICATION_ID = 0x50594250  # "PYBP", so that `file` and we can tell a store from another database
FORMAT = 2
WAL_BYTES_MAX = 16 << 20  # what is kept of the WAL after it was larger
MAP_BYTES = 1 << 40

SCHEMA = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {FORMAT};
CREATE TABLE entry (
    row INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    mod_revision INTEGER NOT NULL,
    version INTEGER NOT NULL,
    lease INTEGER NOT NULL,
    create_revision INTEGER  -- NULL if it is the row's number
);
CREATE TABLE lease (id INTEGER PRIMARY KEY, ttl_s INTEGER NOT NULL);
CREATE TABLE deleted (revision INTEGER NOT NULL);  -- of the last deletion, which leaves no row to tell it
INSERT INTO deleted VALUES (0);
"""
PUT = (
    "INSERT OR REPLACE INTO entry (row, key, value, mod_revision, version, lease, create_revision) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
# What was format 1 had the create revision for the row's number, always.
FROM_FORMAT_1 = """
BEGIN;
ALTER TABLE entry RENAME COLUMN create_revision TO row;
ALTER TABLE entry ADD COLUMN create_revision INTEGER;
PRAGMA user_version = 2;
COMMIT;
"""

T = TypeVar("T")


class InUse(StoreError):
    """Another process has the store open."""


class SqliteLog:
    """See `log.Log`. Makes the directory if it is not there."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._connection: sqlite3.Connection | None = None
        self._rows = Rows()
        self._lock_fd = -1

    async def open(self) -> State:
        self._loop = asyncio.get_running_loop()
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock_fd = _lock(self._directory)
            # A daemon: a process that ends without closing loses nothing that was acknowledged, as if it were killed.
            threading.Thread(target=self._work, name="store-log", daemon=True).start()
            return await self._call(self._open)
        except sqlite3.Error as error:
            raise Unavailable(
                f"cannot open the store in {self._directory}: {error}; if it is damaged, restore a snapshot"
            ) from error
        except OSError as error:
            raise Unavailable(f"cannot open the store in {self._directory}: {error.strerror}") from error

    def commit(self, batch: Batch, done: Callable[[Exception | None], None]) -> None:
        self._submit(lambda: self._commit(batch), lambda _, error: done(error))

    async def defragment(self) -> None:
        """Give back to the file system what the file has grown beyond the state. Commits wait meanwhile."""
        await self._call(self._vacuum)

    @property
    def size_bytes(self) -> int:
        """On disk."""
        return sum(path.stat().st_size for path in self._directory.glob("state.db*"))

    async def close(self) -> None:
        """Also what closes a log that could not be opened."""
        if self._lock_fd < 0:
            return
        await self._call(self._close)
        self._jobs.put(None)
        os.close(self._lock_fd)
        self._lock_fd = -1

    # The thread, and the way there and back.

    def _work(self) -> None:
        while job := self._jobs.get():
            job()

    def _submit(self, work: Callable[[], T], done: Callable[[T | None, Exception | None], None]) -> None:
        def job() -> None:
            result, failure = None, None
            try:
                result = work()
            except Exception as error:
                failure = error
            try:
                self._loop.call_soon_threadsafe(done, result, failure)
            except RuntimeError:
                pass  # the loop is closed: there is nobody to tell

        self._jobs.put(job)

    async def _call(self, work: Callable[[], T]) -> T:
        finished: asyncio.Future[T] = self._loop.create_future()

        def done(result: T | None, error: Exception | None) -> None:
            if finished.done():
                return
            if error is not None:
                finished.set_exception(error)
            else:
                finished.set_result(result)  # type: ignore[arg-type]  # it is a T where there is no error

        self._submit(work, done)
        return await finished

    # On the thread.

    def _open(self) -> State:
        self._connection = connect(self._directory / "state.db")
        return load(self._connection, self._rows)

    def _commit(self, batch: Batch) -> None:
        connection = self._connection
        assert connection is not None
        connection.execute("BEGIN IMMEDIATE")
        try:
            write(connection, batch, self._rows)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _vacuum(self) -> None:
        assert self._connection is not None
        self._connection.execute("VACUUM")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def connect(path: Path) -> sqlite3.Connection:
    """Open the database, made if need be. Raises `sqlite3.Error`, or `Unavailable` if it is not one of ours."""
    if not path.exists():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # SQLite gives its WAL the same mode
        sync(path.parent)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        # Nobody else opens it, so SQLite need not coordinate through shared memory.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_MAX}")
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if not application and not tables:
            connection.executescript(f"BEGIN; {SCHEMA} COMMIT;")
            return connection
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION_ID:
            raise Unavailable(f"{path} is a database of another program")
        if version == 1:
            connection.executescript(FROM_FORMAT_1)
        elif version != FORMAT:
            raise Unavailable(f"{path} has format {version}, and this Pybernetes reads {FORMAT}: use the version that wrote it")
    except BaseException:
        connection.close()
        raise
    return connection


class Rows:
    """Which row each entry has: see the module's text."""

    def __init__(self) -> None:
        self._odd: dict[tuple[Revision, str], int] = {}  # (create revision, key) -> a number below zero
        self._lowest = 0
        self._created = 0  # the revision of the last creation

    def found(self, row: int, key: str, create_revision: Revision) -> None:
        self._odd[create_revision, key] = row
        self._lowest = min(self._lowest, row)

    def add(self, entry: Entry) -> None:
        """Give a row to a new entry. Those of one revision come one after the other."""
        if entry.create_revision == self._created:
            self.found(self._lowest - 1, entry.key, entry.create_revision)
        self._created = entry.create_revision

    def remove(self, entry: Entry) -> int:
        return self._odd.pop((entry.create_revision, entry.key), entry.create_revision)

    def filled(self, entry: Entry) -> tuple[int, str, bytes, int, int, int, int | None]:
        """The entry's row as `PUT` takes it."""
        row = self._odd.get((entry.create_revision, entry.key))
        rest = (entry.key, entry.value, entry.mod_revision, entry.version, entry.lease)
        return (entry.create_revision, *rest, None) if row is None else (row, *rest, entry.create_revision)


def load(connection: sqlite3.Connection, rows: Rows) -> State:
    """All of it."""
    # Rows of a few KB lie across pages; mapped, they are read three times as fast as by a system call a page.
    connection.execute(f"PRAGMA mmap_size = {MAP_BYTES}")
    found = connection.execute(
        "SELECT key, value, coalesce(create_revision, row), mod_revision, version, lease FROM entry"
    )  # fmt: skip
    entries = [Entry(*row) for row in found]
    connection.execute("PRAGMA mmap_size = 0")
    for row, key, create_revision in connection.execute(
        "SELECT row, key, create_revision FROM entry WHERE row < 0"
    ):  # fmt: skip
        rows.found(row, key, create_revision)
    leases: dict[int, int] = dict(connection.execute("SELECT id, ttl_s FROM lease").fetchall())
    (deleted,) = connection.execute("SELECT revision FROM deleted").fetchone()
    revision = max((entry.mod_revision for entry in entries), default=0)
    return State(Revision(max(revision, deleted)), entries, leases)


def write(connection: sqlite3.Connection, batch: Batch, rows: Rows) -> None:
    """Put a batch into the tables, in a transaction of the caller's."""
    last: dict[tuple[Revision, str], Entry] = {}  # the last state in the batch counts
    gone: list[tuple[int]] = []
    for change in batch.changes:
        if change.entry is not None:
            if change.previous is None:
                rows.add(change.entry)
            last[change.entry.create_revision, change.key] = change.entry
        else:
            assert change.previous is not None
            last.pop((change.previous.create_revision, change.key), None)
            gone.append((rows.remove(change.previous),))

    connection.executemany(PUT, [rows.filled(entry) for entry in last.values()])
    if gone:
        connection.executemany("DELETE FROM entry WHERE row = ?", gone)
        connection.execute("UPDATE deleted SET revision = ?", (batch.changes[-1].revision,))
    for lease, ttl_s in batch.leases.items():
        if ttl_s is None:
            connection.execute("DELETE FROM lease WHERE id = ?", (lease,))
        else:
            connection.execute("INSERT OR REPLACE INTO lease (id, ttl_s) VALUES (?, ?)", (lease, ttl_s))


@contextmanager
def claim(directory: Path) -> Iterator[None]:
    """Hold the store of a directory, without opening it. Raises `InUse`."""
    fd = _lock(directory)
    try:
        yield
    finally:
        os.close(fd)


def _lock(directory: Path) -> int:
    """Take the store for this process. Raises `InUse`, which says by whom it is held."""
    fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(fd, 32).decode(errors="replace").strip() or "unknown"
        os.close(fd)
        raise InUse(
            f"the store in {directory} is in use by process {holder}: stop that one first, or choose another directory"
        ) from None
    os.truncate(fd, 0)
    os.write(fd, f"{os.getpid()}\n".encode())
    return fd
