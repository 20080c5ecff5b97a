"""What the embedded engine adds to the contract: its disk, its bounds, its end."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import zlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pybernetes.store.embedded import Batch, EmbeddedStore, HistoryLimits, InUse, MemoryLog, SqliteLog, State
from pybernetes.store.embedded.draft import Draft, WrittenTwice
from pybernetes.store.embedded.restoring import restore
from pybernetes.store.embedded.tables import APPLICATION_ID, connect
from pybernetes.store.interface import Compacted, Entry, KeyExists, LeaseNotFound, Revision, Store, StoreError, Unavailable

PODS = "/registry/pods/"
A, B = "/registry/pods/default/a", "/registry/pods/default/b"
Open = Callable[[], Awaitable[Store]]


# The disk


async def test_an_opened_store_is_as_it_was_closed(reopen: Open) -> None:
    store = await reopen()
    created = await store.create(A, b"1")
    await store.update(A, b"2", mod_revision=created)
    await store.create(B, b"gone")
    entries = (await store.range("")).entries
    entry = await store.get(B)
    assert entry
    # The last write is a deletion, which leaves no entry to tell the revision.
    last = await store.delete(B, mod_revision=entry.mod_revision)
    store = await reopen()
    assert list((await store.range("")).entries) == [entry for entry in entries if entry.key == A]
    assert await store.revision() == last
    assert await store.create(B, b"") == last + 1


async def test_a_key_written_several_times_in_one_commit_is_kept_as_it_was_last(reopen: Open) -> None:
    store = await reopen()
    one = await store.revision() + 1
    calls = [
        store.create(A, b"1"),
        store.update(A, b"2", mod_revision=Revision(one)),
        store.delete(A, mod_revision=Revision(one + 1)),
        store.create(A, b"3"),
        store.create(B, b"4"),
        store.delete(B, mod_revision=Revision(one + 4)),
    ]
    assert await asyncio.gather(*calls) == [one + n for n in range(6)]
    store = await reopen()
    assert (await store.range("")).entries == [Entry(A, b"3", Revision(one + 3), Revision(one + 3), 1)]
    assert await store.revision() == one + 5


async def test_leases_outlive_a_restart_with_their_keys(reopen: Open) -> None:
    store = await reopen()
    lease, revoked = await store.grant(60), await store.grant(60)
    await store.create(A, b"", lease=lease)
    await store.revoke(revoked)
    store = await reopen()
    assert await store.keep_alive(lease) == 60
    with pytest.raises(LeaseNotFound):
        await store.keep_alive(revoked)
    await store.revoke(lease)
    assert await store.get(A) is None


async def test_history_begins_anew_when_a_store_is_opened(reopen: Open) -> None:
    store = await reopen()
    first = await store.create(A, b"")
    second = await store.create(B, b"")
    store = await reopen()
    with pytest.raises(Compacted):
        await anext(store.watch(PODS, from_revision=first))
    with pytest.raises(Compacted):
        await store.range(PODS, revision=first)
    third = await store.create(A + "a", b"")
    assert (await anext(store.watch(PODS, from_revision=Revision(second + 1)))).revision == third
    assert len((await store.range(PODS, revision=second)).entries) == 2


async def test_nobody_else_may_read_the_files(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "store"
    umask = os.umask(0)
    try:
        store = await EmbeddedStore.open(SqliteLog(directory))
        await store.create(A, b"secret")
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
        assert modes == {"state.db": 0o600, "state.db-wal": 0o600, "lock": 0o600}
        await store.close()
    finally:
        os.umask(umask)


def test_a_store_in_use_says_by_whom(tmp_path: Path) -> None:
    async def open_and_close() -> None:
        store = await EmbeddedStore.open(SqliteLog(tmp_path / "store"))
        await store.close()

    holding = (
        "import asyncio, sys; from pathlib import Path; from pybernetes.store.embedded import *\n"
        "async def main():\n"
        "    await EmbeddedStore.open(SqliteLog(Path(sys.argv[1]))); print('open', flush=True); await asyncio.sleep(60)\n"
        "asyncio.run(main())"
    )
    with subprocess.Popen([sys.executable, "-c", holding, tmp_path / "store"], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout and holder.stdout.readline() == b"open\n"
            with pytest.raises(InUse, match=f"in use by process {holder.pid}: stop that one first"):
                asyncio.run(open_and_close())
        finally:
            holder.kill()
    asyncio.run(open_and_close())  # the kernel let go of the lock with the process


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda path: path.write_bytes(b"not a database, but long enough to be looked at" * 100), "not a database"),
        (lambda path: _execute(path, "CREATE TABLE song (title TEXT)"), "another program"),
        (lambda path: _execute(path, f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 99"), "format 99"),
        (lambda path: path.mkdir(), "cannot open the store"),
    ],
    ids=["garbage", "another program's", "a newer format", "a directory"],
)
async def test_what_is_no_store_is_refused_in_a_sentence(
    tmp_path: Path, spoil: Callable[[Path], object], sentence: str
) -> None:
    spoil(tmp_path / "state.db")
    for _ in range(2):  # and the lock is let go of
        with pytest.raises(Unavailable, match=sentence):
            await EmbeddedStore.open(SqliteLog(tmp_path))


async def test_a_store_whose_creation_was_cut_short_is_created(tmp_path: Path) -> None:
    (tmp_path / "state.db").touch()
    store = await EmbeddedStore.open(SqliteLog(tmp_path))
    assert await store.create(A, b"") == 1
    await store.close()


def _execute(path: Path, script: str) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()


@pytest.mark.parametrize("damage", ["", "UPDATE entry SET value = x'00' WHERE row = 1", "DELETE FROM entry WHERE row = 2"])
@pytest.mark.parametrize("taken_over", [False, True])
async def test_a_store_of_format_3_is_checked_by_its_own_sum_and_taken_over(
    tmp_path: Path, damage: str, taken_over: bool
) -> None:
    # As the third version wrote it: the sum was over CRCs.
    entries = [Entry(key, b"1" * 5000, Revision(row), Revision(row), 1) for row, key in ((1, A), (2, B))]
    total = sum(
        zlib.crc32(entry.value, zlib.crc32(f"{entry.key}\0{entry.create_revision} {entry.mod_revision} 1 0".encode()))
        for entry in entries
    )
    connection = connect(tmp_path / "state.db")
    rows = [(row, entry.key, entry.value, row, -1 if row == 1 else total) for row, entry in enumerate(entries, start=1)]
    connection.executemany("INSERT INTO entry VALUES (?, ?, ?, ?, 1, 0, NULL, ?)", rows)
    connection.execute("UPDATE deleted SET revision = 1")
    connection.execute("PRAGMA user_version = 3")
    connection.close()
    if taken_over:
        store = await EmbeddedStore.open(SqliteLog(tmp_path))
        assert (await store.range("")).entries == entries
        await store.close()
    if damage:
        _execute(tmp_path / "state.db", damage)
        with pytest.raises(Unavailable, match="does not match its checksum"):
            await EmbeddedStore.open(SqliteLog(tmp_path))
        return
    for number in range(2):
        store = await EmbeddedStore.open(SqliteLog(tmp_path))
        assert await store.create(f"{A}{number}", b"") == 3 + number
        await store.close()


async def test_updates_do_not_make_the_file_grow_for_ever(tmp_path: Path) -> None:
    store = await EmbeddedStore.open(SqliteLog(tmp_path))
    await asyncio.gather(*(store.create(f"{PODS}{number}", bytes(1000)) for number in range(100)))
    for _ in range(100):
        entries = (await store.range(PODS)).entries
        await asyncio.gather(*(store.update(entry.key, bytes(1000), mod_revision=entry.mod_revision) for entry in entries))
    await store.close()
    assert (tmp_path / "state.db").stat().st_size < 1 << 20


# A disk that fails


class BreakableLog(MemoryLog):
    """Fails each commit once it is broken."""

    def __init__(self) -> None:
        self.broken = False
        self.kept: State | None = None

    async def recover(self) -> State:
        if self.kept is None:
            raise OSError("the disk is on fire")
        return self.kept

    def commit(self, batch: Batch, done: Callable[[Exception | None], None]) -> None:
        done(OSError("the disk is on fire") if self.broken else None)


async def test_after_a_failed_commit_nothing_is_shown_and_no_write_is_taken_while_reads_and_watches_go_on() -> None:
    log = BreakableLog()
    store = await EmbeddedStore.open(log)
    created = await store.create(A, b"1")
    waiting = asyncio.ensure_future(anext(store.watch(PODS, from_revision=Revision(created + 1))))
    await asyncio.sleep(0)
    log.broken = True
    results = await asyncio.gather(
        store.update(A, b"2", mod_revision=created), store.create(B, b""), store.create(B, b""), return_exceptions=True
    )
    assert [type(result) for result in results] == [Unavailable] * 3
    log.broken = False
    for call in (store.create(B, b""), store.delete(A, mod_revision=created), store.grant(5), store.writable()):
        with pytest.raises(Unavailable, match="on fire"):
            await call
    assert await store.revision() == created
    assert [entry.value for entry in (await store.range("")).entries] == [b"1"]
    assert not waiting.done()
    await store.close()
    with pytest.raises(Unavailable, match="on fire"):
        await waiting


@pytest.mark.parametrize("survived", [False, True], ids=["the batch is lost", "the batch is on disk after all"])
async def test_a_store_goes_on_with_what_its_log_holds_once_that_can_be_written_again(survived: bool) -> None:
    log = BreakableLog()
    store = await EmbeddedStore.open(log)
    lease = await store.grant(60)
    created = await store.create(A, b"1", lease=lease)
    entry = await store.get(A)
    assert entry
    watch = store.watch(PODS, from_revision=Revision(created + 1))
    waiting = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    log.broken = True
    with pytest.raises(Unavailable):
        await store.update(A, b"2", mod_revision=created, lease=lease)
    now = Revision(created + survived)
    found = Entry(A, b"2", created, now, 2, lease) if survived else entry
    log.kept, log.broken = State(now, [found], {lease: 60}), False
    async with asyncio.timeout(5):
        while True:
            try:
                written = await store.create(B, b"")
                break
            except Unavailable:
                await asyncio.sleep(0.02)
    assert written == now + 1
    assert await store.get(A) == found
    if survived:
        with pytest.raises(Compacted):
            await waiting
    else:
        assert (await waiting).revision == written
    await store.revoke(lease)
    assert await store.get(A) is None
    await store.close()


class SlowLog(MemoryLog):
    """Commits when told to."""

    def __init__(self) -> None:
        self.under_way: list[tuple[Batch, Callable[[Exception | None], None]]] = []

    def commit(self, batch: Batch, done: Callable[[Exception | None], None]) -> None:
        self.under_way.append((batch, done))


async def test_nobody_is_told_of_a_write_that_is_not_on_disk_yet() -> None:
    log = SlowLog()
    store = await EmbeddedStore.open(log)
    writer = asyncio.create_task(store.create(A, b"1"))
    await asyncio.sleep(0.01)
    refused = asyncio.create_task(store.create(A, b"2"))
    watch = asyncio.ensure_future(anext(store.watch(PODS, from_revision=Revision(1))))
    await asyncio.sleep(0.01)
    assert await store.get(A) is None
    assert await store.revision() == 0
    assert not writer.done() and not refused.done() and not watch.done()
    log.under_way.pop()[1](None)
    assert await writer == 1
    assert (await watch).revision == 1
    with pytest.raises(KeyExists):
        await refused
    await store.close()


async def test_writes_that_arrive_during_a_commit_share_the_next_one() -> None:
    log = SlowLog()
    store = await EmbeddedStore.open(log)
    writers = [asyncio.create_task(store.create(f"{PODS}{number}", b"")) for number in range(1)]
    await asyncio.sleep(0.01)
    writers += [asyncio.create_task(store.create(f"{PODS}{number}", b"")) for number in range(1, 10)]
    await asyncio.sleep(0.01)
    sizes = []
    while not all(writer.done() for writer in writers):
        batch, done = log.under_way.pop()
        sizes.append(len(batch.changes))
        done(None)
        await asyncio.sleep(0.01)
    assert sizes == [1, 9]
    await store.close()


# The bounds of history


class ManualClock:
    """A clock that stands still unless it is moved."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.now_s, UTC)

    def monotonic(self) -> float:
        return self.now_s

    async def sleep(self, delay_s: float) -> None:
        raise AssertionError("not used")


