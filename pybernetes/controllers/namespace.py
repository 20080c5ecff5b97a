"""Namespace controller: empty a namespace that is being deleted, then let it go.

Contract: API conventions, "Namespaces"; order: KEP-5080 (pods go before everything else, so that no network policy or
ConfigMap disappears under a running pod). What is there is asked of the server, for every namespaced resource that it serves:
a cache could miss what must not be left behind.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import orjson

from pybernetes.client.rest import Client
from pybernetes.client.transport import ConnectionFailed
from pybernetes.controllers.actions import Action, DeleteCollection, LookAgain, Update
from pybernetes.controllers.controller import Context, Controller, Look, itself
from pybernetes.machinery import errors
from pybernetes.machinery.clock import parse_time, rfc3339
from pybernetes.machinery.meta import Object, Resource, condition, is_being_deleted, name_of
from pybernetes.machinery.resources import NAMESPACES

FINALIZER = "kubernetes"
# While pods take their leave; a deletion that nothing holds up needs a single second look.
WAIT_S = 1.0
WAIT_MAX_S = 15.0
ASKED_AT_ONCE = 8
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"


@dataclass(frozen=True, slots=True)
class Content:
    """What is left of one resource."""

    resource: Resource
    count: int
    finalizers: Counter[str] = field(default_factory=Counter)
    all_leaving: bool = False  # each has a deletionTimestamp already


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a decision may depend on."""

    namespace: Object
    contents: Sequence[Content]
    now: datetime
    discovery_failure: str = ""
    listing_failure: str = ""


def reconcile(seen: Snapshot) -> list[Action]:
    namespace = seen.namespace
    finalizers = (namespace.get("spec") or {}).get("finalizers") or []
    if FINALIZER not in finalizers:
        return []
    failed = bool(seen.discovery_failure or seen.listing_failure)
    if not seen.contents and not failed and finalizers == [FINALIZER]:
        return [_finalize(namespace)]  # the last act: there will be nobody left to read a status
    status = report(seen)
    actions: list[Action] = []
    if status != namespace.get("status"):
        actions.append(Update(NAMESPACES, {**namespace, "status": status}, "status"))
    if not seen.contents and not failed:
        if actions:
            return actions  # the finalizer goes from the state in which this was said
        return [_finalize(namespace)]
    pods = [each for each in seen.contents if (each.resource.group, each.resource.plural) == ("", "pods")]
    for content in pods or seen.contents:
        if not content.all_leaving:
            actions.append(DeleteCollection(content.resource, name_of(namespace)))
    return [*actions, LookAgain(_wait_s(seen))]


def _finalize(namespace: Object) -> Update:
    finalizers = [each for each in namespace["spec"]["finalizers"] if each != FINALIZER]
    return Update(NAMESPACES, {**namespace, "spec": {**namespace["spec"], "finalizers": finalizers}}, "finalize")


def _wait_s(seen: Snapshot) -> float:
    """Grows with the time that it takes already: a namespace held by a finalizer is not asked about each second."""
    since = (seen.now - parse_time(seen.namespace["metadata"]["deletionTimestamp"])).total_seconds()
    return min(max(WAIT_S, since / 4), WAIT_MAX_S)


