"""The log on disk: SQLite in WAL mode, each batch a transaction that is fsynced before it is acknowledged.

    <directory>/           0700
      lock                 held (flock) by the process that has the store open, whose pid it holds
      state.db, -wal       0600: see `tables`

Once it is open, one thread does all the work and owns the connection; it takes one job after the other.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pybernetes.store.embedded.log import Batch, State
from pybernetes.store.embedded.tables import Contents, Statement, connect, load, statements
from pybernetes.store.interface import StoreError, Unavailable

FILES = ("state.db", "state.db-wal")

T = TypeVar("T")


class InUse(StoreError):
    """Another process has the store open."""


class SqliteLog:
    """See `log.Log`. Makes the directory if it is not there."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._connection: sqlite3.Connection | None = None
        self._contents = Contents()
        self._lock_fd = -1

    async def open(self) -> State:
        self._loop = asyncio.get_running_loop()
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock_fd = _lock(self._directory)
            # A daemon: a process that ends without closing loses nothing that was acknowledged, as if it were killed.
            threading.Thread(target=self._work, name="store-log", daemon=True).start()
            # Here and not on the log's thread: whoever opens a store has nothing else to do, the main thread's memory grows by
            # larger pieces than another's (by a page, with a system call for each value), and replaced values are used again.
            return self._open()
        except (sqlite3.Error, UnicodeError) as error:  # SQLite's own words may quote what is damaged
            raise Unavailable(
                f"cannot open the store in {self._directory}: {error}; if it is damaged, restore a snapshot"
            ) from error
        except OSError as error:
            raise Unavailable(f"cannot open the store in {self._directory}: {error.strerror}") from error

    def commit(self, batch: Batch, done: Callable[[Exception | None], None]) -> None:
        # Made here: on the thread each step would wait for the interpreter's lock, which the loop gives away now and then.
        made = statements(batch, self._contents)
        self._submit(lambda: self._commit(made), lambda _, error: done(error))

    async def recover(self) -> State:
        return await self._call(self._reopen)

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

    # On the thread, but for the first opening.

    def _open(self) -> State:
        self._connection = connect(self._directory / "state.db")
        return load(self._connection, self._contents)

    def _reopen(self) -> State:
        # Whether the batch that failed is there after all, only the files know: what SQLite has in memory may not be on disk.
        self._close()
        self._contents = Contents()
        state = self._open()
        with self._transaction() as connection:
            connection.execute("UPDATE deleted SET revision = revision")  # a page written and fsynced, and nothing else
        return state

    def _commit(self, made: Sequence[Statement]) -> None:
        with self._transaction(alone=len(made) == 1) as connection:
            for statement in made:
                connection.execute(*statement)

    @contextmanager
    def _transaction(self, *, alone: bool = False) -> Iterator[sqlite3.Connection]:
        """`alone`: there is but one statement, which is a transaction by itself."""
        connection = self._connection
        if connection is None:
            raise Unavailable("the log is not open")  # opening it again has failed
        if alone:
            yield connection
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
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
