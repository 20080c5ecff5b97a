"""Files as lost power, a full disk or a bad one leave them: recovered, or refused in a sentence, and never served wrong."""

from __future__ import annotations

import asyncio
import json
import random
import resource
import shutil
import sqlite3
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pybernetes.store.embedded import EmbeddedStore, SqliteLog
from pybernetes.store.embedded.tables import MARK_EVERY
from pybernetes.store.etcd import EtcdStore, Servers
from pybernetes.store.etcd.keys import KeySpace
from pybernetes.store.interface import Entry, KeyExists, StoreError, Unavailable
from tests.component.store.etcd_server import PybEtcd, missing

PODS = "/registry/pods/"
WRITES = 40
SIZE = 3000  # bytes of a value: several pages for some


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Entry]]]:
    """A store as a crash has left it, its changes in the WAL, and what it held after each of its writes, in order.

    The first half of the writes is in the database already.
    """
    directory = tmp_path_factory.mktemp("written")
    states: list[dict[str, Entry]] = [{}]

    async def write() -> None:
        log = SqliteLog(directory / "store")
        store = await EmbeddedStore.open(log)
        for number in range(WRITES):
            key = f"{PODS}{number % 7}"
            value = f"{number}-".encode() + bytes([number]) * (SIZE * (number % 3))
            entry = await store.get(key)
            if entry is None:
                await store.create(key, value)
            elif number % 5:
                await store.update(key, value, mod_revision=entry.mod_revision)
            else:
                await store.delete(key, mod_revision=entry.mod_revision)
            states.append({entry.key: entry for entry in (await store.range("")).entries})
            if number == WRITES // 2:
                await log._call(
                    lambda: log._connection and log._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                )
        shutil.copytree(directory / "store", directory / "crashed")
        await store.close()

    asyncio.run(write())
    return directory / "crashed", states


def checkpoint(log: SqliteLog) -> None:
    assert log._connection is not None
    log._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def opened(directory: Path) -> dict[str, Entry] | str:
    """What a store holds; or the sentence with which it is refused."""

    async def read() -> dict[str, Entry]:
        store = await EmbeddedStore.open(SqliteLog(directory))
        try:
            entries = {entry.key: entry for entry in (await store.range("")).entries}
            revision = await store.revision()
            assert await store.create(f"{PODS}new{revision}", b"") == revision + 1
            return entries
        finally:
            await store.close()

    try:
        return asyncio.run(read())
    except StoreError as error:
        return str(error)


def copies(written: Path, into: Path, spoil: Callable[[Path, random.Random], None], count: int) -> Iterator[Path]:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # shown when the test fails
    chance = random.Random(seed)
    for number in range(count):
        copy = into / str(number)
        shutil.copytree(written, copy)
        spoil(copy, chance)
        yield copy
        shutil.rmtree(copy)


def test_a_wal_that_ends_in_the_middle_of_a_write_is_read_up_to_the_last_whole_one(
    written: tuple[Path, list[dict[str, Entry]]], tmp_path: Path
) -> None:
    directory, states = written

    def tear(copy: Path, chance: random.Random) -> None:
        wal = copy / "state.db-wal"
        with wal.open("r+b") as file:
            file.truncate(chance.randrange(wal.stat().st_size))

    found = [opened(copy) for copy in copies(directory, tmp_path, tear, 40)]
    assert all(state in states for state in found)
    assert any(state != states[-1] for state in found)


def test_a_wal_whose_tail_is_garbage_is_read_up_to_it(written: tuple[Path, list[dict[str, Entry]]], tmp_path: Path) -> None:
    directory, states = written

    def litter(copy: Path, chance: random.Random) -> None:
        wal = copy / "state.db-wal"
        start = chance.randrange(wal.stat().st_size)
        with wal.open("r+b") as file:
            file.seek(start)
            file.write(chance.randbytes(wal.stat().st_size - start))

    assert all(opened(copy) in states for copy in copies(directory, tmp_path, litter, 40))


def test_a_flipped_bit_in_the_wal_ends_it_there(written: tuple[Path, list[dict[str, Entry]]], tmp_path: Path) -> None:
    directory, states = written
    assert all(opened(copy) in states for copy in copies(directory, tmp_path, flip("state.db-wal"), 60))


def test_a_flipped_bit_in_the_database_is_found_and_the_store_refused_unless_it_changes_nothing(
    written: tuple[Path, list[dict[str, Entry]]], tmp_path: Path
) -> None:
    base, whole = closed(written[0], tmp_path)
    refused = 0
    for copy in copies(base, tmp_path, flip("state.db"), 300):
        found = opened(copy)
        if isinstance(found, str):
            refused += 1
            # The last: what nothing but a write needs (which pages are free) is what was hit.
            refusals = ("cannot open the store in", "a database of another program", "has format", "the store takes no writes")
            assert any(refusal in found for refusal in refusals), found
        else:
            assert found == whole  # an unused page, a header that nothing reads
    assert refused > 30


