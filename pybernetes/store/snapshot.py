"""Snapshots: copies of a store in files.

A snapshot is what `etcdctl snapshot save` makes of an etcd: a bbolt file with etcd's buckets, then the SHA-256 of it. So one
format serves all: `etcdctl snapshot status` reads ours, `etcdctl snapshot restore` makes an etcd of it, and a store here can be
made of a snapshot of an etcd. Like an etcd that was just compacted, ours has no history.

    key         revision (8 bytes, "_", 8 bytes of place within it; then "t" for a deletion) -> KeyValue
    lease       id -> Lease
    meta        up to which revision it is compacted
    pybernetes  the format, by which a later Pybernetes may tell an earlier one's
"""

from __future__ import annotations

import asyncio
import hashlib
import mmap
import os
import tempfile
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from pathlib import Path

from pybernetes.store import bolt
from pybernetes.store.etcd import rpc_pb2 as rpc
from pybernetes.store.files import make_private, publish
from pybernetes.store.interface import Entry, Revision, State, Store, StoreError

FORMAT = 1
PIECE_BYTES = 256 << 10

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
    make_private(part)
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
    publish(part, path)


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
            # Unmapped when nothing refers to it any more; an error's traceback still may.
            return _load(path, memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
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


@dataclass(frozen=True, slots=True)
class Piece:
    """Of a snapshot on its way to somebody."""

    revision: Revision
    left: int  # bytes after this piece
    data: bytes


async def pieces(store: Store, directory: Path | None = None) -> AsyncGenerator[Piece, None]:
    """A snapshot of the store, as a file's content. It passes through a nameless file in `directory` (default: TMPDIR's)."""
    with tempfile.TemporaryDirectory(dir=directory, prefix="snapshot-") as parent:
        path = Path(parent) / "snapshot.db"
        revision = await store.snapshot(path)
        left = path.stat().st_size
        file = path.open("rb")
    with file:
        while data := await asyncio.to_thread(file.read, PIECE_BYTES):
            left -= len(data)
            yield Piece(revision, left, data)
