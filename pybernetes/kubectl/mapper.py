"""From what users call a resource (`po`, `deploy`, `deployments.apps`, `Deployment`) to the resource.

Built-in resources are known without asking; the server's discovery is fetched once, when something else is named. So the usual
command costs one request. A server that lacks a built-in answers 404 to the request itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from pybernetes.client.discovery import Discovery
from pybernetes.client.rest import Client
from pybernetes.kubectl.failure import Failure
from pybernetes.machinery.meta import GroupVersionKind, Resource


class Mapper:
    """Names to resources, for one server."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._discovery: Discovery | None = None

    async def discovery(self) -> Discovery:
        if self._discovery is None:
            self._discovery = await self._client.discover()
        return self._discovery

    async def find(self, name: str) -> Resource:
        """One resource by any of its names. Raises `Failure` if the server has none of that name."""
        found = _match(name, _builtin())
        if found is None:
            found = _match(name, (await self.discovery()).resources)
        if found is None:
            raise Failure(f'the server doesn\'t have a resource type "{name}"')
        return found

    async def expand(self, names: str) -> list[Resource]:
        """A comma-separated list of resources and categories (`all`), each resource once."""
        found: dict[Resource, None] = {}
        for name in names.split(","):
            if not name:
                raise Failure(f'the server doesn\'t have a resource type "{name}"')
            members = await self._category(name) if name == "all" or not self._is_builtin(name) else []
            for resource in members or [await self.find(name)]:
                found.setdefault(resource)
        return list(found)

    def _is_builtin(self, name: str) -> bool:
        return _match(name, _builtin()) is not None

    async def _category(self, name: str) -> list[Resource]:
        return [
            resource
            for resource in (await self.discovery()).preferred
            if name in resource.categories and "list" in resource.verbs
        ]

    async def for_kind(self, gvk: GroupVersionKind) -> Resource | None:
        """The resource in which objects of that kind are kept, in that version; None if the server has none."""
        found = _of_kind(gvk, _builtin())
        return found or _of_kind(gvk, (await self.discovery()).resources)


@cache
def _builtin() -> tuple[Resource, ...]:
    """The built-in resources in order of preference: the core group, then the groups in upstream's order, newest first."""
    from pybernetes.machinery.resources import BUILTIN, GROUPS

    order = {("", "v1"): (-1, 0)}
    for place, group in enumerate(GROUPS):
        for version_place, version in enumerate(group.versions):
            order[group.name, version] = (place, version_place)
    last = (len(GROUPS), 0)
    return tuple(sorted(BUILTIN, key=lambda resource: order.get((resource.group, resource.version), last)))


def _of_kind(gvk: GroupVersionKind, resources: Iterable[Resource]) -> Resource | None:
    found = [resource for resource in resources if resource.gvk == gvk]
    # Kinds that are only created (TokenReview) have no resource that can be read.
    return next((resource for resource in found if "get" in resource.verbs), found[0] if found else None)


def _match(name: str, resources: Iterable[Resource]) -> Resource | None:
    """`resources` are in order of preference, the core group first."""
    lower = name.lower()
    first, _, rest = lower.partition(".")
    version, _, group = rest.partition(".")
    short: Resource | None = None
    for resource in resources:
        if lower in (resource.plural, resource.singular or resource.kind.lower()):
            return resource
        if rest and first in (resource.plural, resource.singular, resource.kind.lower(), *resource.short_names):
            if resource.group == rest or (resource.version == version and resource.group == group):
                return resource
            if resource.group.startswith(rest + "."):
                return resource
        if short is None and lower in resource.short_names:
            short = resource
    return short
