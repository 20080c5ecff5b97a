"""Create what a cluster lacks, and bring RBAC back to its defaults without taking away what users added.

The decision is `repair`: what is there and what is wanted in, what to write out. All writes of a start go to the store at once,
which then commits them together.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#auto-reconciliation
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from pybernetes.apiserver.authorization.rules import covers
from pybernetes.apiserver.bootstrap.objects import (
    AUTOUPDATE,
    FLOW_AUTOUPDATE,
    addon_objects,
    flow_control_objects,
    upstream_objects,
)
from pybernetes.apiserver.registry.strategy import Reader, Writer
from pybernetes.machinery import errors
from pybernetes.machinery.meta import Object, Resource, annotations_of, name_of, namespace_of
from pybernetes.machinery.resources import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    FLOW_SCHEMAS,
    PRIORITY_LEVEL_CONFIGURATIONS,
    ROLE_BINDINGS,
    ROLES,
)

MANDATORY_FLOW_CONTROL = ("exempt", "catch-all")
CONFLICTS_MAX = 5  # several API servers of one cluster may start together and repair the same object


@dataclass(frozen=True, slots=True)
class Repair:
    """How to bring one object back: write `update` over it, or (a role reference cannot change) delete it and create anew."""

    update: Object | None = None
    recreate: Object | None = None


async def ensure(reader: Reader, writer: Writer, *, service_cidr: str = "10.96.0.0/16") -> None:
    """What upstream's API server makes: system namespaces, RBAC, priority classes, flow control, the ServiceCIDR.

    `service_cidr`: as `--service-cluster-ip-range`, one or two ranges with a comma between.
    """
    await _ensure(upstream_objects(service_cidr.split(",")), reader, writer)


async def ensure_cluster_addons(reader: Reader, writer: Writer) -> None:
    """What kubeadm adds for a real cluster: node bootstrap and certificate approval, DNS's and the controllers' roles."""
    await _ensure(addon_objects(), reader, writer)


async def maintain_flow_control(reader: Reader, writer: Writer) -> None:
    """Make and repair the default FlowSchemas and PriorityLevelConfigurations, and delete those that were ours once.

    Raises an ExceptionGroup of StatusErrors, or of `Unavailable`.
    """
    wanted = list(flow_control_objects())
    await _ensure(wanted, reader, writer)
    names = {(resource, name_of(obj)) for resource, obj in wanted}
    async with asyncio.TaskGroup() as group:
        for resource in (FLOW_SCHEMAS, PRIORITY_LEVEL_CONFIGURATIONS):
            for obj in reader.list(resource):
                if annotations_of(obj).get(FLOW_AUTOUPDATE) == "true" and (resource, name_of(obj)) not in names:
                    group.create_task(writer.delete(resource, "", name_of(obj)))


async def _ensure(wanted: Sequence[tuple[Resource, Object]], reader: Reader, writer: Writer) -> None:
    async with asyncio.TaskGroup() as group:
        for resource, obj in wanted:
            if _current(reader, resource, obj) is None or _repair(reader, resource, obj) is not None:
                group.create_task(_settle(resource, obj, reader, writer))


async def _settle(resource: Resource, wanted: Object, reader: Reader, writer: Writer) -> None:
    for _ in range(CONFLICTS_MAX):
        try:
            if _current(reader, resource, wanted) is None:
                await writer.create(resource, wanted)
            elif step := _repair(reader, resource, wanted):
                if step.recreate is not None:
                    await writer.delete(resource, namespace_of(wanted), name_of(wanted))
                    await writer.create(resource, step.recreate)
                elif step.update is not None:
                    await writer.update(resource, step.update)
            return
        except (errors.AlreadyExists, errors.Conflict, errors.NotFound):
            continue  # someone else wrote it meanwhile: look again


def _current(reader: Reader, resource: Resource, obj: Object) -> Object | None:
    return reader.get(resource, namespace_of(obj), name_of(obj))


def _repair(reader: Reader, resource: Resource, wanted: Object) -> Repair | None:
    current = _current(reader, resource, wanted)
    return None if current is None else repair(resource, current, wanted)


def repair(resource: Resource, current: Object, wanted: Object) -> Repair | None:
    """What an existing object needs; None if nothing. Pure: neither object is altered."""
    if resource in (ROLES, CLUSTER_ROLES, ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS):
        if annotations_of(current).get(AUTOUPDATE) == "false":
            return None
        if "roleRef" in wanted and current.get("roleRef") != wanted["roleRef"]:
            return Repair(recreate=wanted)
        return _changed(current, repaired_rbac(current, wanted))
    if resource in (FLOW_SCHEMAS, PRIORITY_LEVEL_CONFIGURATIONS):
        return _changed(current, maintained(resource, current, wanted))
    return None


def maintained(resource: Resource, current: Object, wanted: Object) -> Object:
    """A default object of flow control as it should be.

    The mandatory ones have their spec (but for what the exempt level has of shares); the others only while their annotation
    says so, which is the first thing that they are given: "true" to those that nobody has changed yet.
    """
    name, annotations = name_of(current), annotations_of(current)
    mandatory = name in MANDATORY_FLOW_CONTROL
    given = annotations.get(FLOW_AUTOUPDATE)
    ours = mandatory or given == "true" or (given not in ("true", "false") and current["metadata"].get("generation") == 1)
    then = dict(current)
    if mandatory or given not in ("true", "false"):
        text = "true" if ours else "false"
        if given != text:
            then["metadata"] = {**current["metadata"], "annotations": {**annotations, FLOW_AUTOUPDATE: text}}
    spec = wanted["spec"]
    if resource is PRIORITY_LEVEL_CONFIGURATIONS and name == "exempt" and "exempt" in (current.get("spec") or {}):
        spec = {**spec, "exempt": current["spec"]["exempt"]}
    # Compare what we set: the stored spec has defaults besides.
    if ours and not _contains(current.get("spec"), spec):
        then["spec"] = spec
        metadata = then["metadata"]
        then["metadata"] = {**metadata, "generation": metadata.get("generation", 0) + 1}
    return then


def _changed(current: Object, then: Object) -> Repair | None:
    return None if then == current else Repair(update=then)


def repaired_rbac(current: Object, wanted: Object) -> Object:
    """`current` with the labels, annotations, rules and subjects of `wanted` that it lacks."""
    metadata = dict(current["metadata"])
    for field in ("labels", "annotations"):
        # What the user changed wins, as upstream has it: defaults only fill in.
        metadata[field] = {**wanted["metadata"].get(field, {}), **(metadata.get(field) or {})}
    then = {**current, "metadata": metadata}
    if "aggregationRule" in wanted:
        # The rules of an aggregated role belong to whoever gathers them.
        selectors = (current.get("aggregationRule") or {}).get("clusterRoleSelectors") or []
        missing = [found for found in wanted["aggregationRule"]["clusterRoleSelectors"] if found not in selectors]
        if missing:
            then["aggregationRule"] = {"clusterRoleSelectors": [*selectors, *missing]}
    elif "rules" in wanted:
        rules = current.get("rules") or []
        # Equal is the usual case, and quick to see.
        lacking = [] if rules == wanted["rules"] else covers(rules, wanted["rules"])
        if lacking:
            then["rules"] = [*rules, *lacking]
    if "subjects" in wanted:
        subjects = current.get("subjects") or []
        absent = [found for found in wanted["subjects"] if found not in subjects]
        if absent:
            then["subjects"] = [*subjects, *absent]
    return then


def _contains(value: object, wanted: object) -> bool:
    """Does `value` say all that `wanted` says? Objects may hold more; lists are equal in length and order."""
    if isinstance(wanted, dict):
        return isinstance(value, dict) and all(name in value and _contains(value[name], wanted[name]) for name in wanted)
    if isinstance(wanted, list):
        return (
            isinstance(value, list)
            and len(value) == len(wanted)
            and all(_contains(one, other) for one, other in zip(value, wanted, strict=True))
        )
    return value == wanted
