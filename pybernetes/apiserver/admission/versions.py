"""One stored object, the versions that it is served in, and as which of them a hook or a policy sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from pybernetes.apiserver.registry.conversion import with_conversions
from pybernetes.apiserver.registry.kinds import Kind
from pybernetes.machinery.meta import GroupVersionKind, Object, Resource
from pybernetes.machinery.resources import SUBRESOURCES
from pybernetes.machinery.schema.shapes import Shape, shape_of


class Versions(Protocol):
    """What is served of one stored object."""

    epoch: int  # another one whenever anything else is served

    def others(self, resource: Resource) -> Sequence[Resource]:
        """The other resources that serve the same stored objects (`matchPolicy: Equivalent`)."""
        ...

    def kind_of(self, resource: Resource, subresource: str) -> GroupVersionKind:
        """What is read and written there: of `deployments/scale` a Scale."""
        ...

    async def convert(self, obj: Object, source: Resource, target: Resource) -> Object:
        """The object of one resource as the other serves it; a new one. Raises `ConversionFailed`."""
        ...

    def settle(self, obj: Object, resource: Resource, subresource: str) -> Sequence[str]:
        """Check what came from outside against the schema, drop what is unknown, add defaults; in place.

        Gives the paths of what was unknown. Raises `BadRequest`.
        """
        ...

    def shape(self, resource: Resource, subresource: str) -> Shape | None:
        """The type of what is written there, as server-side apply sees it; None for what is no object of a kind's own."""
        ...

    def find(self, gvk: GroupVersionKind) -> Resource | None:
        """The resource that serves a kind."""
        ...

    async def served(self, obj: Object, resource: Resource) -> Object:
        """A stored object as the resource serves it; it may be the same one. Raises `ConversionFailed`."""
        ...


class KindVersions:
    """`Versions` of the kinds that a server has."""

    def __init__(self, kinds: Mapping[Resource, Kind]) -> None:
        self._kinds = kinds
        self._others: dict[Resource, Sequence[Resource]] = {}
        self.epoch = 0

    def others(self, resource: Resource) -> Sequence[Resource]:
        known = self._others.get(resource)
        if known is None:
            kind = self._kinds.get(resource)
            if kind is None:
                return ()
            found = (other.resource for other in self._kinds.values() if other.table is kind.table and other is not kind)
            known = self._others[resource] = tuple(found)
        return known

    def forget(self) -> None:
        """To be called when there are other kinds than before."""
        self._others.clear()
        self.epoch += 1

    def kind_of(self, resource: Resource, subresource: str) -> GroupVersionKind:
        if not subresource:
            return resource.gvk
        kind = self._kinds.get(resource)
        below = kind.subresources.get(subresource) if kind is not None else SUBRESOURCES[resource].get(subresource)
        return below.gvk if below is not None else resource.gvk

    async def convert(self, obj: Object, source: Resource, target: Resource) -> Object:
        kind = self._kinds[source]
        made = await with_conversions(kind, lambda: kind.convert(obj, self._kinds[target]))
        return {**made, "apiVersion": target.api_version}

    def settle(self, obj: Object, resource: Resource, subresource: str) -> Sequence[str]:
        kind = self._kinds.get(resource)
        if kind is None or self.kind_of(resource, subresource) != resource.gvk:
            return ()  # options of a connection, a Scale, a Binding: whoever reads it checks it
        unknown = kind.schema.conform(obj)
        kind.strategy.default(obj)
        return unknown

    def shape(self, resource: Resource, subresource: str) -> Shape | None:
        kind, own = self._kinds.get(resource), self.kind_of(resource, subresource)
        if own == resource.gvk:
            return kind.shape if kind is not None else None
        return shape_of("autoscaling.v1.Scale") if own.kind == "Scale" else None

    def find(self, gvk: GroupVersionKind) -> Resource | None:
        return next((resource for resource in self._kinds if resource.gvk == gvk), None)

    async def served(self, obj: Object, resource: Resource) -> Object:
        kind = self._kinds[resource]
        source = kind.versions.get(obj["apiVersion"], kind)
        # Objects may be stored in a version that is not served.
        return obj if source is kind else await with_conversions(source, lambda: source.convert(obj, kind))