async def test_a_reader_slower_than_the_window_is_cut_off_and_others_are_not() -> None:
    store = await EmbeddedStore.open(MemoryLog(), limits=HistoryLimits(changes=10))
    start = Revision(await store.revision() + 1)
    slow, elsewhere = store.watch(PODS, from_revision=start), store.watch("/registry/nodes/", from_revision=start)
    await store.create("/registry/nodes/n", b"")
    for number in range(5):
        await store.create(f"{PODS}{number}", b"")
    assert (await anext(slow)).key == PODS + "0"
    for number in range(5, 30):
        await store.create(f"{PODS}{number}", b"")
    # What it had read before is still given, then it is told.
    assert [(await anext(slow)).key for _ in range(4)] == [f"{PODS}{number}" for number in range(1, 5)]
    with pytest.raises(Compacted) as refusal:
        await anext(slow)
    assert refusal.value.oldest == 21
    # The window is the resource's own.
    assert (await anext(elsewhere)).key == "/registry/nodes/n"
    await store.close()


async def test_superseded_values_are_kept_up_to_a_number_of_bytes() -> None:
    store = await EmbeddedStore.open(MemoryLog(), limits=HistoryLimits(bytes=100_000))
    revision = first = await store.create(A, bytes(10_000))
    for _ in range(5):
        revision = await store.update(A, bytes(10_000), mod_revision=revision)
    assert (await anext(store.watch(PODS, from_revision=first))).revision == first
    for _ in range(20):
        revision = await store.update(A, bytes(10_000), mod_revision=revision)
    with pytest.raises(Compacted):
        await anext(store.watch(PODS, from_revision=first))
    assert len((await store.range(PODS, revision=Revision(revision - 8))).entries) == 1
    await store.close()