def report(seen: Snapshot) -> Object:
    """The status with the five conditions of a deletion."""
    old = seen.namespace.get("status") or {}
    conditions: list[Object] = list(old.get("conditions") or ())
    remaining = ""
    if seen.contents:
        parts = sorted(f"{_named(each.resource)} has {each.count} resource instances" for each in seen.contents)
        remaining = "Some resources are remaining: " + ", ".join(parts)
    held: Counter[str] = Counter()
    for content in seen.contents:
        held.update(content.finalizers)
    waiting = ""
    if held:
        parts = sorted(f"{name} in {count} resource instances" for name, count in held.items())
        waiting = "Some content in the namespace has finalizers remaining: " + ", ".join(parts)
    for type_, problem, bad_reason, good_reason, good_message in (
        ("NamespaceDeletionDiscoveryFailure", seen.discovery_failure, "DiscoveryFailed",
         "ResourcesDiscovered", "All resources successfully discovered"),
        ("NamespaceDeletionGroupVersionParsingFailure", "", "GroupVersionParsingFailed",
         "ParsedGroupVersions", "All legacy kube types successfully parsed"),
        ("NamespaceDeletionContentFailure", seen.listing_failure, "ContentDeletionFailed",
         "ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        ("NamespaceContentRemaining", remaining, "SomeResourcesRemain",
         "ContentRemoved", "All content successfully removed"),
        ("NamespaceFinalizersRemaining", waiting, "SomeFinalizersRemain",
         "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
    ):  # fmt: skip
        new = {
            "type": type_,
            "status": "True" if problem else "False",
            "reason": bad_reason if problem else good_reason,
            "message": problem or good_message,
        }
        conditions = _with(conditions, new, seen.now)
    return {**old, "phase": "Terminating", "conditions": conditions}


def _named(resource: Resource) -> str:
    """`pods.`, `deployments.apps`: as upstream names them in this message."""
    return f"{resource.plural}.{resource.group}"


def _with(conditions: list[Object], new: Object, now: datetime) -> list[Object]:
    known = condition(conditions, new["type"])
    if known is None:
        return [*conditions, {**new, "lastTransitionTime": rfc3339(now)}]
    if all(known.get(key) == value for key, value in new.items()):
        return conditions
    moved = known.get("status") != new["status"]
    shown = {**new, "lastTransitionTime": rfc3339(now) if moved else known["lastTransitionTime"]}
    return [shown if each is known else each for each in conditions]


async def observe(look: Look, key: str) -> Snapshot | None:
    namespace = look.caches[NAMESPACES].get("", key)
    if namespace is None or not is_being_deleted(namespace):
        return None
    if FINALIZER not in ((namespace.get("spec") or {}).get("finalizers") or ()):
        return None
    discovery_failure, listing_failure = "", ""
    resources: Sequence[Resource] = ()
    try:
        discovered = await look.client.discover()
        resources = [each for each in discovered.preferred if each.namespaced and {"list", "delete"} <= each.verbs]
        if discovered.failed:
            names = ", ".join(discovered.failed)
            discovery_failure = f"Discovery failed for some groups, {len(discovered.failed)} failing: {names}"
    except (errors.StatusError, ConnectionFailed) as error:
        discovery_failure = f"Discovery failed for some groups: {error}"
    limit = asyncio.Semaphore(ASKED_AT_ONCE)

    async def ask(resource: Resource) -> Content | str | None:
        async with limit:
            return await content_of(look.client, resource, key)

    contents: list[Content] = []
    for answer in await asyncio.gather(*map(ask, resources)):
        if isinstance(answer, Content):
            contents.append(answer)
        elif answer is not None:
            listing_failure = listing_failure or answer
    return Snapshot(namespace, contents, look.now, discovery_failure, listing_failure)


async def content_of(client: Client, resource: Resource, namespace: str) -> Content | str | None:
    """What is there of a resource: None for nothing, a sentence where the server does not say."""
    try:
        answer = await client.raw("GET", resource.path(namespace), headers={"accept": METADATA_ONLY})
    except (errors.NotFound, errors.MethodNotAllowed):
        return None
    except (errors.StatusError, ConnectionFailed) as error:
        return f"Failed to list {resource.group_resource}: {error}"
    assert isinstance(answer.body, bytes)
    items = orjson.loads(answer.body).get("items") or []
    if not items:
        return None
    held = Counter(finalizer for item in items for finalizer in item["metadata"].get("finalizers") or ())
    return Content(resource, len(items), held, all(map(is_being_deleted, items)))


def controller(context: Context) -> Controller[Snapshot]:
    return Controller(
        name="namespace-controller",
        wakes_on=(itself(NAMESPACES, lambda _old, new: is_being_deleted(new)),),
        observe=observe,
        decide=reconcile,
        workers=context.options.concurrent_namespace_syncs,
    )
