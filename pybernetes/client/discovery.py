"""What an API server serves: its groups, versions and resources (KEP-3352, aggregated discovery).

Servers that do not aggregate are asked group by group.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from pybernetes.client.rest import Client, parse_object
from pybernetes.machinery import errors
from pybernetes.machinery.meta import Object, Resource, parse_api_version

ACCEPT_AGGREGATED = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
)


@dataclass(frozen=True, slots=True)
class Discovery:
    """All resources of all versions, groups in the server's order, each group's preferred version first."""

    resources: tuple[Resource, ...]
    subresources: Mapping[Resource, frozenset[str]]
    failed: tuple[str, ...] = ()  # group versions that could not be asked (an aggregated server that is down)

    @property
    def preferred(self) -> tuple[Resource, ...]:
        """Each resource once, in the most preferred version that has it."""
        seen: dict[tuple[str, str], Resource] = {}
        for resource in self.resources:
            seen.setdefault((resource.group, resource.plural), resource)
        return tuple(seen.values())


async def discover(client: Client) -> Discovery:
    """Ask. Raises as any request does; a group that fails alone is named in `failed`."""
    resources: dict[Resource, set[str]] = {}
    failed: list[str] = []
    for path in ("/api", "/apis"):
        answer = await client.raw("GET", path, headers={"accept": ACCEPT_AGGREGATED})
        assert isinstance(answer.body, bytes)
        document = parse_object(answer.body)
        if document.get("kind") == "APIGroupDiscoveryList":
            _aggregated(document, resources, failed)
        else:
            await _one_by_one(client, document, resources, failed)
    return Discovery(tuple(resources), {resource: frozenset(names) for resource, names in resources.items()}, tuple(failed))


def _aggregated(document: Object, resources: dict[Resource, set[str]], failed: list[str]) -> None:
    for group in document.get("items") or ():
        name = (group.get("metadata") or {}).get("name", "")
        for version in group.get("versions") or ():
            if version.get("freshness") == "Stale":
                failed.append(f"{name}/{version['version']}")
            for entry in version.get("resources") or ():
                response_kind = entry.get("responseKind") or {}
                resource = Resource(
                    group=name,
                    version=version["version"],
                    plural=entry["resource"],
                    kind=response_kind.get("kind", ""),
                    namespaced=entry.get("scope") == "Namespaced",
                    singular=entry.get("singularResource", ""),
                    short_names=tuple(entry.get("shortNames") or ()),
                    categories=tuple(entry.get("categories") or ()),
                    verbs=frozenset(entry.get("verbs") or ()),
                )
                resources[resource] = {below["subresource"] for below in entry.get("subresources") or ()}


async def _one_by_one(client: Client, document: Object, resources: dict[Resource, set[str]], failed: list[str]) -> None:
    """`document` is APIVersions (`/api`) or an APIGroupList (`/apis`)."""
    versions: list[str] = list(document.get("versions") or ())
    for group in document.get("groups") or ():
        preferred = (group.get("preferredVersion") or {}).get("groupVersion", "")
        known = [version["groupVersion"] for version in group.get("versions") or ()]
        versions += sorted(known, key=lambda version: version != preferred)

    async def ask(api_version: str) -> Object | None:
        try:
            answer = await client.raw("GET", f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}")
            assert isinstance(answer.body, bytes)
            return parse_object(answer.body)
        except errors.StatusError:
            return None

    lists = await asyncio.gather(*(ask(version) for version in versions))
    for api_version, found in zip(versions, lists, strict=True):
        if found is None:
            failed.append(api_version)
        else:
            _listed(api_version, found, resources)


def _listed(api_version: str, found: Object, resources: dict[Resource, set[str]]) -> None:
    group, version = parse_api_version(api_version)
    by_plural: dict[str, Resource] = {}
    entries = found.get("resources") or ()
    for entry in entries:
        if "/" in entry["name"]:
            continue
        resource = by_plural[entry["name"]] = Resource(
            group=group,
            version=version,
            plural=entry["name"],
            kind=entry.get("kind", ""),
            namespaced=bool(entry.get("namespaced")),
            singular=entry.get("singularName", ""),
            short_names=tuple(entry.get("shortNames") or ()),
            categories=tuple(entry.get("categories") or ()),
            verbs=frozenset(entry.get("verbs") or ()),
        )
        resources[resource] = set()
    for entry in entries:
        plural, _, below = entry["name"].partition("/")
        if below and plural in by_plural:
            resources[by_plural[plural]].add(below)
