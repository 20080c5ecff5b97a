"""Objects and what names them: group-version-kinds, resources, and readers of `metadata`.

Objects are the plain JSON dicts of the wire. The helpers here read the fields every kind has (API conventions,
"Metadata"); except for `clone`, they never copy.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias, TypeVar

import orjson

Object: TypeAlias = dict[str, Any]

_Json = TypeVar("_Json")


class GroupVersionKind(NamedTuple):
    """What an object says it is. The core group is ""."""

    group: str
    version: str
    kind: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """A resource as discovery describes it: enough to build its URLs, and nothing about its behaviour."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: frozenset[str] = field(default=frozenset())
    _hash: int = field(init=False, repr=False)

    # The generated ones would look at ten fields each time, and resources are keys and are compared on hot paths.

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.group, self.version, self.plural)))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Resource) or self.plural != other.plural:
            return False
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def gvk(self) -> GroupVersionKind:
        return GroupVersionKind(self.group, self.version, self.kind)

    @property
    def group_resource(self) -> str:
        """`deployments.apps`, `pods`: how messages and RBAC name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def base_path(self) -> str:
        """`/api/v1` or `/apis/<group>/<version>`."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path; an empty namespace means all of them (or a cluster-scoped resource)."""
        parts = [self.base_path]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name:
            parts.append(name)
            if subresource:
                parts.append(subresource)
        return "/".join(parts)


def clone(value: _Json) -> _Json:
    """A copy of a JSON value that shares nothing with it; many times faster than `copy.deepcopy`.

    Raises TypeError for what is no JSON, nests deeper than 254 levels, or holds integers of more than 64 bits.
    """
    copied: _Json = orjson.loads(orjson.dumps(value))
    return copied


def parse_api_version(api_version: str) -> tuple[str, str]:
    """`apps/v1` -> ("apps", "v1"); `v1` -> ("", "v1")."""
    group, _, version = api_version.rpartition("/")
    return group, version


def gvk_of(obj: Object) -> GroupVersionKind:
    group, version = parse_api_version(obj.get("apiVersion", ""))
    return GroupVersionKind(group, version, obj.get("kind", ""))


def name_of(obj: Object) -> str:
    name: str = obj["metadata"].get("name", "")
    return name


def namespace_of(obj: Object) -> str:
    """The namespace, "" for a cluster-scoped object."""
    namespace: str = obj["metadata"].get("namespace", "")
    return namespace


def uid_of(obj: Object) -> str:
    uid: str = obj["metadata"].get("uid", "")
    return uid


def labels_of(obj: Object) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}


def annotations_of(obj: Object) -> dict[str, str]:
    return obj["metadata"].get("annotations") or {}


def is_being_deleted(obj: Object) -> bool:
    return "deletionTimestamp" in obj["metadata"]


def key_of(obj: Object) -> str:
    """`namespace/name`, or `name` alone: the key of caches, queues and logs."""
    namespace = namespace_of(obj)
    return f"{namespace}/{name_of(obj)}" if namespace else name_of(obj)


def split_key(key: str) -> tuple[str, str]:
    """The inverse of `key_of`: (namespace, name)."""
    namespace, _, name = key.rpartition("/")
    return namespace, name


def controller_of(obj: Object) -> Object | None:
    """The owner reference with `controller: true`, if there is one."""
    for reference in obj["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            return reference  # type: ignore[no-any-return]
    return None


def controller_reference(owner: Object, gvk: GroupVersionKind) -> Object:
    """The reference that makes `owner` the managing controller. Lists drop kind and apiVersion, hence `gvk`."""
    return {
        "apiVersion": gvk.api_version,
        "kind": gvk.kind,
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def condition(conditions: Iterable[Object] | None, type_: str) -> Object | None:
    """The condition of that type in a status's `conditions`, if present."""
    for candidate in conditions or ():
        if candidate.get("type") == type_:
            return candidate
    return None
