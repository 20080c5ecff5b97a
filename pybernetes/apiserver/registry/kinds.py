"""What the generic registry knows of one served resource: its strategy, where and how it is stored, and how stored bytes
become an answer (design: "bytes first").

A stored value starts `{"kind":K,"apiVersion":V,"metadata":{"name":…`. Going out, the revision is spliced in at the start of the
metadata; in a list the kind and apiVersion are left away. Only a version which is not the stored one is decoded and converted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import orjson

from pybernetes.apiserver.image import ROOT, Image, Table, decode
from pybernetes.apiserver.metrics.watches import WatchCounts
from pybernetes.apiserver.registry.metadata import check_type
from pybernetes.apiserver.registry.strategy import Strategy
from pybernetes.machinery import codec
from pybernetes.machinery.errors import FieldError, StatusError, already_exists, conflict, invalid, not_found
from pybernetes.machinery.meta import Object, Resource, clone
from pybernetes.machinery.resources import SUBRESOURCES, Subresource
from pybernetes.machinery.schema import Schema, schema_for
from pybernetes.machinery.schema.shapes import Shape, shape_of, zero_of
from pybernetes.store.interface import Entry, Revision

# Where upstream keeps what is not kept under its plural.
STORAGE_PATHS = {
    ("", "endpoints"): "services/endpoints",
    ("", "nodes"): "minions",
    ("", "replicationcontrollers"): "controllers",
    ("", "services"): "services/specs",
    ("apiextensions.k8s.io", "customresourcedefinitions"): "apiextensions.k8s.io/customresourcedefinitions",
    ("apiregistration.k8s.io", "apiservices"): "apiregistration.k8s.io/apiservices",
    ("networking.k8s.io", "ingresses"): "ingress",
}
MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


class Kind:
    """One served resource. `storage` is the one that is written: itself, unless another version is stored."""

    items_carry_type = False  # whether items of lists say their kind and apiVersion: those of custom resources do
    converts_remotely = False  # whether entries have to be `localized` before they are looked at
    hooks_are_foreign = False  # whether hooks may leave an object as Go would not write it: ours do not

    def __init__(self, strategy: Strategy, image: Image, storage: Kind | None = None) -> None:
        resource = strategy.resource
        self.resource = resource
        self.strategy = strategy
        self.subresources: Mapping[str, Subresource] = SUBRESOURCES.get(resource, {})
        self.storage: Kind = storage or self
        self.converts = storage is not None
        self.versions: dict[str, Kind] = storage.versions if storage else {}  # those that share the stored objects
        self.versions[resource.api_version] = self
        self.prefix = f"{ROOT}{storage_path(strategy)}/"
        self.table: Table = image.table(self.prefix)
        self.watched = WatchCounts()
        if strategy.indexed_fields:
            self.table.index(strategy.indexed_fields)
        self.list_kind = f"{resource.kind}List"
        self.list_head = f'{{"kind":"{resource.kind}List","apiVersion":"{resource.api_version}","metadata":'.encode()
        self._head = f'{{"kind":"{resource.kind}","apiVersion":"{resource.api_version}","metadata":{{'.encode()
        # What goes before the `rest` of an object, and of an item of a list, once its revision is put in.
        self.start = self._head + b'"resourceVersion":"%d",'
        self.item_start = self.start if self.items_carry_type else b'{"metadata":{"resourceVersion":"%d",'

    @property
    def has_status(self) -> bool:
        """Whether status has its own way in."""
        return self.strategy.has_status or "status" in self.subresources

    @cached_property
    def schema(self) -> Schema:
        return schema_for(self.resource.gvk)

    @cached_property
    def shape(self) -> Shape:
        """The type as server-side apply sees it."""
        return shape_of(self.schema.struct.name)

    @cached_property
    def zero(self) -> Object:
        """An object to which nobody gave anything. Shared."""
        return zero_of(self.schema.struct.name)

    def key(self, namespace: str, name: str) -> str:
        return f"{self.prefix}{namespace}/{name}" if self.resource.namespaced else self.prefix + name

    def scope(self, namespace: str) -> str:
        """The key prefix of a namespace's objects, or of all."""
        return f"{self.prefix}{namespace}/" if namespace and self.resource.namespaced else self.prefix

    def names(self, key: str) -> tuple[str, str]:
        """(namespace, name) of a key."""
        namespace, _, name = key[len(self.prefix) :].rpartition("/")
        return namespace, name

    # Out

    async def localized(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """The entries as if they had been stored in the served version. Idempotent.

        Where somebody outside converts (`converts_remotely`), what follows takes such entries only. Raises `ConversionFailed`.
        """
        return entries

    def is_current(self, entry: Entry) -> bool:
        """Whether the object would be stored in the same way today."""
        return True

    def selected(self, entry: Entry) -> Object:
        """The object as field selectors see it."""
        return decode(entry)

    def rest(self, entry: Entry) -> bytes | None:
        """What is stored from within the metadata on; None if the object is not served as it is stored."""
        if self.converts:
            return None
        value = entry.value
        rest = value.removeprefix(self._head)  # quicker than to look first, or to copy nothing
        return None if rest is value else rest

    def served(self, entry: Entry, revision: Revision | None = None) -> bytes:
        """The object as JSON in the served version, at its own revision or (deleted) at the one given."""
        rest = self.rest(entry)
        if rest is None:
            return orjson.dumps(self.object(entry, revision))
        return self.start % (revision or entry.mod_revision) + rest

    def item(self, entry: Entry) -> bytes:
        """The object as an item of a list: built-in lists give no kind and apiVersion per item."""
        rest = self.rest(entry)
        if rest is not None:
            return self.item_start % entry.mod_revision + rest
        obj = self.object(entry)
        if not self.items_carry_type:
            del obj["kind"], obj["apiVersion"]
        return orjson.dumps(obj)

    def object(self, entry: Entry, revision: Revision | None = None) -> Object:
        """A fresh object in the served version, free to alter."""
        obj: Object = orjson.loads(entry.value)
        obj["metadata"] = {"resourceVersion": str(revision or entry.mod_revision), **obj["metadata"]}
        return self.from_storage(obj)

    def from_storage(self, obj: Object) -> Object:
        """An object of the stored version in this one; it may be the same, altered."""
        if self.converts:
            if self.strategy.from_storage is not None:
                return self.strategy.from_storage(self.resource.version, obj)
            obj["apiVersion"] = self.resource.api_version
        return obj

    # In

    async def stored(self, obj: Object) -> bytes:
        """The bytes to store for an object of the served version. Raises `ConversionFailed`."""
        return codec.encode(self.to_storage(obj))

    def to_storage(self, obj: Object) -> Object:
        """The object in the stored version."""
        if self.converts:
            if self.strategy.to_storage is not None:
                return self.strategy.to_storage(self.resource.version, obj)
            return {**obj, "apiVersion": self.storage.resource.api_version}
        return obj

    def convert(self, obj: Object, target: Kind) -> Object:
        """An object of this version in another one, a new object. It may wait: see `with_conversions`."""
        return target.from_storage(self.to_storage(clone(obj)))

    def check_type(self, obj: Object) -> None:
        """See `metadata.check_type`."""
        check_type(obj, self.resource)

    # Errors

    def version_required(self, name: str) -> StatusError:
        """For an update without the resourceVersion that this kind wants."""
        error = FieldError(
            "FieldValueInvalid", "metadata.resourceVersion", "Invalid value: 0x0: must be specified for an update"
        )
        return invalid(self.resource.group, self.resource.kind, name, [error])

    def not_found(self, name: str) -> StatusError:
        return not_found(self.resource.group, self.resource.plural, name)

    def already_exists(self, name: str) -> StatusError:
        return already_exists(self.resource.group, self.resource.plural, name)

    def conflict(self, name: str, why: str = MODIFIED) -> StatusError:
        return conflict(self.resource.group, self.resource.plural, name, why)


def storage_path(strategy: Strategy) -> str:
    resource = strategy.resource
    return strategy.storage_path or STORAGE_PATHS.get((resource.group, resource.plural), resource.plural)


def build(strategies: Iterable[Strategy], resources: Iterable[Resource], image: Image) -> dict[Resource, Kind]:
    """A kind for each resource that can be read or stored; those without a strategy of their own get the default one."""
    # Several versions, and the two Events, share a path; the one which needs no conversion is what is stored.
    primary: dict[str, Kind] = {}
    kinds: dict[Resource, Kind] = {}
    for strategy in _chosen(strategies, resources):
        path = storage_path(strategy)
        kind = Kind(strategy, image, primary.get(path))
        primary.setdefault(path, kind)
        kinds[strategy.resource] = kind
    return kinds


def stored_under(strategies: Iterable[Strategy], resources: Iterable[Resource]) -> dict[str, str]:
    """From the prefix of keys (`/registry/services/specs/`) to the resource that is stored there (`services`)."""
    found: dict[str, str] = {}
    for strategy in _chosen(strategies, resources):
        found.setdefault(f"{ROOT}{storage_path(strategy)}/", strategy.resource.group_resource)
    return found


def _chosen(strategies: Iterable[Strategy], resources: Iterable[Resource]) -> list[Strategy]:
    own = {strategy.resource: strategy for strategy in strategies}
    chosen = [own.get(resource) or Strategy(resource=resource) for resource in resources if "list" in resource.verbs]
    return sorted(chosen, key=_converts)


def _converts(strategy: Strategy) -> bool:
    # Without hooks an extra version is served by changing the apiVersion alone; the preferred one comes first then.
    return strategy.to_storage is not None or bool(
        strategy.storage_version and strategy.storage_version != strategy.resource.version
    )
