"""Caches of the API server's objects, kept up to date by list and watch.

What an `Informer` promises (the contract of client-go's SharedInformer, whose text this restates for one event loop):

- Its cache is *eventually* what the server holds of the selected objects: when nothing changes and the server can be reached,
  the two agree after a while. At any moment it holds, for each object, some state that the object has had, never an older one
  after a newer one, while the server's history allows to tell (a server restored from a backup may turn the clock back).
- Handlers are called on the event loop, one call at a time; each handler sees, of one object: an add, then updates, then a
  delete, and so on again. Each update's `old` is what the handler was last told. When a handler is called, the cache already
  holds that state, or a later one.
- Nothing is promised about the order of calls for different objects, except that of the server's revisions while a watch
  lasts. States may be skipped: an object changed twice may be told once; one that was deleted and created anew under its name
  may be told as one update (compare uids). A delete tells the last state *known*, which may not be the last one there was.
- A handler added late is told of everything in the cache as adds, at once.
- `synced` turns true when the first list is in the cache and its handlers have been called, and stays true.
- Objects in the cache are shared: whoever alters one spoils it for everyone. Copy what you change. With
  `detect_mutations=True` (tests), a change is noticed and raised from `run()` as `CacheAltered`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeAlias

import orjson

from pybernetes.client.rest import Client
from pybernetes.client.transport import ConnectionFailed, RequestTimeout
from pybernetes.machinery import errors
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy, jittered
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object, Resource, name_of, namespace_of

log = logger("informer")

Key: TypeAlias = tuple[str, str]  # namespace, name
Objects: TypeAlias = list[Object]
IndexFunction: TypeAlias = Callable[[Object], Iterable[str]]

# As client-go's reflector: a watch lasts 5 to 10 minutes; failures back off to 30 s, jittered.
WATCH_MIN_S = 300
# A server that cannot be reached costs nothing to ask: it is asked again soon, then ever less often. One that answers with an
# error (a start not finished, say) is spared somewhat more.
BACKOFF_FIRST_S = 0.05
BACKOFF_ANSWERED_S = 0.2
BACKOFF_MAX_S = 30.0
BACKOFF_RESET_S = 120.0
# A watch that the server ends at once is a failure, not a renewal.
WATCH_SHORT_S = 1.0


class CacheAltered(AssertionError):
    """Somebody changed an object that the cache shares."""


@dataclass(slots=True)
class _Handler:
    on_add: Callable[[Object], None] | None
    on_update: Callable[[Object, Object], None] | None
    on_delete: Callable[[Object], None] | None


class Informer:
    """The cache of one resource's objects (in one namespace, or all), those that the selectors select."""

    def __init__(
        self,
        client: Client,
        resource: Resource,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        clock: Clock,
        entropy: Entropy,
        transform: Callable[[Object], Object] | None = None,
        detect_mutations: bool = False,
    ) -> None:
        """`transform` sees each object before it is cached, and may drop what nobody here reads."""
        self.resource = resource
        self._client = client
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._clock = clock
        self._entropy = entropy
        self._transform = transform
        self._objects: dict[Key, Object] = {}
        self._indexes: dict[str, _Index] = {}
        self._handlers: list[_Handler] = []
        self._synced = asyncio.Event()
        self._watching_since_s: float | None = None
        self._revision = ""  # of the last list or event; "" before the first, and after it expired
        self._originals: dict[Key, bytes] | None = {} if detect_mutations else None

    @property
    def synced(self) -> bool:
        return self._synced.is_set()

    @property
    def resource_version(self) -> str:
        """The revision that the cache has caught up with; "" before the first list."""
        return self._revision

    @property
    def watching_since_s(self) -> float | None:
        """When (on the monotonic clock) the server accepted the present watch; None without one: the cache may be old."""
        return self._watching_since_s

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, namespace: str, name: str) -> Object | None:
        """`namespace` is "" for cluster-scoped resources."""
        return self._objects.get((namespace, name))

    def list(self, namespace: str = "") -> Objects:
        """All cached objects, or those of one namespace."""
        if not namespace:
            return [*self._objects.values()]
        return [obj for (at, _), obj in self._objects.items() if at == namespace]

    def add_index(self, name: str, fn: IndexFunction) -> None:
        """Index by the keys that `fn` gives; an index may be added at any time, once under a name."""
        if name in self._indexes:
            raise ValueError(f"index {name!r} exists")
        index = self._indexes[name] = _Index(fn)
        for key, obj in self._objects.items():
            index.put(key, None, obj)

    def has_index(self, name: str) -> bool:
        return name in self._indexes

    def by_index(self, name: str, key: str) -> Objects:
        """The objects for which the index's function gave `key`."""
        return [self._objects[at] for at in self._indexes[name].keys.get(key, ())]

    def add_handler(
        self,
        on_add: Callable[[Object], None] | None = None,
        on_update: Callable[[Object, Object], None] | None = None,
        on_delete: Callable[[Object], None] | None = None,
    ) -> None:
        """Call these from now on; see the module's text for what they are told. They must not block, nor raise."""
        handler = _Handler(on_add, on_update, on_delete)
        if on_add is not None:
            for obj in self.list():
                _call(on_add, obj)
        self._handlers.append(handler)

    async def wait_synced(self) -> None:
        await self._synced.wait()

    async def run(self) -> None:
        """List and watch for ever. Raises `CacheAltered` only; everything else is retried."""
        backoff = _Backoff(self._clock, self._entropy)
        listed, started_s = False, 0.0
        while True:
            pause_s = BACKOFF_ANSWERED_S
            try:
                if not listed:
                    await self._list()
                    listed = True
                started_s = self._clock.monotonic()
                await self._watch()
                if self._clock.monotonic() - started_s >= WATCH_SHORT_S:
                    continue
            except (errors.Expired, errors.Gone):
                # Too far behind: start again from what is current. "" asks for the newest state.
                self._revision, listed = "", False
            except RequestTimeout:
                continue  # a watch that fell silent; what was missed comes with the next one
            except (errors.TooManyRequests, ConnectionFailed) as error:
                log.debug("Watch failed", resource=self.resource.group_resource, err=error)
                if isinstance(error, ConnectionFailed):
                    pause_s = 0.0
                lived_s = self._clock.monotonic() - started_s if listed else 0.0
                backoff.worked_for(lived_s)
                if lived_s >= WATCH_SHORT_S and isinstance(error, ConnectionFailed):
                    continue  # it broke in the middle: a renewal. Pauses that grew with each would leave the cache behind.
                if isinstance(error, ConnectionFailed) and not await self._client.transport.reachable():
                    backoff.forget()  # it was away and is back: nothing is gained by sparing it
            except errors.StatusError as error:
                log.warning("List or watch failed", resource=self.resource.group_resource, err=error)
                self._revision, listed = "", False
            await backoff.wait(pause_s)

    async def _list(self) -> None:
        # "0": any state the server has at hand, which spares its store; later, none older than what we have seen.
        answer = await self._client.list(
            self.resource,
            self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            resource_version=self._revision or ("" if self.synced else "0"),
        )
        head = {"kind": self.resource.kind, "apiVersion": self.resource.api_version}
        fresh: dict[Key, Object] = {}
        for item in answer.get("items") or ():
            obj = item if "kind" in item else {**head, **item}
            obj = self._transform(obj) if self._transform else obj
            fresh[namespace_of(obj), name_of(obj)] = obj
        for key in [key for key in self._objects if key not in fresh]:
            self._remove(key, None)
        for key, obj in fresh.items():
            known = self._objects.get(key)
            if known is None or known["metadata"].get("resourceVersion") != obj["metadata"].get("resourceVersion"):
                self._store(key, obj)
        self._revision = answer["metadata"]["resourceVersion"]
        self._synced.set()

    async def _watch(self) -> None:
        events = self._client.watch(
            self.resource,
            self._namespace,
            resource_version=self._revision,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            timeout_s=int(jittered(WATCH_MIN_S, self._entropy)),
            opened=self._opened,
        )
        try:
            async with aclosing(events):
                async for type_, received in events:
                    self._take(type_, received)
        finally:
            self._watching_since_s = None

    def _opened(self) -> None:
        self._watching_since_s = self._clock.monotonic()

    def _take(self, type_: str, received: Object) -> None:
        revision = received["metadata"]["resourceVersion"]
        if type_ != "BOOKMARK":
            obj = self._transform(received) if self._transform else received
            key = namespace_of(obj), name_of(obj)
            if type_ == "DELETED":
                self._remove(key, obj)
            else:
                self._store(key, obj)
        self._revision = revision

    def _store(self, key: Key, obj: Object) -> None:
        self.check(key)
        known = self._objects.get(key)
        self._objects[key] = obj
        if self._originals is not None:
            self._originals[key] = orjson.dumps(obj)
        for index in self._indexes.values():
            index.put(key, known, obj)
        for handler in self._handlers:
            if known is None:
                if handler.on_add is not None:
                    _call(handler.on_add, obj)
            elif handler.on_update is not None:
                _call(handler.on_update, known, obj)

    def _remove(self, key: Key, last: Object | None) -> None:
        self.check(key)
        known = self._objects.pop(key, None)
        if known is None:
            return
        if self._originals is not None:
            self._originals.pop(key, None)
        for index in self._indexes.values():
            index.put(key, known, None)
        for handler in self._handlers:
            if handler.on_delete is not None:
                _call(handler.on_delete, last or known)

    def check(self, key: Key | None = None) -> None:
        """Raise `CacheAltered` if a cached object is not what it was; does nothing unless `detect_mutations`."""
        if self._originals is None:
            return
        for at in self._originals if key is None else (key,):
            if at in self._originals and orjson.dumps(self._objects[at]) != self._originals[at]:
                raise CacheAltered(f"the cached {self.resource.kind} {'/'.join(at)} was altered by a user of the cache")


