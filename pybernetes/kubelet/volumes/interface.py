"""What a volume kind is: a function that makes the volume's content on the node, again and again with the same result."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pybernetes.machinery.meta import Object
from pybernetes.machinery.quantity import Quantity


class VolumeError(Exception):
    """The volume cannot be made (yet); `str()` goes into the FailedMount event."""


class ObjectSource(Protocol):
    """ConfigMaps and Secrets, as fresh as the API server's; None where there is none."""

    async def config_map(self, namespace: str, name: str) -> Object | None: ...

    async def secret(self, namespace: str, name: str) -> Object | None: ...


class TokenSource(Protocol):
    async def token(self, pod: Object, audience: str, expiration_s: int) -> str:
        """A token of the pod's service account, bound to the pod, with enough life left."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """What a kind may use. `fs_group` is the pod's, None if it has none."""

    pod: Object
    objects: ObjectSource
    tokens: TokenSource
    version: str  # names a new content, unique per write (AtomicWriter)
    host_ips: tuple[str, ...] = ()
    pod_ips: tuple[str, ...] = ()
    allocatable: Mapping[str, Quantity] | None = None
    fs_group: int | None = None
    fs_user: int | None = None  # the one user that all containers run as, if there is such


# (context, the volume's entry in the spec, its directory on the node) -> the path to mount into containers
SetUp = Callable[[Context, Object, Path], Awaitable[Path]]


@dataclass(frozen=True, slots=True)
class Kind:
    """`field` is the name in VolumeSource, `plugin` the directory below `volumes/` (upstream's, escaped)."""

    field: str
    plugin: str
    set_up: SetUp
    refreshed: bool = False  # its content follows the API, so it is made again now and then
    read_only: bool = False  # containers may not write to it
