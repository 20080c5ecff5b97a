"""`subPath`: mount one file or directory of a volume, without following a link out of the volume (CVE-2017-1002101).

The container's owner may write to the volume and race us with links. So the resolved path is opened one component at a time
without following links, checked to be inside the volume, and the *opened* thing is bind mounted; the runtime gets that mount.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pybernetes.kubelet.volumes.interface import VolumeError
from pybernetes.kubelet.volumes.mounts import MS_BIND, MS_REC, mount


def bind(volume: Path, sub_path: str, target: Path, *, read_only_volume: bool) -> Path:
    """Bind `volume/sub_path` to `target` and return it. A missing directory is made, unless the volume is read-only."""
    if os.path.isabs(sub_path) or ".." in sub_path.split("/"):
        raise VolumeError(f"invalid subPath: {sub_path}")
    root = os.path.realpath(volume)
    if not os.path.exists(os.path.join(root, sub_path)) and not read_only_volume:
        _make_below(root, sub_path)
    resolved = os.path.realpath(os.path.join(root, sub_path))
    if resolved != root and not resolved.startswith(root + os.sep):
        raise VolumeError(f"failed to prepare subPath for volumeMount: {sub_path} leads out of its volume")
    handle = _open_below(root, os.path.relpath(resolved, root))
    try:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch()
        mount(f"/proc/self/fd/{handle}", str(target), flags=MS_BIND | MS_REC)
    finally:
        os.close(handle)
    return target


def _open_below(root: str, relative: str) -> int:
    handle = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        for part in [] if relative == "." else relative.split(os.sep):
            inner = os.open(part, os.O_PATH | os.O_NOFOLLOW, dir_fd=handle)
            os.close(handle)
            handle = inner
            if stat.S_ISLNK(os.fstat(handle).st_mode):
                raise VolumeError(f"failed to prepare subPath for volumeMount: {relative} became a link")
    except BaseException as error:
        os.close(handle)
        if isinstance(error, OSError):
            raise VolumeError(f"failed to prepare subPath for volumeMount: {relative}: {error.strerror}") from None
        raise
    return handle


def _make_below(root: str, relative: str) -> None:
    mode = stat.S_IMODE(os.stat(root).st_mode)
    owner = os.stat(root)
    handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in relative.strip("/").split("/"):
            if part in ("", "."):
                continue
            try:
                os.mkdir(part, dir_fd=handle)
                os.chmod(part, mode, dir_fd=handle)
                os.chown(part, owner.st_uid, owner.st_gid, dir_fd=handle, follow_symlinks=False)
            except FileExistsError:
                pass
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY, dir_fd=handle)
            os.close(handle)
            handle = inner
    except OSError as error:
        raise VolumeError(f"failed to create subPath directory for volumeMount: {relative}: {error.strerror}") from None
    finally:
        os.close(handle)