async def test_history_is_forgotten_with_age() -> None:
    clock = ManualClock()
    store = await EmbeddedStore.open(MemoryLog(), clock=clock, limits=HistoryLimits(age_s=300))
    first = await store.create(A, b"1")
    clock.now_s = 200
    second = await store.update(A, b"2", mod_revision=first)
    clock.now_s = 310
    await store.create("/registry/nodes/n", b"")
    with pytest.raises(Compacted):
        await store.range(PODS, revision=Revision(first - 1))
    assert [entry.value for entry in (await store.range(PODS, revision=first)).entries] == [b"1"]
    assert (await anext(store.watch(PODS, from_revision=second))).revision == second
    await store.close()


async def test_a_lease_has_its_whole_time_again_after_a_restart() -> None:
    class Remembering(MemoryLog):
        async def open(self) -> State:
            entry = Entry(A, b"", Revision(1), Revision(1), version=1, lease=5)
            return State(Revision(1), [entry], {5: 10})

    clock = ManualClock()
    clock.now_s = 1000
    store = await EmbeddedStore.open(Remembering(), clock=clock)
    clock.now_s = 1009.9
    store._expire()  # as the timer would
    await asyncio.sleep(0.01)
    assert await store.get(A) is not None
    clock.now_s = 1010
    store._expire()
    await asyncio.sleep(0.01)
    assert await store.get(A) is None
    assert await store.revision() == 2
    await store.close()


