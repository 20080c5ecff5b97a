"""APIServices of what is served here: one for each built-in group version, one for each of a CustomResourceDefinition.

The built-in ones are made at the start and then left to their users; those of definitions are kept as they should be, and go
with the definition. One that has no such label is somebody's own, and stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from pybernetes.machinery.clock import rfc3339
from pybernetes.machinery.meta import Object, labels_of, name_of
from pybernetes.machinery.resources import BUILTIN

AUTOMANAGED = "kube-aggregator.kubernetes.io/automanaged"
ON_START, ALWAYS = "onstart", "true"
CUSTOM_PRIORITIES = (1000, 100)  # of the group, of the version
SELF = "apiregistration.k8s.io"  # always served here, and so not registered

# Upstream's: they decide the order of groups and versions in discovery. All other built-in versions have 15.
_GROUPS: Mapping[str, int] = {
    "": 18000, "apps": 17800, "events.k8s.io": 17750, "authentication.k8s.io": 17700, "authorization.k8s.io": 17600,
    "autoscaling": 17500, "batch": 17400, "certificates.k8s.io": 17300, "networking.k8s.io": 17200, "policy": 17100,
    "rbac.authorization.k8s.io": 17000, "storage.k8s.io": 16800, "apiextensions.k8s.io": 16700,
    "admissionregistration.k8s.io": 16700, "scheduling.k8s.io": 16600, "coordination.k8s.io": 16500, "node.k8s.io": 16300,
    "discovery.k8s.io": 16200, "resource.k8s.io": 16200, "flowcontrol.apiserver.k8s.io": 16100,
}  # fmt: skip
_VERSIONS: Mapping[tuple[str, str], int] = {
    ("", "v1"): 1,
    ("autoscaling", "v2"): 30,
    ("flowcontrol.apiserver.k8s.io", "v1"): 21,
}


def builtin() -> Sequence[Object]:
    """The APIServices of what this server is made of."""
    found = dict.fromkeys((resource.group, resource.version) for resource in BUILTIN if resource.group != SELF)
    return [
        _local(group, version, ON_START, _GROUPS.get(group, 15000), _VERSIONS.get((group, version), 15))
        for group, version in found
    ]


def custom(definitions: Iterable[Object]) -> Sequence[Object]:
    """The APIServices of all served versions of CustomResourceDefinitions."""
    found = {
        (definition["spec"]["group"], version["name"])
        for definition in definitions
        for version in definition["spec"].get("versions") or ()
        if version.get("served")
    }
    return [_local(group, version, ALWAYS, *CUSTOM_PRIORITIES) for group, version in sorted(found)]


def _local(group: str, version: str, managed: str, group_priority: int, version_priority: int) -> Object:
    spec: Object = {"version": version, "groupPriorityMinimum": group_priority, "versionPriority": version_priority}
    if group:
        spec = {"group": group, **spec}
    return {"metadata": {"name": f"{version}.{group}", "labels": {AUTOMANAGED: managed}}, "spec": spec}


class Create(NamedTuple):
    obj: Object


class Update(NamedTuple):
    obj: Object


class Delete(NamedTuple):
    name: str


def changes(present: Iterable[Object], wanted: Iterable[Object]) -> Iterator[Create | Update | Delete]:
    """What makes the APIServices of definitions as they should be."""
    known = {name_of(found): found for found in present}
    names = set()
    for one in wanted:
        names.add(name_of(one))
        found = known.get(name_of(one))
        if found is None:
            yield Create(one)
        elif labels_of(found).get(AUTOMANAGED) == ALWAYS and found["spec"] != one["spec"]:
            yield Update({**found, "spec": one["spec"]})
    for name, found in known.items():
        if name not in names and labels_of(found).get(AUTOMANAGED) == ALWAYS:
            yield Delete(name)


def with_condition(service: Object, status: str, reason: str, message: str, now: object) -> Object | None:
    """The APIService with that Available condition; None if it says so already."""
    conditions = (service.get("status") or {}).get("conditions") or []
    old = next((found for found in conditions if found["type"] == "Available"), None)
    new: Object = {"type": "Available", "status": status, "reason": reason, "message": message}
    if old is not None and all(old.get(field) == value for field, value in new.items()):
        return None
    same_status = old is not None and old["status"] == status
    since = old["lastTransitionTime"] if same_status and old is not None else rfc3339(now)  # type: ignore[arg-type]
    made = {
        "type": "Available", "status": status, "lastTransitionTime": since, "reason": reason, "message": message,
    }  # fmt: skip
    others = [found for found in conditions if found["type"] != "Available"]
    return {**service, "status": {**(service.get("status") or {}), "conditions": [*others, made]}}
