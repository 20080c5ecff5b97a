"""Discovery and OpenAPI documents: ours, with what extension servers say of their groups put in. Pure.

Groups come in the order of their priority (`groupPriorityMinimum`, the highest of any version), then by name; versions by
`versionPriority`, then as `kubectl` sorts versions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pybernetes.apiserver.aggregation import local_services
from pybernetes.apiserver.discovery import version_rank
from pybernetes.machinery.meta import Object

CURRENT, STALE = "Current", "Stale"


class Priorities:
    """What the APIServices say of the order of groups and versions."""

    def __init__(self, services: Iterable[Object]) -> None:
        self._groups: dict[str, int] = {local_services.SELF: 20_001}  # before all others
        self._versions: dict[tuple[str, str], int] = {}
        for service in services:
            spec = service["spec"]
            group = spec.get("group", "")
            self._groups[group] = max(spec.get("groupPriorityMinimum", 0), self._groups.get(group, 0))
            self._versions[group, spec["version"]] = spec.get("versionPriority", 0)

    def group(self, name: str) -> tuple[int, str]:
        """Key to sort groups by."""
        return (-self._groups.get(name, local_services.CUSTOM_PRIORITIES[0]), name)

    def version(self, group: str, name: str) -> tuple[Any, ...]:
        """Key to sort a group's versions by."""
        return (-self._versions.get((group, name), local_services.CUSTOM_PRIORITIES[1]), version_rank(name))


def group_of(name: str, versions: Iterable[str], priorities: Priorities) -> Object:
    """An APIGroup, without its kind."""
    ordered = sorted(set(versions), key=lambda version: priorities.version(name, version))
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in ordered]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def groups(own: Object, remote: Iterable[tuple[str, str]], priorities: Priorities) -> Object:
    """An APIGroupList with the groups and versions of extension servers."""
    versions = {group["name"]: [version["version"] for version in group["versions"]] for group in own["groups"]}
    kept = {group["name"]: group for group in own["groups"]}
    for group, version in remote:
        versions.setdefault(group, []).append(version)
        kept.pop(group, None)
    made = [kept.get(name) or group_of(name, found, priorities) for name, found in versions.items()]
    return {**own, "groups": sorted(made, key=lambda group: priorities.group(group["name"]))}


def aggregated(own: Object, remote: Mapping[tuple[str, str], Object], priorities: Priorities) -> Object:
    """An APIGroupDiscoveryList with the versions of extension servers, each as `version_discovery` has it."""
    versions = {item["metadata"]["name"]: list(item["versions"]) for item in own["items"]}
    for (group, version), found in remote.items():
        others = [known for known in versions.get(group, ()) if known["version"] != version]
        versions[group] = sorted([*others, found], key=lambda one: priorities.version(group, one["version"]))
    items = [{"metadata": {"name": name}, "versions": found} for name, found in versions.items()]
    return {**own, "items": sorted(items, key=lambda item: priorities.group(item["metadata"]["name"]))}


def version_discovery(version: str, resources: Sequence[Object] | None, *, current: bool) -> Object:
    """A version in an APIGroupDiscovery. `resources` None: never heard of them."""
    made: Object = {"version": version}
    if resources is not None:
        made["resources"] = list(resources)
    made["freshness"] = CURRENT if current else STALE
    return made


def resources_of(listing: Object, group: str, version: str) -> Sequence[Object]:
    """The resources of an APIGroupDiscovery version, out of the old document (an APIResourceList)."""
    found: dict[str, Object] = {}
    entries = [entry for entry in listing.get("resources") or () if isinstance(entry, dict) and entry.get("name")]
    for entry in sorted(entries, key=lambda entry: "/" in entry["name"]):
        kind = {
            "group": entry.get("group") or group, "version": entry.get("version") or version, "kind": entry.get("kind", ""),
        }  # fmt: skip
        name, _, below = entry["name"].partition("/")
        if below:
            above = found.setdefault(name, {"resource": name, "verbs": [], "scope": _scope(entry)})
            subresource = {"subresource": below, "responseKind": kind, "verbs": entry.get("verbs") or []}
            above.setdefault("subresources", []).append(subresource)
            continue
        made: Object = {
            "resource": name, "responseKind": kind, "scope": _scope(entry),
            "singularResource": entry.get("singularName", ""), "verbs": entry.get("verbs") or [],
        }  # fmt: skip
        for field in ("shortNames", "categories"):
            if entry.get(field):
                made[field] = entry[field]
        found[name] = made
    return list(found.values())


def _scope(entry: Object) -> str:
    return "Namespaced" if entry.get("namespaced") else "Cluster"


def openapi_paths(own: Object, remote: Mapping[str, Object]) -> Object:
    """The index of /openapi/v3 with the documents of extension servers."""
    return {**own, "paths": dict(sorted({**own["paths"], **remote}.items()))}
