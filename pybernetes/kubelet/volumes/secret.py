"""`secret`: the keys of a Secret as files in memory (never on disk), following its changes."""

from __future__ import annotations

import base64
from pathlib import Path

from pybernetes.kubelet.volumes.atomic_writer import File, write_atomically
from pybernetes.kubelet.volumes.config_map import DEFAULT_MODE, select
from pybernetes.kubelet.volumes.interface import Context, Kind, VolumeError
from pybernetes.kubelet.volumes.mounts import mount_tmpfs
from pybernetes.machinery.meta import Object


async def files_of(context: Context, source: Object, default_mode: int) -> dict[str, File]:
    name = source.get("secretName") or source.get("name", "")  # the latter in projected volumes
    found = await context.objects.secret(context.pod["metadata"]["namespace"], name)
    if found is None:
        if source.get("optional"):
            return {}
        raise VolumeError(f'secret "{name}" not found')
    data = {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}
    return select(data, source, default_mode, f'secret "{name}"')


async def set_up(context: Context, volume: Object, directory: Path) -> Path:
    source = volume["secret"]
    mode = source.get("defaultMode")
    files = await files_of(context, source, DEFAULT_MODE if mode is None else mode)
    directory.mkdir(parents=True, exist_ok=True, mode=0o755)
    mount_tmpfs(directory)
    write_atomically(directory, files, context.version, fs_group=context.fs_group)
    return directory


KIND = Kind("secret", "kubernetes.io~secret", set_up, refreshed=True, read_only=True)
