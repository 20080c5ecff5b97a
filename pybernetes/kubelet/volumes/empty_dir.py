"""`emptyDir`: an empty directory that lives as long as the pod, on disk or (medium Memory) on a tmpfs."""

from __future__ import annotations

import os
from pathlib import Path

from pybernetes.kubelet.volumes.interface import Context, Files, Kind, VolumeError, nothing
from pybernetes.kubelet.volumes.mounts import mount_tmpfs
from pybernetes.machinery.meta import Object
from pybernetes.machinery.quantity import parse


def write(context: Context, volume: Object, directory: Path, files: Files) -> Path:
    source = volume.get("emptyDir") or {}
    medium = source.get("medium", "")
    directory.mkdir(parents=True, exist_ok=True)
    if medium == "Memory":
        limit = source.get("sizeLimit")
        mount_tmpfs(directory, size_bytes=parse(limit).value if limit else 0, mode="0777")
    elif medium:
        raise VolumeError(f"emptyDir medium {medium} is not supported by this kubelet yet")
    if context.fs_group is None:
        os.chmod(directory, 0o777)
    elif directory.stat().st_gid != context.fs_group:
        os.chown(directory, -1, context.fs_group)
        os.chmod(directory, 0o2777)
    return directory


KIND = Kind("emptyDir", "kubernetes.io~empty-dir", nothing, write)
