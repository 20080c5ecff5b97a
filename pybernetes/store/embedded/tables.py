"""The tables of the log's database: what is in them, how a batch goes in, and how all of it comes out.

A row is an entry, and only the current state is kept, so the file grows with the state and not with the number of writes
(SQLite reuses the pages of deleted rows). The row's number is the entry's create revision: rising, so a creation appends and an
update finds its row without an index on the keys, which only memory needs in order. Of entries created by one transaction, at
one revision, all but the first have numbers below zero, and say their create revision.

SQLite checks what it reads from its WAL, but of the database only that its pages hold together: a bit that a disk has turned
would be read as it is. So what made the newest revision (an entry, or a deletion) carries the sum over all entries, each by its
hash. Whatever was altered, lost or added makes another sum, or another newest revision, which then carries none; and the store
is refused. That alone would not miss the newest entry itself: a store without it is what there was before. So the sum is also
written to a place of its own, now and then (each time would be a page more in every commit).

The hash is XXH3. It was CRC-32 until format 3: as zlib computes it, it took half as long as all the reading.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import zlib
from collections.abc import Callable, Sequence
from itertools import chain, starmap
from pathlib import Path

from xxhash import xxh3_64_intdigest

from pybernetes.store.embedded.log import Batch, State
from pybernetes.store.files import sync
from pybernetes.store.interface import Entry, Revision, Unavailable

APPLICATION_ID = 0x50594250  # "PYBP", so that `file` and we can tell a store from another database
FORMAT = 4
WAL_BYTES_MAX = 16 << 20  # what is kept of the WAL after it was larger
MAP_BYTES = 1 << 40
TOTAL_MASK = (1 << 63) - 1
NO_TOTAL = -1
MARK_EVERY = 64  # revisions
ROWS_MOST = 64  # in one statement; each number of rows is a statement of its own, and so many are kept prepared
_NUMBERS = struct.Struct("<4q").pack

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
    create_revision INTEGER,  -- NULL if it is the row's number
    total INTEGER  -- of all entries, if this one was the newest when it was written, else -1; NULL: written by format 2
);
CREATE TABLE lease (id INTEGER PRIMARY KEY, ttl_s INTEGER NOT NULL);
-- Of the last deletion, which leaves no row to tell it, or of a later write.
CREATE TABLE deleted (revision INTEGER NOT NULL, total INTEGER);
INSERT INTO deleted VALUES (0, 0);
"""
# What was format 1 had the create revision for the row's number, always.
FROM_FORMAT_1 = """
BEGIN;
ALTER TABLE entry RENAME COLUMN create_revision TO row;
ALTER TABLE entry ADD COLUMN create_revision INTEGER;
PRAGMA user_version = 2;
COMMIT;
"""
FROM_FORMAT_2 = """
BEGIN;
ALTER TABLE entry ADD COLUMN total INTEGER;
ALTER TABLE deleted ADD COLUMN total INTEGER;
PRAGMA user_version = 3;
COMMIT;
"""
# It had another sum: what it holds is checked by that one first.
FROM_FORMAT_3 = """
BEGIN;
UPDATE deleted SET revision = {revision}, total = {total};
PRAGMA user_version = 4;
COMMIT;
"""


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
        if version in (1, 2):
            connection.executescript(FROM_FORMAT_2)
        elif version not in (3, FORMAT):  # the rest of the way to this format is `load`'s
            raise Unavailable(f"{path} has format {version}, and this Pybernetes reads {FORMAT}: use the version that wrote it")
    except BaseException:
        connection.close()
        raise
    return connection


Statement = tuple[str, Sequence[object]]


def put(rows: int) -> str:
    """Write that many entries, as `Contents.filled` gives them."""
    # In one call, for which the interpreter's lock is given up and taken back once, and not for each of them.
    return (
        "INSERT OR REPLACE INTO entry (row, key, value, mod_revision, version, lease, create_revision, total) VALUES "
        + ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?)"] * rows)
    )


class Contents:
    """What memory has to know of the tables: which row each entry has, and the sum over all."""

    def __init__(self) -> None:
        self.total = 0
        self.marked = 0  # the revision at which the sum was last written to its own place
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

    def replace(self, previous: Entry | None, entry: Entry | None) -> None:
        """Count a change into the sum."""
        gone, come = checksum(previous) if previous else 0, checksum(entry) if entry else 0
        self.total = (self.total - gone + come) & TOTAL_MASK

    def filled(self, entry: Entry, total: int = NO_TOTAL) -> tuple[int, str, bytes, int, int, int, int | None, int | None]:
        """The entry's row as `put` takes it."""
        row = self._odd.get((entry.create_revision, entry.key))
        rest = (entry.key, entry.value, entry.mod_revision, entry.version, entry.lease)
        if row is None:
            return (entry.create_revision, *rest, None, total)
        return (row, *rest, entry.create_revision, total)


