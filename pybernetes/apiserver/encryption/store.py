"""A store whose values are transformed on their way in and out of another: what lies beneath never sees what is meant.

Values of resources without a provider pass as they are, by reference; all that they cost is a look at how they begin.

A value that cannot be read comes out as an `Unreadable` entry. When it may have become readable (a plugin is back, the
configuration is another), `revive` ends the watches as if history were forgotten (`Compacted`), so that whoever keeps a picture
of the store reads it anew.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakSet

from msgspec.structs import replace

from pybernetes.apiserver.encryption.entries import CannotBeRead, Transformed, Unreadable
from pybernetes.apiserver.encryption.foreign import PROTOBUF, json_of
from pybernetes.apiserver.encryption.transformers import CannotTransform, Identity, Origin, Place, Transformer
from pybernetes.machinery.log import logger
from pybernetes.store.interface import Change, Compacted, Entry, KeyExists, Mismatch, Page, Revision, Store, Watch

log = logger("apiserver")

ROOT = "/registry/"
NO_JSON = b"k8s"  # how all begins that is not stored as it is here: what is encrypted, what is protobuf
_IDENTITY = Identity()


class Providers(Protocol):
    """Which transformer a resource has; another one when the configuration has changed."""

    @property
    def active(self) -> bool:
        """Whether any resource has one."""
        ...

    def of(self, resource: str) -> Transformer | None:
        """None: values are stored as they are."""
        ...


class NoProviders:
    """Nothing is encrypted; what somebody else has encrypted cannot be read."""

    active = False

    def of(self, resource: str) -> Transformer | None:
        return None


class Resources:
    """The resource of a key: `/registry/<path>/…`, where a path has one part (`pods`) or two (`services/specs`)."""

    def __init__(self, paths: Mapping[str, str]) -> None:
        """`paths`: from `/registry/<path>/` to the resource's name with its group, of those that are built in."""
        self._paths = dict(paths)

    def of(self, key: str) -> str:
        first = key.find("/", len(ROOT)) + 1
        found = self._paths.get(key[:first])
        if found is None and first:
            path = key[: key.find("/", first) + 1]
            found = self._paths.get(path)
            if found is None and path:
                group, plural = path[len(ROOT) : -1].split("/")
                found = self._paths[path] = f"{plural}.{group}"  # a custom resource
        return found or ""


class _Current:
    """The transformer of a resource, whatever configuration is in use when it is asked: what entries refer to."""

    def __init__(self, resource: str, providers: Providers) -> None:
        self.resource = resource
        self._providers = providers

    @property
    def configured(self) -> Transformer | None:
        return self._providers.of(self.resource)

    @property
    def origin(self) -> Origin:
        return (self.configured or _IDENTITY).origin

    async def read(self, data: bytes, place: Place) -> tuple[bytes, Origin]:
        return await (self.configured or _IDENTITY).read(data, place)

    async def write(self, data: bytes, place: Place) -> bytes:
        return await (self.configured or _IDENTITY).write(data, place)


