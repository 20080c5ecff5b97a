"""A store that measures what it is asked (`etcd_request_duration_seconds`, whichever engine it is), and what is stored."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pybernetes.apiserver.image import ROOT, Table
from pybernetes.apiserver.metrics.requests import SECONDS
from pybernetes.apiserver.metrics.series import Histogram, counter, gauge, histogram
from pybernetes.apiserver.registry.kinds import Kind
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.meta import Resource
from pybernetes.store.interface import Entry, Page, Revision, Store, Unavailable, Watch

if TYPE_CHECKING:
    from prometheus_client import Metric

_NAMES: Final = ("operation", "group", "resource")


class MeasuredStore:
    """See `Store`. Reads of the revision, which each request makes, are not measured: they are no requests of upstream's."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._monotonic = clock.monotonic
        self.durations: dict[tuple[str, str], Histogram] = {}  # by operation and the prefix of a key
        self.errors: dict[tuple[str, str], int] = {}
        # The rest as it is, without a call between.
        self.revision = store.revision
        self.writable = store.writable
        self.compact = store.compact
        self.grant = store.grant
        self.keep_alive = store.keep_alive
        self.revoke = store.revoke
        self.snapshot = store.snapshot
        self.close = store.close

    async def get(self, key: str) -> Entry | None:
        began = self._monotonic()
        try:
            return await self._store.get(key)
        except Unavailable:
            self._failed("get", key)
            raise
        finally:
            self._observe("get", key, began)

    async def range(self, prefix: str, *, revision: Revision | None = None, limit: int = 0, after: str = "") -> Page:
        began = self._monotonic()
        try:
            return await self._store.range(prefix, revision=revision, limit=limit, after=after)
        except Unavailable:
            self._failed("list", prefix)
            raise
        finally:
            self._observe("list", prefix, began)

    async def create(self, key: str, value: bytes, *, lease: int = 0) -> Revision:
        began = self._monotonic()
        try:
            return await self._store.create(key, value, lease=lease)
        except Unavailable:
            self._failed("create", key)
            raise
        finally:
            self._observe("create", key, began)

    async def update(self, key: str, value: bytes, *, mod_revision: Revision, lease: int = 0) -> Revision:
        began = self._monotonic()
        try:
            return await self._store.update(key, value, mod_revision=mod_revision, lease=lease)
        except Unavailable:
            self._failed("update", key)
            raise
        finally:
            self._observe("update", key, began)

    async def delete(self, key: str, *, mod_revision: Revision) -> Revision:
        began = self._monotonic()
        try:
            return await self._store.delete(key, mod_revision=mod_revision)
        except Unavailable:
            self._failed("delete", key)
            raise
        finally:
            self._observe("delete", key, began)

    def watch(self, prefix: str, *, from_revision: Revision, on_progress: Callable[[Revision], None] | None = None) -> Watch:
        return self._store.watch(prefix, from_revision=from_revision, on_progress=on_progress)

    def _observe(self, operation: str, key: str, began: float) -> None:
        seconds = self._monotonic() - began
        label = (operation, key[: key.find("/", len(ROOT)) + 1])
        found = self.durations.get(label)
        if found is None:
            found = self.durations[label] = Histogram(SECONDS)
        found.buckets[bisect_left(SECONDS, seconds)] += 1
        found.total += seconds

    def _failed(self, operation: str, key: str) -> None:
        label = (operation, key[: key.find("/", len(ROOT)) + 1])
        self.errors[label] = self.errors.get(label, 0) + 1

    def families(self, kinds: Mapping[Resource, Kind]) -> list[Metric]:
        """Call on the loop."""
        names: dict[str, Resource] = {}
        for kind in kinds.values():
            if not kind.converts:
                # Two parts (`services/specs`, `<group>/<plural>`) are counted together: a key says no more at a glance.
                names.setdefault(kind.prefix[: kind.prefix.find("/", len(ROOT)) + 1], kind.resource)

        def labels(operation: str, prefix: str) -> tuple[str, str, str]:
            resource = names.get(prefix)
            return (operation, resource.group, resource.plural) if resource is not None else (operation, "", "")

        durations: dict[tuple[str, str, str], Histogram] = {}
        for (operation, prefix), found in self.durations.items():
            known = durations.setdefault(labels(operation, prefix), Histogram(SECONDS))
            known.buckets = [one + other for one, other in zip(known.buckets, found.buckets, strict=True)]
            known.total += found.total
        errors: dict[tuple[str, ...], float] = {}
        for (operation, prefix), count in self.errors.items():
            errors[labels(operation, prefix)] = errors.get(labels(operation, prefix), 0) + count
        counts = {key: float(sum(found.buckets)) for key, found in durations.items()}
        return [
            histogram("etcd_request_duration_seconds", "Time that the store took.", _NAMES, durations.items()),
            counter("etcd_requests", "Requests to the store.", _NAMES, counts),
            counter("etcd_request_errors", "Those that it could not answer.", _NAMES, errors),
        ]


def stored_families(kinds: Iterable[Kind], files: Path | None) -> list[Metric]:
    """What there is of each resource; `files`: the directory of the embedded store, if it has one."""
    tables: dict[tuple[str, str], Table] = {}
    for kind in kinds:
        if not kind.converts:
            tables[kind.resource.group, kind.resource.plural] = kind.table
    counts = {key: float(len(table)) for key, table in tables.items()}
    old = {(f"{plural}.{group}" if group else plural,): float(len(table)) for (group, plural), table in tables.items()}
    average = {key: float(table.average_size()) for key, table in tables.items() if len(table)}
    found = [
        gauge("apiserver_resource_objects", "Objects stored.", ("group", "resource"), counts),
        gauge("apiserver_storage_objects", "Objects stored, by one name.", ("resource",), old),
        gauge("apiserver_resource_size_estimate_bytes", "Their average size.", ("group", "resource"), average),
    ]
    if files is not None:
        size = sum(path.stat().st_size for path in files.glob("*") if path.is_file())
        found.append(
            gauge("apiserver_storage_size_bytes", "Size of the store's files.", ("storage_cluster_id",), {("etcd-0",): size})
        )
    return found