# Snapshots


async def test_a_store_restored_from_a_snapshot_is_as_it_was_then_with_revisions_beyond(tmp_path: Path) -> None:
    store = await EmbeddedStore.open(SqliteLog(tmp_path / "store"))
    lease = await store.grant(60)
    created = await store.create(A, b"1", lease=lease)
    assert await store.snapshot(tmp_path / "snapshot") == created
    later = await store.create(B, b"2")
    await store.close()
    assert stat.S_IMODE((tmp_path / "snapshot").stat().st_mode) == 0o600

    restore(tmp_path / "snapshot", tmp_path / "restored")
    store = await EmbeddedStore.open(SqliteLog(tmp_path / "restored"))
    assert (await store.range("")).entries == [Entry(A, b"1", created, created, 1, lease)]
    assert await store.revision() > later
    with pytest.raises(Compacted):  # a watcher from before is told to list again
        await anext(store.watch(PODS, from_revision=Revision(later + 1)))
    await store.revoke(lease)
    await store.close()


async def test_neither_a_snapshot_nor_a_store_is_ever_overwritten(tmp_path: Path) -> None:
    store = await EmbeddedStore.open(SqliteLog(tmp_path / "store"))
    await store.snapshot(tmp_path / "snapshot")
    with pytest.raises(FileExistsError):
        await store.snapshot(tmp_path / "snapshot")
    await store.close()
    with pytest.raises(StoreError, match="holds a store already"):
        restore(tmp_path / "snapshot", tmp_path / "store")


