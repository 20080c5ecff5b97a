"""What a controller is: one declaration of what it reconciles, what wakes it, how it looks and how it decides.

observe (caches -> snapshot) and decide (snapshot -> actions) are plain functions; `manager.Manager` runs them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from pybernetes.controllers.actions import Action
from pybernetes.machinery.labels import Selector
from pybernetes.machinery.meta import (
    GroupVersionKind,
    Object,
    Resource,
    controller_of,
    key_of,
    namespace_of,
    parse_api_version,
    uid_of,
)

if TYPE_CHECKING:
    from pybernetes.client.informer import Informer
    from pybernetes.client.rest import Client
    from pybernetes.controllers.options import Options
    from pybernetes.machinery.clock import Clock
    from pybernetes.machinery.entropy import Entropy

S = TypeVar("S")


class Cache(Protocol):
    """What is known of one resource, at some recent moment. What it gives is shared: it is never altered."""

    def get(self, namespace: str, name: str) -> Object | None: ...

    def list(self, namespace: str = "") -> Sequence[Object]: ...

    def by_index(self, name: str, key: str) -> Sequence[Object]: ...

    @property
    def watching_since_s(self) -> float | None:
        """Since when (monotonic) it is told of changes; None while it is not, and what it gives may be old."""
        ...


class Caches(Protocol):
    """The caches of the resources that the controller declared."""

    def __getitem__(self, resource: Resource) -> Cache: ...


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the last pass over this key did not do all that it wanted."""

    action: Action
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Look:
    """What `observe` may look at."""

    caches: Caches
    now: datetime
    failure: Failure | None  # of the last pass over the same key
    client: Client  # for the few who must ask the server itself
    # Uids of objects whose deletion was sent by an earlier pass and not answered: whoever chooses what to delete must choose
    # these first, for a cache that is behind still shows those of them that are gone.
    maybe_deleted: frozenset[str] = frozenset()


def always(old: Object, new: Object) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Wake:
    """A change of an object of `resource` wakes the keys that `keys` gives (for an update: of its old and its new state)."""

    resource: Resource
    keys: Callable[[Caches, Object], Iterable[str]]
    # Whether an update matters; additions and deletions always do.
    when: Callable[[Object, Object], bool] = always


@dataclass(frozen=True, slots=True)
class Index:
    """A way to find objects in a cache: `cache.by_index(name, key)`."""

    resource: Resource
    name: str
    keys: Callable[[Object], Iterable[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller(Generic[S]):
    """One controller. `name` is upstream's, `source` the component of its Events."""

    name: str
    source: str = ""
    wakes_on: tuple[Wake, ...]
    reads: tuple[Resource, ...] = ()  # further caches that `observe` uses
    indexes: tuple[Index, ...] = ()
    # None once there is nothing (left) to do for the key.
    observe: Callable[[Look, str], S | Awaitable[S | None] | None]
    decide: Callable[[S], Sequence[Action]]
    starts_with: tuple[str, ...] = ()  # keys to reconcile at the start, whatever is there
    workers: int = 2


AnyController = Controller[Any]


class Workshop(Protocol):
    """What a controller with a loop of its own (the garbage collector) is given."""

    client: Client
    clock: Clock
    entropy: Entropy
    options: Options

    def informer(self, resource: Resource) -> Informer: ...

    def metadata_informer(self, resource: Resource) -> Informer:
        """Its objects may hold nothing but kind, apiVersion and metadata."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnLoop:
    """A controller that is no function of one key."""

    name: str
    run: Callable[[Workshop], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Context:
    """What a controller may be built from."""

    options: Options
    clock: Clock
    entropy: Entropy


@dataclass(frozen=True, slots=True)
class Declared:
    """A controller's place in the manager: `build` is given the options and may say None where they leave it out."""

    name: str  # as in --controllers
    build: Callable[[Context], AnyController | OwnLoop | None]
    aliases: tuple[str, ...] = field(default=())
    on_by_default: bool = True


# Indexes and wakes that many share.

NAMESPACE = "namespace"
CONTROLLED = "controller-uid"
ORPHANS = "orphans"


def by_namespace(resource: Resource) -> Index:
    return Index(resource, NAMESPACE, lambda obj: (namespace_of(obj),))


def owned_indexes(resource: Resource) -> tuple[Index, ...]:
    """By the uid of the managing controller, and (by namespace) those without one."""
    return (Index(resource, CONTROLLED, _controller_uids), Index(resource, ORPHANS, _orphaned_in))


def _controller_uids(obj: Object) -> Iterable[str]:
    reference = controller_of(obj)
    return (reference["uid"],) if reference else ()


def _orphaned_in(obj: Object) -> Iterable[str]:
    return () if controller_of(obj) else (namespace_of(obj),)


def itself(resource: Resource, when: Callable[[Object, Object], bool] = always) -> Wake:
    """The object itself is what is reconciled."""
    return Wake(resource, lambda _caches, obj: (key_of(obj),), when)


def controlled_by(owner: Resource, owned: Resource, select: Callable[[Object], Selector]) -> Wake:
    """An owned object wakes its controller; an orphan wakes those whose selector would adopt it."""

    def keys(caches: Caches, obj: Object) -> Iterable[str]:
        namespace = namespace_of(obj)
        reference = controller_of(obj)
        if reference is not None:
            if refers_to(reference, owner.gvk):
                yield f"{namespace}/{reference['name']}"
            return
        labels = obj["metadata"].get("labels") or {}
        if not labels:
            return
        for candidate in caches[owner].list(namespace):
            if select(candidate).matches(labels):
                yield key_of(candidate)

    return Wake(owned, keys)


def refers_to(reference: Object, gvk: GroupVersionKind) -> bool:
    """Whether an owner reference is of that group and kind, in whatever version."""
    return reference.get("kind") == gvk.kind and parse_api_version(reference.get("apiVersion", ""))[0] == gvk.group


def owned_by(cache: Cache, owner: Object) -> list[Object]:
    """What it controls already, and the orphans of its namespace (whom it may adopt); see `owned_indexes`."""
    return [*cache.by_index(CONTROLLED, uid_of(owner)), *cache.by_index(ORPHANS, namespace_of(owner))]
