"""Copies of a store, and stores from copies.

A snapshot is what `etcdctl snapshot save` makes of an etcd: a bbolt file with etcd's buckets, then the SHA-256 of it. So one
format serves all: `etcdctl snapshot status` reads ours, `etcdctl snapshot restore` makes an etcd of it, and a store here can be
made of a snapshot of an etcd. Like an etcd that was just compacted, ours has no history.

    key         revision (8 bytes, "_", 8 bytes of place within it; then "t" for a deletion) -> KeyValue
    lease       id -> Lease
    meta        up to which revision it is compacted
    pybernetes  the format, by which a later Pybernetes may tell an earlier one's
"""

from __future__ import annotations

import hashlib
import mmap
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from pybernetes.store import bolt
from pybernetes.store.embedded.log import State
from pybernetes.store.embedded.sqlite_log import PUT, Rows, connect, sync
from pybernetes.store.etcd import rpc_pb2 as rpc
from pybernetes.store.interface import Entry, Revision, StoreError

FORMAT = 1
# Clients remember revisions that were reached after the snapshot and are not in it. A restored store goes on from beyond
# them, so that no revision is given twice; etcd's guide to restoring has the same figure (`--bump-revision`).
REVISIONS_SKIPPED = 1_000_000_000

_PAGE = 512  # etcd tells a file with its hash from one without by the remainder
_CHUNK = 1 << 20
_KEY_BYTES = 17
# etcd looks for these when it restores.
_EMPTY = (b"alarm", b"auth", b"authRoles", b"authUsers", b"cluster", b"members", b"members_removed")


class NoSnapshot(StoreError):
    """The file is none, or not whole."""


def save(state: State, path: Path) -> None:
    """Write the state to a new file, 0600, whole or not at all. Blocks. Raises `FileExistsError`."""
    if path.exists():
        raise FileExistsError(f"{path} exists")
    part = path.with_name(path.name + ".part")
    _make_private(part)
    compacted = _revision_key(state.revision, 0)
    with part.open("r+b") as file:
        bolt.write(
            file,
            {
                **dict.fromkeys(_EMPTY, ()),
                b"key": _items(state),
                b"lease": [(id_.to_bytes(8), rpc.Lease(ID=id_, TTL=ttl_s).SerializeToString())
                           for id_, ttl_s in sorted(state.leases.items())],
                b"meta": [(b"consistent_index", bytes(8)), (b"finishedCompactRev", compacted),
                          (b"scheduledCompactRev", compacted)],
                b"pybernetes": [(b"format", b"%d" % FORMAT)],
            },
        )  # fmt: skip
        file.seek(0)
        digest = hashlib.sha256()
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
        file.write(digest.digest())
    _publish(part, path)


def _items(state: State) -> Iterator[bolt.Item]:
    last, place = 0, 0
    for entry in sorted(state.entries, key=lambda entry: (entry.mod_revision, entry.key)):
        place = place + 1 if entry.mod_revision == last else 0
        last = entry.mod_revision
        found = rpc.KeyValue(
            key=entry.key.encode(), value=entry.value, create_revision=entry.create_revision,
            mod_revision=entry.mod_revision, version=entry.version, lease=entry.lease,
        )  # fmt: skip
        yield _revision_key(entry.mod_revision, place), found.SerializeToString()


def _revision_key(revision: int, place: int) -> bytes:
    return revision.to_bytes(8) + b"_" + place.to_bytes(8)


def load(path: Path) -> State:
    """What a snapshot holds. Blocks. Raises `NoSnapshot` with a sentence for the user."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size <= hashlib.sha256().digest_size:
                raise NoSnapshot(f"{path} is no snapshot: it is too short")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as data:
                return _load(path, data)
    except OSError as error:
        raise NoSnapshot(f"cannot read {path}: {error.strerror}") from error


def _load(path: Path, data: memoryview) -> State:
    digest = hashlib.sha256()
    end = len(data) - digest.digest_size
    if len(data) % _PAGE != digest.digest_size:
        raise NoSnapshot(f"{path} is no snapshot, or not a whole one: it does not end with a checksum")
    for at in range(0, end, _CHUNK):
        digest.update(data[at : min(at + _CHUNK, end)])
    if digest.digest() != data[end:]:
        raise NoSnapshot(f"{path} is damaged, or no snapshot: it does not match its checksum")
    try:
        buckets = bolt.BoltFile.of(data[:end]).buckets()
        if not {b"key", b"meta", b"lease"} <= buckets.keys():
            raise NoSnapshot(f"{path} is a database, but not of etcd's or of Pybernetes")
        about = dict(buckets.get(b"pybernetes", ()))
        if about.get(b"format", b"1") != b"%d" % FORMAT:
            said = about[b"format"].decode(errors="replace")
            raise NoSnapshot(f"{path} has format {said}, and this Pybernetes reads {FORMAT}: use the version that wrote it")
        return _state(path, buckets)
    except bolt.Damaged as error:
        raise NoSnapshot(f"{path} is damaged, or no snapshot: {error}") from error


def _state(path: Path, buckets: dict[bytes, Iterator[bolt.Item]]) -> State:
    entries: dict[bytes, Entry] = {}
    revision = 0
    for at, value in buckets[b"key"]:
        revision = max(revision, int.from_bytes(at[:8]))
        found = rpc.KeyValue.FromString(value)
        if len(at) > _KEY_BYTES:
            entries.pop(found.key, None)
            continue
        try:
            key = found.key.decode()
        except UnicodeDecodeError:
            raise NoSnapshot(f"{path} holds a key that is no text, which this store cannot keep: {found.key!r}") from None
        entries[found.key] = Entry(
            key, found.value, Revision(found.create_revision), Revision(found.mod_revision), found.version, found.lease
        )
    leases = [rpc.Lease.FromString(value) for _, value in buckets[b"lease"]]
    compacted = dict(buckets[b"meta"]).get(b"finishedCompactRev", b"")
    revision = max(revision, int.from_bytes(compacted[:8]))
    return State(Revision(revision), list(entries.values()), {lease.ID: lease.TTL for lease in leases})


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
    _make_private(part)
    connection = connect(part)
    try:
        _fill(connection, state)
    finally:
        connection.close()
    _publish(part, target)
    return state


def _fill(connection: sqlite3.Connection, state: State) -> None:
    rows = Rows()
    entries = sorted(state.entries, key=lambda entry: entry.create_revision)
    for entry in entries:
        rows.add(entry)
    connection.execute("BEGIN")
    connection.executemany(PUT, (rows.filled(entry) for entry in entries))
    connection.executemany("INSERT INTO lease (id, ttl_s) VALUES (?, ?)", state.leases.items())
    connection.execute("UPDATE deleted SET revision = ?", (state.revision,))
    connection.execute("COMMIT")


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
