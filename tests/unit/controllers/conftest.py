"""A world for controllers: it holds objects, shows them as caches do, and applies actions as the API would.

Test modules get the class by the fixture `World`, and builders by name.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pybernetes.controllers.actions import (
    Action,
    Adopt,
    Create,
    Delete,
    DeleteCollection,
    Emit,
    LookAgain,
    Patch,
    Retry,
    Update,
)
from pybernetes.controllers.controller import AnyController, Context, Look
from pybernetes.controllers.options import Options
from pybernetes.machinery.clock import rfc3339
from pybernetes.machinery.entropy import SeededEntropy
from pybernetes.machinery.meta import Object, Resource, name_of, namespace_of, uid_of

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class ManualClock:
    """Time that moves when told."""

    def __init__(self) -> None:
        self.moment = EPOCH

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return (self.moment - EPOCH).total_seconds()

    async def sleep(self, delay_s: float) -> None:
        self.moment += timedelta(seconds=delay_s)


class WorldCache:
    """The objects of one resource, as an informer shows them."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Object] = {}
        self.indexes: dict[str, Any] = {}
        self.watching_since_s: float | None = float("-inf")

    def get(self, namespace: str, name: str) -> Object | None:
        return self.objects.get((namespace, name))

    def list(self, namespace: str = "") -> list[Object]:
        return [obj for (at, _), obj in self.objects.items() if not namespace or at == namespace]

    def by_index(self, name: str, key: str) -> Sequence[Object]:
        return [obj for obj in self.objects.values() if key in set(self.indexes[name](obj))]


class World:
    """Objects, time, and a controller that acts on them."""

    def __init__(self, build: Any, objects: Sequence[tuple[Resource, Object]] = (), **options: Any) -> None:
        self.clock = ManualClock()
        self.entropy = SeededEntropy(0)
        self.caches: dict[Resource, WorldCache] = {}
        self.revision = 100
        self.events: list[Emit] = []
        self.look_again_s: float | None = None
        self.controller: AnyController = build(Context(Options(**options), self.clock, self.entropy))
        for wake in self.controller.wakes_on:
            self.cache(wake.resource)
        for resource in self.controller.reads:
            self.cache(resource)
        for index in self.controller.indexes:
            self.cache(index.resource).indexes[index.name] = index.keys
        for resource, obj in objects:
            self.put(resource, obj)

    def cache(self, resource: Resource) -> WorldCache:
        return self.caches.setdefault(resource, WorldCache())

    def put(self, resource: Resource, obj: Object) -> Object:
        """Add an object, with what the API server fills in."""
        obj = copy.deepcopy(obj)
        metadata = obj.setdefault("metadata", {})
        if "name" not in metadata:
            metadata["name"] = metadata["generateName"] + self.entropy.name_suffix()
        metadata.setdefault("uid", self.entropy.uid())
        metadata.setdefault("creationTimestamp", rfc3339(self.clock.now()))
        metadata.setdefault("generation", 1)
        self.revision += 1
        metadata["resourceVersion"] = str(self.revision)
        obj = {"kind": resource.kind, "apiVersion": resource.api_version, **obj}
        self.cache(resource).objects[namespace_of(obj), name_of(obj)] = obj
        return obj

    def all(self, resource: Resource) -> list[Object]:
        return self.cache(resource).list()

    def names(self, resource: Resource) -> list[str]:
        return sorted(map(name_of, self.all(resource)))

    def advance(self, seconds: float) -> None:
        self.clock.moment += timedelta(seconds=seconds)

    def decide(self, key: str) -> list[Action]:
        seen = self.controller.observe(Look(self.caches, self.clock.now(), None, None), key)  # type: ignore[arg-type]
        if inspect.iscoroutine(seen):
            seen.close()
            raise AssertionError("this controller asks the server: test its decision")
        return [] if seen is None else list(self.controller.decide(seen))

    def step(self, key: str) -> list[Action]:
        """One pass; returns the actions that change something."""
        before = copy.deepcopy({resource: cache.objects for resource, cache in self.caches.items()})
        actions = self.decide(key)
        assert before == {resource: cache.objects for resource, cache in self.caches.items()}, "a cached object was altered"
        self.look_again_s = None
        for action in actions:
            self.apply(action)
        return [action for action in actions if not isinstance(action, LookAgain | Emit)]

    def settle(self, key: str, rounds_max: int = 30) -> None:
        """Until a pass changes nothing."""
        for _ in range(rounds_max):
            if not self.step(key):
                return
        raise AssertionError(f"not at rest after {rounds_max} rounds: {self.decide(key)}")

    def apply(self, action: Action) -> None:
        match action:
            case Create():
                name = action.obj["metadata"].get("name")
                known = self.cache(action.resource).get(namespace_of(action.obj), name) if name else None
                if known is not None:
                    follow: Sequence[Action] = action.if_exists(known) if action.if_exists else ()
                else:
                    created = self.put(action.resource, action.obj)
                    follow = action.created(created) if action.created else ()
                self._follow(follow)
            case Delete():
                known = self.cache(action.resource).get(action.namespace, action.name)
                if known is not None and uid_of(known) == action.uid:
                    del self.cache(action.resource).objects[action.namespace, action.name]
                    self._follow(action.deleted)
            case Update():
                known = self.cache(action.resource).get(namespace_of(action.obj), name_of(action.obj))
                assert known is not None
                if known["metadata"]["resourceVersion"] != action.obj["metadata"]["resourceVersion"]:
                    return  # a conflict: decided again in the next round
                if action.subresource == "status":
                    obj = {**known, "status": action.obj["status"]}
                else:
                    obj = {**action.obj, **({"status": known["status"]} if "status" in known else {})}
                    if obj.get("spec") != known.get("spec"):
                        obj["metadata"] = {**obj["metadata"], "generation": known["metadata"]["generation"] + 1}
                self.put(action.resource, obj)
                self._follow(action.updated)
            case Patch():
                known = self.cache(action.resource).get(action.namespace, action.name)
                if known is not None and uid_of(known) == action.uid:
                    self.put(action.resource, merged(known, action.patch))
            case Adopt():
                references = [*(action.obj["metadata"].get("ownerReferences") or ()), action.reference]
                self.put(action.resource, merged(action.obj, {"metadata": {"ownerReferences": references}}))
            case Emit():
                self.events.append(action)
            case LookAgain():
                self.look_again_s = action.after_s
            case Retry() | DeleteCollection():
                pass

    def _follow(self, actions: Sequence[Action]) -> None:
        for action in actions:
            self.apply(action)

    @property
    def told(self) -> list[str]:
        """The events, as `Reason: message`."""
        return [f"{event.reason}: {event.message}" for event in self.events]


