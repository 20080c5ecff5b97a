"""A kind's behaviour behind the generic registry: one `Strategy` of named hooks (upstream: `rest.RESTCreateStrategy` & co.).

The registry calls, for a create: decode → default → admission (mutating) → prepare_for_create → validate → admission
(validating) → begin_create → store. For an update: the same with the old object. Hooks are plain functions and change the
object that they are given in place; the few that must reserve something (cluster IPs, node ports) are async and may be undone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from pybernetes.apiserver.attributes import User
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, Resource


class Reader(Protocol):
    """The current state of the cluster as the API server itself sees it: consistent, from memory, never over the network.

    What it gives is shared: it must not be altered.
    """

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None: ...

    def list(self, resource: Resource, namespace: str = "") -> Sequence[Object]:
        """All of them, in key order; of one namespace, if given."""
        ...

    def generation(self, resource: Resource) -> int:
        """The revision of the last write to any object of the resource: key for whatever is derived from `list`."""
        ...


class Writer(Protocol):
    """Writes of the API server's own (bootstrap objects, allocations), past authorization and admission."""

    async def create(self, resource: Resource, obj: Object) -> Object:
        """Raises `AlreadyExists`."""
        ...

    async def update(self, resource: Resource, obj: Object) -> Object:
        """Raises `NotFound`, or `Conflict` unless the object is at its `resourceVersion`."""
        ...

    async def delete(self, resource: Resource, namespace: str, name: str) -> None:
        """At once, whatever finalizers say; nothing happens where it is not there."""
        ...


@dataclass(slots=True)
class Context:
    """What a hook may know besides the objects. Not to be altered (not frozen, since each write makes one)."""

    now: datetime
    entropy: Entropy
    user: User
    reader: Reader
    writer: Writer
    dry_run: bool = False
    # Configuration of the server (`--service-cluster-ip-range`, `--service-node-port-range`): the primary range first,
    # at most one of each IP family; ports inclusive.
    service_cidrs: tuple[str, ...] = ("10.96.0.0/16",)
    node_port_range: tuple[int, int] = (30000, 32767)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the kind's Table, as in `reference/table-columns.json`: names and types are upstream's."""

    name: str
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""


NAME = Column("Name", format="name")
AGE = Column("Age")


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Where `/scale` finds its values in the object, and how it renders the selector (`status.selector`)."""

    replicas: Callable[[Object], int]
    set_replicas: Callable[[Object, int], None]
    status_replicas: Callable[[Object], int]
    selector: Callable[[Object], str]
    replicas_path: tuple[str, ...] = ("spec", "replicas")  # for managed fields, the same as `replicas` reads


def _nothing(*_: Any) -> None:
    return None


def _no_errors(*_: Any) -> Iterable[FieldError]:
    return ()


def _no_warnings(*_: Any) -> Sequence[str]:
    return ()


async def _nothing_async(*_: Any) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubresourceUpdate:
    """How the object itself is written through a subresource other than `/status` (`approval`, `finalize`, `resize`,
    `ephemeralcontainers`): `prepare(context, new, old)` puts back whatever may not be written there, `validate(new, old)`
    stands in for the kind's own `validate` and `validate_update`."""

    prepare: Callable[[Context, Object, Object], None]
    validate: Callable[[Object, Object], Iterable[FieldError]] = _no_errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """One per resource; every hook has a default that does nothing."""

    resource: Resource
    storage_path: str = ""  # below /registry/: "services/specs"; default: upstream's for the plural
    storage_version: str = ""  # where several versions are served, the one that is stored
    # (version, object) -> object of the other version; only with several versions
    to_storage: Callable[[str, Object], Object] | None = None
    from_storage: Callable[[str, Object], Object] | None = None

    default: Callable[[Object], None] = _nothing
    validate_name: Callable[[str], Iterable[str]] | None = None  # sentences; None: DNS-1123 subdomain
    prepare_for_create: Callable[[Context, Object], None] = _nothing
    prepare_for_update: Callable[[Context, Object, Object], None] = _nothing  # new, old
    validate: Callable[[Object], Iterable[FieldError]] = _no_errors
    validate_create: Callable[[Object], Iterable[FieldError]] = _no_errors  # on creation only, after `validate`
    validate_update: Callable[[Object, Object], Iterable[FieldError]] = _no_errors  # new, old; `validate` ran before
    validates_by_turns: bool = False  # it may take long: expressions are evaluated, or compiled (`machinery/turns`)
    warnings: Callable[[Object, Object | None], Sequence[str]] = _no_warnings
    deprecation: str = ""  # a warning that goes with every answer of this resource

    bumps_generation: bool = False  # metadata.generation: 1, then +1 whenever more than metadata and status changed
    generation_counts_status: bool = False  # … and status counts as well: custom resources without /status
    has_status: bool = False  # status is dropped on create, kept on update, and written through /status alone
    status_on_create: bool = False  # status may be given on creation, too (nodes)
    prepare_for_status_update: Callable[[Context, Object, Object], None] = _nothing
    validate_status_update: Callable[[Object, Object], Iterable[FieldError]] = _no_errors
    subresource_updates: Mapping[str, SubresourceUpdate] = field(default_factory=dict)
    scale: ScalePaths | None = None
    creates_on_update: bool = False  # PUT of an absent object creates it
    needs_resource_version_on_update: bool = False

    begin_create: Callable[[Context, Object], Awaitable[None]] = _nothing_async
    begin_update: Callable[[Context, Object, Object], Awaitable[None]] = _nothing_async
    # Releases what the old object held and the new one does not; (new, old) after the write, (old, new) after one that failed.
    after_update: Callable[[Context, Object, Object], Awaitable[None]] = _nothing_async
    after_delete: Callable[[Context, Object], Awaitable[None]] = _nothing_async  # also after a create that failed
    # Seconds of grace for this deletion (0: at once), given the object and the DeleteOptions; None: this kind has no grace.
    grace_period: Callable[[Context, Object, Object], int] | None = None
    # For kinds which deletion never takes at once: (context, object) -> the object marked for deletion.
    mark_deleted: Callable[[Context, Object], Object] | None = None
    # Fields besides metadata.name and metadata.namespace that fieldSelector may name.
    selectable_fields: Mapping[str, Callable[[Object], str]] = field(default_factory=dict)
    # Those of them that lists and watches are indexed by, read from stored bytes.
    indexed_fields: Mapping[str, Callable[[bytes], str]] = field(default_factory=dict)
    default_garbage_policy: str = "Background"  # or "Orphan", "Unsupported"

    columns: tuple[Column, ...] = (NAME, Column("Created At", type="date"))
    cells: Callable[[Object, datetime], list[Any]] | None = None  # one value per column; None: name and creation time
