"""Keys of ours and keys of etcd's: text below one prefix here, bytes below another there."""

from __future__ import annotations

from dataclasses import dataclass

from pybernetes.store.etcd import rpc_pb2 as rpc
from pybernetes.store.interface import Entry, Revision


@dataclass(frozen=True, slots=True)
class KeySpace:
    """The store's keys below `served` are etcd's below `prefix`. Keys of others, in etcd, are none of ours."""

    prefix: str = "/registry/"  # in etcd
    served: str = "/registry/"  # in the store

    def to_etcd(self, key: str) -> bytes:
        """Of a key, or of a prefix of keys. Raises ValueError for a key that is not served."""
        if not key.startswith(self.served):
            raise ValueError(f"this store holds keys below {self.served}, not {key}")
        return (self.prefix + key[len(self.served) :]).encode(errors="surrogateescape")

    def from_etcd(self, key: bytes) -> str | None:
        """None if it is not ours."""
        text = key.decode(errors="surrogateescape")
        return self.served + text[len(self.prefix) :] if text.startswith(self.prefix) else None

    def bounds(self, prefix: str, after: str = "") -> tuple[bytes, bytes]:
        """[key, range_end) of a range request for the keys below `prefix` that sort after `after`."""
        # A prefix of all that is served is, for us, all that is served.
        start = self.to_etcd(self.served if self.served.startswith(prefix) else prefix)
        return max(start, self.to_etcd(after) + b"\0") if after else start, end_of(start)

    @property
    def marker(self) -> bytes:
        """A key of etcd's right behind ours: in our watch, in no range of ours. See `follower`."""
        return end_of(self.prefix.encode())

    def entry(self, found: rpc.KeyValue) -> Entry | None:
        """None if it is not ours."""
        key = self.from_etcd(found.key)
        if key is None:
            return None
        return Entry(
            key, found.value, Revision(found.create_revision), Revision(found.mod_revision), found.version, found.lease
        )


def end_of(prefix: bytes) -> bytes:
    """The `range_end` for all keys that start with `prefix`."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else b"\0"