class _Index:
    """From an index key to the keys of the objects that have it, in the order in which they got it."""

    def __init__(self, fn: IndexFunction) -> None:
        self._fn = fn
        self.keys: dict[str, dict[Key, None]] = {}

    def put(self, key: Key, old: Object | None, new: Object | None) -> None:
        before = set(self._fn(old)) if old is not None else set()
        after = dict.fromkeys(self._fn(new)) if new is not None else {}
        for value in before:
            if value not in after:
                members = self.keys[value]
                del members[key]
                if not members:
                    del self.keys[value]
        for value in after:
            if value not in before:
                self.keys.setdefault(value, {})[key] = None


class _Backoff:
    """Growing, jittered delays; forgotten after a time without failures, or once something worked for longer than the last."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock = clock
        self._entropy = entropy
        self._delay_s = BACKOFF_FIRST_S
        self._last_s = float("-inf")

    def worked_for(self, seconds: float) -> None:
        """Servers that restart a few times in a row must not leave caches behind for a minute each time."""
        if seconds >= self._delay_s:
            self._delay_s = BACKOFF_FIRST_S

    def forget(self) -> None:
        self._delay_s = BACKOFF_FIRST_S

    async def wait(self, least_s: float) -> None:
        now_s = self._clock.monotonic()
        if now_s - self._last_s > BACKOFF_RESET_S:
            self._delay_s = BACKOFF_FIRST_S
        self._delay_s = max(self._delay_s, least_s)
        await self._clock.sleep(jittered(self._delay_s, self._entropy))
        self._delay_s = min(self._delay_s * 2, BACKOFF_MAX_S)
        self._last_s = self._clock.monotonic()


def _call(handler: Callable[..., None], *objects: Object) -> None:
    # One faulty handler must not starve the others of their events; it is a bug and logged as one.
    try:
        handler(*objects)
    except CacheAltered:
        raise
    except Exception:
        log.exception("An event handler failed", handler=getattr(handler, "__qualname__", repr(handler)))


class InformerFactory:
    """One informer for each resource and selection, shared by all who ask for it."""

    def __init__(self, client: Client, *, clock: Clock, entropy: Entropy, detect_mutations: bool = False) -> None:
        self._client = client
        self._clock = clock
        self._entropy = entropy
        self._detect_mutations = detect_mutations
        self._informers: dict[tuple[Resource, str, str, str], Informer] = {}
        self._group: asyncio.TaskGroup | None = None

    def informer(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        transform: Callable[[Object], Object] | None = None,
    ) -> Informer:
        """The shared informer; it runs with the factory. `transform` counts for the first who asks."""
        key = (resource, namespace, label_selector, field_selector)
        informer = self._informers.get(key)
        if informer is None:
            informer = self._informers[key] = Informer(
                self._client,
                resource,
                namespace=namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                clock=self._clock,
                entropy=self._entropy,
                transform=transform,
                detect_mutations=self._detect_mutations,
            )
            if self._group is not None:
                self._group.create_task(informer.run(), name=f"informer {resource.group_resource}")
        return informer

    def __iter__(self) -> Iterator[Informer]:
        return iter(tuple(self._informers.values()))

    async def run(self) -> None:
        """Run every informer, also those asked for later, until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for informer in self:
                group.create_task(informer.run(), name=f"informer {informer.resource.group_resource}")
            # Keeps the group open for informers to come.
            group.create_task(asyncio.Event().wait(), name="informer factory")

    async def wait_synced(self) -> None:
        """Until every informer asked for so far has its first list."""
        for informer in self:
            await informer.wait_synced()