# Transactions


async def test_what_one_transaction_writes_has_one_revision_and_is_kept(tmp_path: Path) -> None:
    store = await EmbeddedStore.open(SqliteLog(tmp_path))
    created = await store.create(A, b"1")
    seen: list[tuple[Entry | None, int]] = []

    def compose(draft: Draft) -> str:
        draft.put(A, b"2")
        draft.put(B, b"3")
        draft.put(B + "b", b"4")
        seen.append((draft.get(B), len(draft.between(PODS, None).entries)))
        return "done"

    under_way = asyncio.create_task(store.create("/registry/nodes/n", b""))
    await asyncio.sleep(0)
    revision, result = await store.transact(compose)
    assert (result, revision, await under_way) == ("done", created + 2, created + 1)
    assert seen == [(Entry(B, b"3", revision, revision, 1), 3)]
    expected = [Entry(A, b"2", created, revision, 2), Entry(B, b"3", revision, revision, 1)]
    expected.append(Entry(B + "b", b"4", revision, revision, 1))
    changes = await store.memory.watch(PODS, from_revision=revision).batch()
    assert [change.entry for change in changes] == expected

    again = await store.update(B + "b", b"5", mod_revision=revision)
    deleted = (await store.transact(lambda draft: draft.delete(A)))[0]
    await store.close()
    store = await EmbeddedStore.open(SqliteLog(tmp_path))
    assert await store.revision() == deleted
    assert (await store.range(PODS)).entries == [expected[1], Entry(B + "b", b"5", revision, again, 2)]
    await store.transact(lambda draft: [draft.delete(entry.key) for entry in draft.between(PODS, None).entries])
    await store.close()
    store = await EmbeddedStore.open(SqliteLog(tmp_path))
    assert (await store.range(PODS)).entries == []
    await store.close()


async def test_a_transaction_that_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    store = await EmbeddedStore.open(SqliteLog(tmp_path))
    created = await store.create(A, b"1")

    def twice(draft: Draft) -> None:
        draft.put(A, b"2")
        draft.delete(A)

    def without_lease(draft: Draft) -> None:
        draft.put(B, b"2")
        draft.put(A, b"2", lease=77)

    for compose, error in ((twice, WrittenTwice), (without_lease, LeaseNotFound)):
        with pytest.raises(error):
            await store.transact(compose)
    assert await store.revision() == created
    assert [entry.value for entry in (await store.range("")).entries] == [b"1"]
    assert await store.transact(lambda draft: draft.get(A)) == (created, await store.get(A))
    await store.close()


async def test_a_snapshot_keeps_what_one_transaction_wrote(tmp_path: Path) -> None:
    store = await EmbeddedStore.open(SqliteLog(tmp_path / "store"))
    await store.transact(lambda draft: [draft.put(key, b"") for key in (A, B)])
    entries = (await store.range("")).entries
    await store.snapshot(tmp_path / "snapshot")
    await store.close()
    restore(tmp_path / "snapshot", tmp_path / "restored")
    store = await EmbeddedStore.open(SqliteLog(tmp_path / "restored"))
    assert (await store.range("")).entries == entries
    await store.close()


async def test_a_store_of_format_1_is_taken_over(tmp_path: Path) -> None:
    # As the first version wrote it: the create revision was the row's number.
    _execute(
        tmp_path / "state.db",
        f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1;"
        "CREATE TABLE entry (create_revision INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB NOT NULL,"
        " mod_revision INTEGER NOT NULL, version INTEGER NOT NULL, lease INTEGER NOT NULL);"
        "CREATE TABLE lease (id INTEGER PRIMARY KEY, ttl_s INTEGER NOT NULL);"
        "CREATE TABLE deleted (revision INTEGER NOT NULL); INSERT INTO deleted VALUES (0);"
        f"INSERT INTO entry VALUES (3, '{A}', x'31', 7, 2, 0);",
    )
    for _ in range(2):
        store = await EmbeddedStore.open(SqliteLog(tmp_path))
        assert (await store.range("")).entries == [Entry(A, b"1", Revision(3), Revision(7), 2)]
        await store.close()