class EncryptedStore:
    """See `interface.Store`; writes may raise `CannotBeRead` as well, where no provider can encrypt."""

    def __init__(self, inner: Store, resources: Resources, providers: Providers, *, prefix: str = ROOT) -> None:
        """`prefix`: where keys that here start with `/registry/` are in etcd, since values are bound to their key there."""
        self._inner = inner
        self._resources = resources
        self._providers = providers
        self._prefix = prefix
        self._current: dict[str, _Current] = {}
        self._watches: WeakSet[_Watch] = WeakSet()
        self._met_unreadable = False

    # What no value passes through

    def revision(self) -> Coroutine[Any, Any, Revision]:
        return self._inner.revision()

    def writable(self) -> Coroutine[Any, Any, None]:
        return self._inner.writable()

    def delete(self, key: str, *, mod_revision: Revision) -> Coroutine[Any, Any, Revision]:
        if self._transformer(key) is None:
            return self._inner.delete(key, mod_revision=mod_revision)
        return self._refused(self._inner.delete(key, mod_revision=mod_revision))

    def compact(self, revision: Revision) -> Coroutine[Any, Any, None]:
        return self._inner.compact(revision)

    def grant(self, ttl_s: int, *, lease: int = 0) -> Coroutine[Any, Any, int]:
        return self._inner.grant(ttl_s, lease=lease)

    def keep_alive(self, lease: int) -> Coroutine[Any, Any, int]:
        return self._inner.keep_alive(lease)

    def revoke(self, lease: int) -> Coroutine[Any, Any, None]:
        return self._inner.revoke(lease)

    def snapshot(self, path: Path) -> Coroutine[Any, Any, Revision]:
        """As it is stored: encrypted is encrypted."""
        return self._inner.snapshot(path)

    def close(self) -> Coroutine[Any, Any, None]:
        return self._inner.close()

    # Out

    async def get(self, key: str) -> Entry | None:
        entry = await self._inner.get(key)
        return None if entry is None else await self.opened(entry)

    async def range(self, prefix: str, *, revision: Revision | None = None, limit: int = 0, after: str = "") -> Page:
        page = await self._inner.range(prefix, revision=revision, limit=limit, after=after)
        return Page([await self.opened(entry) for entry in page.entries], page.revision, page.remaining)

    def watch(self, prefix: str, *, from_revision: Revision, on_progress: Callable[[Revision], None] | None = None) -> Watch:
        inner = self._inner.watch(prefix, from_revision=from_revision, on_progress=on_progress)
        watch = _Watch(inner, self.opened, Revision(from_revision - 1))
        self._watches.add(watch)
        return watch

    async def revive(self) -> None:
        """End all watches, if entries that were given out as unreadable may be readable now."""
        if self._met_unreadable:
            self._met_unreadable = False
            for watch in tuple(self._watches):
                await watch.revive()

    async def opened(self, entry: Entry) -> Entry:
        """An entry of the inner store, as it is meant."""
        transformer = self._transformer(entry.key)
        if transformer is None and not entry.value.startswith(NO_JSON):
            return entry
        place = self._place(entry.key)
        try:
            value, origin = await (transformer or _IDENTITY).read(entry.value, place)
            if value.startswith(PROTOBUF) and place.resource:
                value = json_of(value)
        except (CannotTransform, ValueError) as error:
            if not self._met_unreadable:  # one line, not one for each
                self._met_unreadable = True
                log.warning("Cannot read what is stored", key=entry.key, err=str(error))
            return Unreadable.of(entry, str(error))
        if transformer is None:
            return replace(entry, value=value)
        return Transformed(
            entry.key, value, entry.create_revision, entry.mod_revision, entry.version, entry.lease, origin=origin,
            transformer=transformer,
        )  # fmt: skip

    # In

    def create(self, key: str, value: bytes, *, lease: int = 0) -> Coroutine[Any, Any, Revision]:
        if self._transformer(key) is None:
            return self._inner.create(key, value, lease=lease)
        return self._create(key, value, lease)

    def update(self, key: str, value: bytes, *, mod_revision: Revision, lease: int = 0) -> Coroutine[Any, Any, Revision]:
        if self._transformer(key) is None:
            return self._inner.update(key, value, mod_revision=mod_revision, lease=lease)
        return self._update(key, value, mod_revision, lease)

    async def _create(self, key: str, value: bytes, lease: int) -> Revision:
        return await self._refused(self._inner.create(key, await self._sealed(key, value), lease=lease))

    async def _update(self, key: str, value: bytes, mod_revision: Revision, lease: int) -> Revision:
        sealed = await self._sealed(key, value)
        return await self._refused(self._inner.update(key, sealed, mod_revision=mod_revision, lease=lease))

    async def _refused(self, write: Coroutine[Any, Any, Revision]) -> Revision:
        """A write, whose refusal shows what is there."""
        try:
            return await write
        except KeyExists as error:
            raise KeyExists(await self.opened(error.current)) from error
        except Mismatch as error:
            if error.current is None:
                raise
            raise Mismatch(error.current.key, await self.opened(error.current)) from error

    async def _sealed(self, key: str, value: bytes) -> bytes:
        transformer = self._transformer(key)
        assert transformer is not None
        try:
            return await transformer.write(value, self._place(key))
        except CannotTransform as error:
            raise CannotBeRead(key, str(error)) from error

    # Who transforms what

    def _transformer(self, key: str) -> _Current | None:
        if not self._providers.active:
            return None
        resource = self._resources.of(key)
        current = self._current.get(resource)
        if current is None:
            current = self._current[resource] = _Current(resource, self._providers)
        return current if current.configured is not None else None

    def _place(self, key: str) -> Place:
        return Place(self._resources.of(key), f"{self._prefix}{key.removeprefix(ROOT)}".encode())


class _Watch:
    """See `interface.Watch`."""

    def __init__(self, inner: Watch, opened: Callable[[Entry], Coroutine[Any, Any, Entry]], reached: Revision) -> None:
        self._inner = inner
        self._opened = opened
        self._reached = reached
        self._change: Change | None = None  # on its way out; kept where a reader is cancelled in between
        self._revived = False

    def __aiter__(self) -> _Watch:
        return self

    async def __anext__(self) -> Change:
        change = self._change
        if change is None:
            try:
                change = self._change = await anext(self._inner)
            except StopAsyncIteration:
                if self._revived:
                    raise Compacted(self._reached) from None
                raise
        entry, previous = change.entry, change.previous
        new = None if entry is None else await self._opened(entry)
        old = None if previous is None else await self._opened(previous)
        self._change = None
        self._reached = change.revision
        return change if new is entry and old is previous else Change(change.revision, change.key, new, old)

    @property
    def progress(self) -> Revision:
        return Revision(self._change.revision - 1) if self._change is not None else self._inner.progress

    async def aclose(self) -> None:
        self._change = None
        await self._inner.aclose()

    async def revive(self) -> None:
        self._revived = True
        await self.aclose()
