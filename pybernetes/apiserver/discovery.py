"""Discovery: which groups, versions and resources are served, in the old documents and the aggregated one.

Source: API concepts, "API discovery"; KEP-3352. The documents are made once and kept as bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from pybernetes.apiserver.custom_resources.kinds import VERBS as CUSTOM_VERBS
from pybernetes.apiserver.custom_resources.kinds import CustomKind
from pybernetes.machinery.meta import Object, Resource
from pybernetes.machinery.resources import BUILTIN, GROUPS, STORAGE_VERSION_HASHES, SUBRESOURCES, Group, Subresource

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@dataclass(frozen=True, slots=True)
class _Listed:
    """A resource, and what is said of it besides."""

    resource: Resource
    subresources: Mapping[str, Subresource]
    storage_hash: str
    verbs: Sequence[str]
    is_custom: bool = False


class Discovery:
    """The documents of the built-in groups, and of those that come with custom resources."""

    def __init__(self, server_address: str = "") -> None:
        self._server_address = server_address
        self._documents: dict[str, bytes] = {}
        self.serve(())

    def serve(self, custom: Sequence[CustomKind]) -> None:
        """The custom resources that there are, from now on."""
        listed = [_Listed(found, SUBRESOURCES[found], STORAGE_VERSION_HASHES[found], sorted(found.verbs)) for found in BUILTIN]
        listed += [
            _Listed(kind.resource, kind.subresources, kind.storage_hash, CUSTOM_VERBS, is_custom=True)
            for kind in sorted(custom, key=lambda kind: (kind.resource.group, kind.resource.plural))
        ]
        by_version: dict[str, list[_Listed]] = {}
        versions: dict[str, list[str]] = {}
        for found in listed:
            by_version.setdefault(found.resource.api_version, []).append(found)
        for kind in custom:
            names = versions.setdefault(kind.resource.group, [])
            if kind.resource.version not in names:
                names.append(kind.resource.version)
        groups = {group.name: group for group in GROUPS}
        for name in sorted(versions):
            known = groups[name].versions if name in groups else ()
            added = sorted(set(versions[name]) - set(known), key=version_rank)
            groups[name] = Group(name, (*known, *added))
        self._by_version, self._groups = by_version, groups
        self._documents.clear()

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
        for found in resources:
            listed.append(_resource(found))
            listed += [_subresource(found.resource, below) for below in _ordered(found.subresources)]
        listed.sort(key=lambda entry: str(entry["name"]))
        document: Object = {"kind": "APIResourceList", "groupVersion": api_version, "resources": listed}
        if own_version:  # the core group's list says no version of its own, as upstream's
            document["apiVersion"] = own_version
        return document

    def _group_discovery(self, group: Group) -> Object:
        versions = []
        for version in group.versions:
            api_version = f"{group.name}/{version}" if group.name else version
            resources = sorted(self._by_version.get(api_version, ()), key=lambda found: found.resource.plural)
            found = [_resource_discovery(one) for one in resources]
            versions.append({"version": version, "resources": found, "freshness": "Current"})
        metadata: Object = {"name": group.name} if group.name else {}
        return {"metadata": metadata, "versions": versions}


def _ordered(below: Mapping[str, Subresource]) -> Sequence[Subresource]:
    return sorted(below.values(), key=lambda found: found.name)


_VERSION = re.compile(r"v([1-9]\d*)(?:(alpha|beta)([1-9]\d*))?", re.ASCII)


def version_rank(version: str) -> tuple[int, int, int, str]:
    """The order of preference: v10, v2, v1, v11beta2, v3beta1, v12alpha1, then the others by name."""
    found = _VERSION.fullmatch(version)
    if found is None:
        return (3, 0, 0, version)
    stage = {None: 0, "beta": 1, "alpha": 2}[found[2]]
    return (stage, -int(found[1]), -int(found[3] or 0), "")


def _group(group: Group) -> Object:
    versions = [{"groupVersion": f"{group.name}/{version}", "version": version} for version in group.versions]
    return {"name": group.name, "versions": versions, "preferredVersion": versions[0]}


def _resource(found: _Listed) -> Object:
    resource = found.resource
    entry: Object = {
        "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced, "kind": resource.kind,
        "verbs": list(found.verbs),
    }  # fmt: skip
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if found.storage_hash:
        entry["storageVersionHash"] = found.storage_hash
    return entry


def _subresource(resource: Resource, below: Subresource) -> Object:
    entry: Object = {
        "name": f"{resource.plural}/{below.name}", "singularName": "", "namespaced": resource.namespaced,
        "kind": below.gvk.kind, "verbs": sorted(below.verbs),
    }  # fmt: skip
    if (below.gvk.group, below.gvk.version) != (resource.group, resource.version):
        entry["group"], entry["version"] = below.gvk.group, below.gvk.version
    return entry


def _resource_discovery(found: _Listed) -> Object:
    resource = found.resource
    # Of built-in kinds upstream leaves away what their place in the document says.
    group, version = (resource.group, resource.version) if found.is_custom else ("", "")
    entry: Object = {
        "resource": resource.plural,
        "responseKind": {"group": group, "version": version, "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(found.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    ordered = _ordered(found.subresources)
    if found.is_custom:
        ordered = ordered[::-1]  # the status comes first
    below = [_subresource_discovery(resource, below, group, version) for below in ordered]
    if below:
        entry["subresources"] = below
    return entry


def _subresource_discovery(resource: Resource, below: Subresource, group: str, version: str) -> Object:
    if (below.gvk.group, below.gvk.version) != (resource.group, resource.version):
        group, version = below.gvk.group, below.gvk.version
    return {
        "subresource": below.name,
        "responseKind": {"group": group, "version": version, "kind": below.gvk.kind},
        "verbs": sorted(below.verbs),
    }


def _aggregated(items: Sequence[Object]) -> Object:
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": list(items)}
