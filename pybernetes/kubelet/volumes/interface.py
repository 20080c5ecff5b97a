"""What a volume kind is: two functions, one that asks the API for the content, one that puts it
on the node; both may be called again and again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from pybernetes.kubelet.volumes.atomic_writer import File, write_atomically
from pybernetes.kubelet.volumes.mounts import mount_tmpfs
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


Files: TypeAlias = Mapping[str, File]
# (context, the volume's entry in the spec) -> the files that it is to hold: all that must be asked of the API
Collect = Callable[[Context, Object], Awaitable[Files]]
# (context, the entry, its directory on the node, the files) -> the path to mount into containers; quick, no waiting
Write = Callable[[Context, Object, Path, Files], Path]


async def nothing(context: Context, volume: Object) -> Files:
    """`Collect` of a kind that asks nothing of the API."""
    return {}


def write_to_disk(context: Context, volume: Object, directory: Path, files: Files) -> Path:
    directory.mkdir(parents=True, exist_ok=True, mode=0o755)
    write_atomically(directory, files, context.version, fs_group=context.fs_group)
    return directory


def write_to_memory(context: Context, volume: Object, directory: Path, files: Files) -> Path:
    """On a tmpfs: what is secret never reaches a disk."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o755)
    mount_tmpfs(directory)
    write_atomically(directory, files, context.version, fs_group=context.fs_group)
    return directory


@dataclass(frozen=True, slots=True)
class Kind:
    """`field` is the name in VolumeSource, `plugin` the directory below `volumes/` (upstream's, escaped)."""

    field: str
    plugin: str
    collect: Collect
    write: Write
    refreshed: bool = False  # its content follows the API, so it is made again now and then
    read_only: bool = False  # containers may not write to it
