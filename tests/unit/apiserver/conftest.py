"""A cluster in a dict, and a clock that stands still."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from datetime import UTC, datetime, timedelta

import pytest

from pybernetes.apiserver.authorization import Chain, Options, of_modes
from pybernetes.machinery import errors
from pybernetes.machinery.entropy import SeededEntropy
from pybernetes.machinery.meta import Object, Resource, name_of, namespace_of


class FakeCluster:
    """`Reader` and `Writer` over a dict."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.revision = 0
        self.generations: dict[str, int] = {}
        self.writes: list[tuple[str, str, str]] = []  # (verb, plural, name)

    def put(self, resource: Resource, obj: Object) -> Object:
        """As if it had always been there."""
        self.revision += 1
        self.generations[resource.group_resource] = self.revision
        stored = {"apiVersion": resource.api_version, "kind": resource.kind, **deepcopy(obj)}
        metadata = stored["metadata"]
        metadata.setdefault("uid", f"uid-of-{name_of(stored)}")
        metadata["resourceVersion"] = str(self.revision)
        self.objects[resource.group_resource, namespace_of(stored), name_of(stored)] = stored
        return stored

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return self.objects.get((resource.group_resource, namespace, name))

    def list(self, resource: Resource, namespace: str = "") -> Sequence[Object]:
        keys = sorted(key for key in self.objects if key[0] == resource.group_resource and namespace in ("", key[1]))
        return [self.objects[key] for key in keys]

    def generation(self, resource: Resource) -> int:
        return self.generations.get(resource.group_resource, 0)

    async def create(self, resource: Resource, obj: Object) -> Object:
        if self.get(resource, namespace_of(obj), name_of(obj)) is not None:
            raise errors.already_exists(resource.group, resource.plural, name_of(obj))
        self.writes.append(("create", resource.plural, name_of(obj)))
        return self.put(resource, obj)

    async def update(self, resource: Resource, obj: Object) -> Object:
        current = self.get(resource, namespace_of(obj), name_of(obj))
        if current is None:
            raise errors.not_found(resource.group, resource.plural, name_of(obj))
        if obj["metadata"].get("resourceVersion") != current["metadata"]["resourceVersion"]:
            raise errors.conflict(resource.group, resource.plural, name_of(obj), "it was changed")
        self.writes.append(("update", resource.plural, name_of(obj)))
        return self.put(resource, obj)

    async def delete(self, resource: Resource, namespace: str, name: str) -> None:
        self.writes.append(("delete", resource.plural, name))
        self.objects.pop((resource.group_resource, namespace, name), None)
        self.revision += 1
        self.generations[resource.group_resource] = self.revision


class FakeClock:
    """Time passes only when told to, or slept."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 21, 10, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)

    async def sleep(self, delay_s: float) -> None:
        self.advance(delay_s)


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def entropy() -> SeededEntropy:
    return SeededEntropy(7)


@pytest.fixture
def authorizing(cluster: FakeCluster, clock: FakeClock, entropy: SeededEntropy) -> Callable[..., Chain]:
    """Makes the authorizer of some modes."""
    return lambda *modes: Chain(Options(of_modes(modes)), cluster, clock=clock, entropy=entropy)
