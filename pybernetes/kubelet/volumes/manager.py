"""All volumes of a pod: made before its containers, followed while it lives, removed when it is gone."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pybernetes.client.transport import ConnectionFailed
from pybernetes.kubelet.volumes import config_map, downward_api, empty_dir, host_path, projected, secret
from pybernetes.kubelet.volumes.interface import Context, Kind, ObjectSource, TokenSource, VolumeError
from pybernetes.kubelet.volumes.mounts import unmount_below
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import Object, uid_of
from pybernetes.machinery.quantity import Quantity

KINDS: tuple[Kind, ...] = (
    config_map.KIND,
    secret.KIND,
    projected.KIND,
    downward_api.KIND,
    empty_dir.KIND,
    host_path.KIND,
)
_BY_FIELD = {kind.field: kind for kind in KINDS}


class MountFailed(VolumeError):
    """At least one volume of the pod cannot be made. `reason` is the event's."""

    reason = "FailedMount"


@dataclass(frozen=True, slots=True)
class MountedVolume:
    path: Path
    read_only: bool


class VolumeManager:
    """`root` is the kubelet's root directory; a pod's volumes live below `pods/<uid>/volumes/<plugin>/<name>`."""

    def __init__(self, root: Path, *, objects: ObjectSource, tokens: TokenSource, clock: Clock) -> None:
        self._root = root
        self._objects = objects
        self._tokens = tokens
        self._clock = clock
        self._count = 0
        self._mounted: dict[str, dict[str, MountedVolume]] = {}  # by pod uid, then volume name

    def pod_directory(self, uid: str) -> Path:
        return self._root / "pods" / uid

    def mounted(self, uid: str) -> Mapping[str, MountedVolume] | None:
        """What set_up made; None before it has."""
        return self._mounted.get(uid)

    async def set_up(
        self,
        pod: Object,
        *,
        host_ips: tuple[str, ...] = (),
        pod_ips: tuple[str, ...] = (),
        allocatable: Mapping[str, Quantity] | None = None,
        refresh: bool = False,
    ) -> Mapping[str, MountedVolume]:
        """Make (or with `refresh`, bring up to date) all volumes, at the same time. Raises MountFailed."""
        context = self._context(pod, host_ips, pod_ips, allocatable)
        uid = uid_of(pod)
        done = dict(self._mounted.get(uid) or {})
        todo = []
        for volume in pod["spec"].get("volumes") or ():
            kind = _kind_of(volume)
            if kind is None or kind.refreshed or not refresh or volume["name"] not in done:
                todo.append((volume, kind))
        results = await asyncio.gather(*(self._one(context, volume, kind) for volume, kind in todo), return_exceptions=True)
        problems = []
        for (volume, kind), result in zip(todo, results, strict=True):
            if isinstance(result, Path):
                done[volume["name"]] = MountedVolume(result, kind is not None and kind.read_only)
            elif isinstance(result, VolumeError | OSError | StatusError):
                text = result.strerror if isinstance(result, OSError) and result.strerror else str(result)
                problems.append(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {text}')
            else:
                raise result
        if problems:
            raise MountFailed("; ".join(problems))
        self._mounted[uid] = done
        return done

    async def _one(self, context: Context, volume: Object, kind: Kind | None) -> Path:
        if kind is None:
            source = next((field for field in volume if field != "name"), "")
            raise VolumeError(f"volumes of kind {source} are not supported by this kubelet yet")
        directory = self.pod_directory(uid_of(context.pod)) / "volumes" / kind.plugin / volume["name"]
        try:
            files = await kind.collect(context, volume)
            return kind.write(context, volume, directory, files)
        except ConnectionFailed as error:
            raise VolumeError(f"the API server cannot be reached: {error}") from error

    def _context(
        self, pod: Object, host_ips: tuple[str, ...], pod_ips: tuple[str, ...], allocatable: Mapping[str, Quantity] | None
    ) -> Context:
        self._count += 1
        security = pod["spec"].get("securityContext") or {}
        containers = [*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or ())]
        users = {(c.get("securityContext") or {}).get("runAsUser", security.get("runAsUser")) for c in containers}
        return Context(
            pod=pod,
            objects=self._objects,
            tokens=self._tokens,
            version=f"{self._clock.now():%Y_%m_%d_%H_%M_%S.%f}{self._count}",
            host_ips=host_ips,
            pod_ips=pod_ips,
            allocatable=allocatable,
            fs_group=security.get("fsGroup"),
            fs_user=users.pop() if len(users) == 1 else None,
        )

    async def tear_down(self, uid: str) -> None:
        """Unmount and remove everything of the pod below the root directory. Idempotent."""
        self._mounted.pop(uid, None)
        directory = self.pod_directory(uid)

        def remove() -> None:
            if directory.exists():
                unmount_below(directory)
                shutil.rmtree(directory, ignore_errors=True)

        await asyncio.to_thread(remove)

    def pod_uids(self) -> set[str]:
        """Of the pods that have a directory here."""
        pods = self._root / "pods"
        return {entry.name for entry in pods.iterdir()} if pods.is_dir() else set()


def _kind_of(volume: Object) -> Kind | None:
    """None for a kind that is not supported; a volume without a source is an emptyDir."""
    fields = [field for field in volume if field != "name"]
    if not fields:
        return empty_dir.KIND
    return next((_BY_FIELD[field] for field in fields if field in _BY_FIELD), None)
