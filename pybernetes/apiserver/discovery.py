"""Discovery: which groups, versions and resources are served, in the old documents and the aggregated one.

Source: API concepts, "API discovery"; KEP-3352. The documents are made once and kept as bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import orjson

from pybernetes.machinery.meta import Object, Resource
from pybernetes.machinery.resources import BUILTIN, GROUPS, STORAGE_VERSION_HASHES, SUBRESOURCES, Group, Subresource

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class Discovery:
    """The documents of the built-in groups."""

    def __init__(self, server_address: str = "") -> None:
        self._by_version: dict[str, list[Resource]] = {}
        for resource in BUILTIN:
            self._by_version.setdefault(resource.api_version, []).append(resource)
        self._groups = {group.name: group for group in GROUPS}
        self._server_address = server_address
        self._documents: dict[str, bytes] = {}

    def document(self, path: str, *, aggregated: bool = False) -> bytes | None:
        """The document at `/api`, `/apis`, `/api/v1`, `/apis/<group>`, `/apis/<group>/<version>`; None if there is none."""
        path = path.rstrip("/")
        key = f"{path}?aggregated" if aggregated else path
        known = self._documents.get(key)
        if known is not None:
            return known
        made = self._make(path, aggregated=aggregated)
        if made is None:
            return None
        self._documents[key] = encoded = orjson.dumps(made)
        return encoded

    def versions(self) -> Iterable[str]:
        return self._by_version

    def _make(self, path: str, *, aggregated: bool) -> Object | None:
        parts = path.strip("/").split("/")
        if parts == ["api"]:
            if aggregated:
                return _aggregated([self._group_discovery(Group("", ("v1",)))])
            return {
                "kind": "APIVersions", "versions": ["v1"],
                "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": self._server_address}],
            }  # fmt: skip
        if parts == ["apis"]:
            if aggregated:
                return _aggregated([self._group_discovery(group) for group in self._groups.values()])
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(group) for group in self._groups.values()]}
        if parts[0] == "api" and len(parts) == 2:
            return self._resource_list(parts[1], "")
        if parts[0] == "apis" and len(parts) == 2 and parts[1] in self._groups:
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(self._groups[parts[1]])}
        if parts[0] == "apis" and len(parts) == 3:
            return self._resource_list(f"{parts[1]}/{parts[2]}", "v1")
        return None

    def _resource_list(self, api_version: str, own_version: str) -> Object | None:
        resources = self._by_version.get(api_version)
        if resources is None:
            return None
        listed: list[Object] = []
        for resource in resources:
            listed.append(_resource(resource))
            listed += [_subresource(resource, below) for below in _ordered(SUBRESOURCES[resource])]
        listed.sort(key=lambda entry: str(entry["name"]))
        document: Object = {"kind": "APIResourceList", "groupVersion": api_version, "resources": listed}
        if own_version:  # the core group's list says no version of its own, as upstream's
            document["apiVersion"] = own_version
        return document

    def _group_discovery(self, group: Group) -> Object:
        versions = []
        for version in group.versions:
            api_version = f"{group.name}/{version}" if group.name else version
            resources = sorted(self._by_version.get(api_version, ()), key=lambda found: found.plural)
            found = [_resource_discovery(resource) for resource in resources]
            versions.append({"version": version, "resources": found, "freshness": "Current"})
        metadata: Object = {"name": group.name} if group.name else {}
        return {"metadata": metadata, "versions": versions}


def _ordered(below: object) -> Sequence[Subresource]:
    assert hasattr(below, "values")
    return sorted(below.values(), key=lambda found: str(found.name))


def _group(group: Group) -> Object:
    versions = [{"groupVersion": f"{group.name}/{version}", "version": version} for version in group.versions]
    return {"name": group.name, "versions": versions, "preferredVersion": versions[0]}


def _resource(resource: Resource) -> Object:
    entry: Object = {
        "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced, "kind": resource.kind,
        "verbs": sorted(resource.verbs),
    }  # fmt: skip
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if STORAGE_VERSION_HASHES[resource]:
        entry["storageVersionHash"] = STORAGE_VERSION_HASHES[resource]
    return entry


def _subresource(resource: Resource, below: Subresource) -> Object:
    entry: Object = {
        "name": f"{resource.plural}/{below.name}", "singularName": "", "namespaced": resource.namespaced,
        "kind": below.gvk.kind, "verbs": sorted(below.verbs),
    }  # fmt: skip
    if (below.gvk.group, below.gvk.version) != (resource.group, resource.version):
        entry["group"], entry["version"] = below.gvk.group, below.gvk.version
    return entry


def _resource_discovery(resource: Resource) -> Object:
    entry: Object = {
        "resource": resource.plural,
        "responseKind": {"group": "", "version": "", "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": sorted(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    below = [_subresource_discovery(resource, found) for found in _ordered(SUBRESOURCES[resource])]
    if below:
        entry["subresources"] = below
    return entry


def _subresource_discovery(resource: Resource, below: Subresource) -> Object:
    foreign = (below.gvk.group, below.gvk.version) != (resource.group, resource.version)
    group, version = (below.gvk.group, below.gvk.version) if foreign else ("", "")
    return {
        "subresource": below.name,
        "responseKind": {"group": group, "version": version, "kind": below.gvk.kind},
        "verbs": sorted(below.verbs),
    }


def _aggregated(items: Sequence[Object]) -> Object:
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": list(items)}
