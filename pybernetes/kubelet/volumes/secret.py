"""`secret`: the keys of a Secret as files in memory (never on disk), following its changes."""

from __future__ import annotations

import base64

from pybernetes.kubelet.volumes.atomic_writer import File
from pybernetes.kubelet.volumes.config_map import DEFAULT_MODE, select
from pybernetes.kubelet.volumes.interface import Context, Files, Kind, VolumeError, write_to_memory
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


async def collect(context: Context, volume: Object) -> Files:
    source = volume["secret"]
    mode = source.get("defaultMode")
    return await files_of(context, source, DEFAULT_MODE if mode is None else mode)


KIND = Kind("secret", "kubernetes.io~secret", collect, write_to_memory, refreshed=True, read_only=True)
