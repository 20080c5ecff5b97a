"""A cluster's state in a dict, behind the seams that strategies see."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from pybernetes.apiserver.attributes import User
from pybernetes.apiserver.registry.strategy import Context
from pybernetes.machinery.entropy import SeededEntropy
from pybernetes.machinery.errors import already_exists
from pybernetes.machinery.meta import Object, Resource, name_of, namespace_of

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


class World:
    """Reader and Writer in one."""

    def __init__(self) -> None:
        self.objects: dict[tuple[Resource, str, str], Object] = {}
        self.revision = 0

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return self.objects.get((resource, namespace, name))

    def list(self, resource: Resource, namespace: str = "") -> Sequence[Object]:
        return [
            obj for (kind, where, _), obj in sorted(self.objects.items(), key=lambda item: item[0][1:])
            if kind == resource and namespace in ("", where)
        ]  # fmt: skip

    def generation(self, resource: Resource) -> int:
        return self.revision

    def put(self, resource: Resource, obj: Object) -> Object:
        self.revision += 1
        self.objects[resource, namespace_of(obj), name_of(obj)] = obj
        return obj

    async def create(self, resource: Resource, obj: Object) -> Object:
        if (resource, namespace_of(obj), name_of(obj)) in self.objects:
            raise already_exists(resource.group, resource.plural, name_of(obj))
        return self.put(resource, obj)

    async def update(self, resource: Resource, obj: Object) -> Object:
        return self.put(resource, obj)

    async def delete(self, resource: Resource, namespace: str, name: str) -> None:
        self.objects.pop((resource, namespace, name), None)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def context(world: World) -> Context:
    return Context(now=NOW, entropy=SeededEntropy(1), user=User("admin"), reader=world, writer=world)