def merged(obj: Any, change: Any) -> Any:
    """A JSON merge patch (RFC 7396)."""
    if not isinstance(change, dict):
        return change
    result = dict(obj) if isinstance(obj, dict) else {}
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def build_pod(name: str, **changes: Any) -> Object:
    """A running, ready pod on node `n1`; `changes` replace: labels, ready, phase, ip, node, deleting, owner, annotations."""
    ready = changes.get("ready", True)
    metadata: Object = {"name": name, "namespace": "default", "labels": changes.get("labels", {"app": "web"})}
    metadata["uid"] = changes.get("uid", f"uid-{name}")
    if changes.get("annotations"):
        metadata["annotations"] = changes["annotations"]
    if changes.get("owner"):
        metadata["ownerReferences"] = [changes["owner"]]
    if changes.get("deleting"):
        metadata["deletionTimestamp"] = rfc3339(EPOCH)
    ready_condition = {"type": "Ready", "status": "True" if ready else "False"}
    ready_condition["lastTransitionTime"] = changes.get("ready_since", rfc3339(EPOCH))
    status: Object = {"phase": changes.get("phase", "Running"), "conditions": [ready_condition]}
    ip = changes.get("ip", "10.244.0.5")
    if ip:
        status |= {"podIP": ip, "podIPs": [{"ip": ip}]}
    ports = changes.get("ports", [{"name": "http", "containerPort": 8080, "protocol": "TCP"}])
    spec: Object = {"containers": [{"name": "c", "image": "i", "ports": ports}]}
    if changes.get("node", "n1"):
        spec["nodeName"] = changes.get("node", "n1")
    if "tolerations" in changes:
        spec["tolerations"] = changes["tolerations"]
    metadata.setdefault("creationTimestamp", rfc3339(EPOCH))
    return {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": spec, "status": status}


@pytest.fixture(name="World", scope="session")
def world_class() -> type[World]:
    return World


@pytest.fixture(name="pod", scope="session")
def pod_builder() -> Any:
    return build_pod