def checksum(entry: Entry) -> int:
    numbers = _NUMBERS(entry.create_revision, entry.mod_revision, entry.version, entry.lease)
    return xxh3_64_intdigest(entry.value, xxh3_64_intdigest(numbers + entry.key.encode()))


def checksum_of_format_3(entry: Entry) -> int:
    numbers = f"{entry.key}\0{entry.create_revision} {entry.mod_revision} {entry.version} {entry.lease}"
    return zlib.crc32(entry.value, zlib.crc32(numbers.encode()))


def load(connection: sqlite3.Connection, contents: Contents) -> State:
    """All of it, and the rest of the way from format 3 to this one. Raises `sqlite3.Error` if it is not what was written."""
    # Rows of a few KB lie across pages; mapped, they are read three times as fast as by a system call a page.
    connection.execute(f"PRAGMA mmap_size = {MAP_BYTES}")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    found = connection.execute("SELECT key, value, coalesce(create_revision, row), mod_revision, version, lease FROM entry")
    entries = list(starmap(Entry, found))
    odd = connection.execute("SELECT row, key, create_revision FROM entry WHERE row < 0").fetchall()
    leases: dict[int, int] = dict(connection.execute("SELECT id, ttl_s FROM lease").fetchall())
    (deleted, total) = connection.execute("SELECT revision, total FROM deleted").fetchone()
    try:
        if any(type(ttl_s) is not int or ttl_s <= 0 for ttl_s in leases.values()):
            raise ValueError("a lease without a time to live")
        revision = max((entry.mod_revision for entry in entries), default=Revision(0))
        totals = {total} if deleted >= revision else set()
        revision = max(revision, deleted)
        totals.update(found for (found,) in connection.execute("SELECT total FROM entry WHERE mod_revision = ?", (revision,)))
        connection.execute("PRAGMA mmap_size = 0")
        contents.total = _sum(checksum, entries)
        if version == FORMAT:
            sound = contents.total in totals
        else:  # None: of format 2, which kept none
            sound = None in totals or _sum(checksum_of_format_3, entries) in totals
    except (AttributeError, TypeError, ValueError, struct.error) as error:  # something of another type than was written
        raise sqlite3.DatabaseError(f"what it holds is not what was written: {error}") from error
    if not sound:
        raise sqlite3.DatabaseError("what it holds does not match its checksum")
    if version != FORMAT:
        connection.executescript(FROM_FORMAT_3.format(revision=revision, total=contents.total))
        deleted = revision
    contents.marked = deleted
    for row, key, create_revision in odd:
        contents.found(row, key, create_revision)
    return State(Revision(revision), entries, leases)


def _sum(of: Callable[[Entry], int], entries: Sequence[Entry]) -> int:
    return sum(map(of, entries)) & TOTAL_MASK


def statements(batch: Batch, contents: Contents) -> list[Statement]:
    """What puts a batch into the tables: in one transaction, unless it is a single statement, as it mostly is."""
    last: dict[tuple[Revision, str], Entry] = {}  # the last state in the batch counts
    gone: list[int] = []
    for change in batch.changes:
        contents.replace(change.previous, change.entry)
        if change.entry is not None:
            if change.previous is None:
                contents.add(change.entry)
            last[change.entry.create_revision, change.key] = change.entry
        else:
            assert change.previous is not None
            last.pop((change.previous.create_revision, change.key), None)
            gone.append(contents.remove(change.previous))

    newest = batch.changes[-1] if batch.changes else None
    rows = [
        contents.filled(entry, contents.total if newest is not None and entry is newest.entry else NO_TOTAL)
        for entry in last.values()
    ]
    made: list[Statement] = []
    for first in range(0, len(rows), ROWS_MOST):
        part = rows[first : first + ROWS_MOST]
        made.append((put(len(part)), tuple(chain.from_iterable(part))))
    made += [("DELETE FROM entry WHERE row = ?", (row,)) for row in gone]
    if newest is not None and (gone or newest.revision >= contents.marked + MARK_EVERY):
        made.append(("UPDATE deleted SET revision = ?, total = ?", (newest.revision, contents.total)))
        contents.marked = newest.revision
    for lease, ttl_s in batch.leases.items():
        if ttl_s is None:
            made.append(("DELETE FROM lease WHERE id = ?", (lease,)))
        else:
            made.append(("INSERT OR REPLACE INTO lease (id, ttl_s) VALUES (?, ?)", (lease, ttl_s)))
    return made