def test_a_cut_database_is_found(written: tuple[Path, list[dict[str, Entry]]], tmp_path: Path) -> None:
    base, whole = closed(written[0], tmp_path)

    def cut(copy: Path, chance: random.Random) -> None:
        with (copy / "state.db").open("r+b") as file:
            file.truncate(chance.randrange(1, file.seek(0, 2)))

    for copy in copies(base, tmp_path, cut, 40):
        found = opened(copy)
        assert isinstance(found, str) or found == whole


def closed(written: Path, tmp_path: Path) -> tuple[Path, dict[str, Entry]]:
    """The store, some writes later, with all of it in the database; and what it holds."""
    base = tmp_path / "base"
    shutil.copytree(written, base)

    async def go_on() -> dict[str, Entry]:
        store = await EmbeddedStore.open(SqliteLog(base))
        for number in range(MARK_EVERY):
            await store.create(f"{PODS}later{number}", bytes(number))
        entries = {entry.key: entry for entry in (await store.range("")).entries}
        await store.close()
        return entries

    found = asyncio.run(go_on())
    assert not (base / "state.db-wal").exists()
    return base, found


def test_a_row_that_was_lost_altered_or_added_is_found(written: tuple[Path, list[dict[str, Entry]]], tmp_path: Path) -> None:
    base, _ = closed(written[0], tmp_path)
    for number, change in enumerate((
        "DELETE FROM entry WHERE mod_revision >= (SELECT revision FROM deleted)",
        "DELETE FROM entry WHERE mod_revision = (SELECT min(mod_revision) FROM entry)",
        "UPDATE entry SET value = x'00' WHERE row = (SELECT min(row) FROM entry)",
        "UPDATE entry SET lease = 'x'",
        "UPDATE entry SET row = row + 1000",
        "INSERT INTO entry VALUES (1000, '/registry/pods/x', x'00', 1000, 1, 0, NULL, -1)",
        "UPDATE deleted SET revision = 1000, total = -1",
        "UPDATE deleted SET revision = 0; UPDATE entry SET total = NULL",
        "INSERT INTO lease VALUES (0, 'x')",
        "INSERT INTO lease VALUES (0, 0)",
    )):  # fmt: skip
        copy = tmp_path / str(number)
        shutil.copytree(base, copy)
        connection = sqlite3.connect(copy / "state.db")
        connection.executescript(change)
        connection.close()
        found = opened(copy)
        assert isinstance(found, str) and "cannot open the store in" in found, change


def flip(name: str) -> Callable[[Path, random.Random], None]:
    def spoil(copy: Path, chance: random.Random) -> None:
        path = copy / name
        data = bytearray(path.read_bytes())
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(data)

    return spoil


# A full disk


@pytest.fixture
def served(tmp_path: Path) -> Iterator[PybEtcd]:
    if why := missing():
        pytest.skip(why)
    with PybEtcd(tmp_path) as server:
        yield server


async def test_on_a_full_disk_writes_are_refused_reads_go_on_and_with_room_again_so_do_writes(served: PybEtcd) -> None:
    store = await EtcdStore.open(Servers((served.url,)), KeySpace(prefix="/registry/"))
    kept = {f"{PODS}{number}": bytes([number]) * 4000 for number in range(20)}
    for key, value in kept.items():
        await store.create(key, value)
    served.limit_files(max(path.stat().st_size for path in (served.directory / "data").iterdir()) + 20_000)
    refused: Unavailable | None = None
    for number in range(100, 150):
        key, value = f"{PODS}{number}", bytes([number]) * 4000
        try:
            await store.create(key, value)
            kept[key] = value
        except Unavailable as error:
            refused = error
            break
    assert refused is not None and "the store takes no writes: disk" in str(refused)
    assert {entry.key: entry.value for entry in (await store.range(PODS)).entries} == kept
    assert "alarm:NOSPACE" in served.ctl("alarm", "list")

    served.limit_files(resource.RLIM_INFINITY)
    async with asyncio.timeout(20):
        while True:
            try:
                await store.create(f"{PODS}last", b"room")
                break
            except Unavailable:
                await asyncio.sleep(0.1)
            except KeyExists:  # by a try whose answer was an error
                break
    assert served.ctl("alarm", "list") == ""
    served.kill()
    served.start()
    found = served.ctl("get", PODS, "--prefix", "-w", "json")
    values = {b64decode(item["key"]).decode(): b64decode(item["value"]) for item in json.loads(found)["kvs"]}
    assert {**kept, f"{PODS}last": b"room"}.items() <= values.items()
    await store.close()
