"""`configMap`: the keys of a ConfigMap as files, following its changes."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from pybernetes.kubelet.volumes.atomic_writer import File
from pybernetes.kubelet.volumes.interface import Context, Files, Kind, VolumeError, write_to_disk
from pybernetes.machinery.meta import Object

DEFAULT_MODE = 0o644


async def files_of(context: Context, source: Object, default_mode: int) -> dict[str, File]:
    name = source.get("name", "")
    found = await context.objects.config_map(context.pod["metadata"]["namespace"], name)
    if found is None:
        if source.get("optional"):
            return {}
        raise VolumeError(f'configmap "{name}" not found')
    data = {key: value.encode() for key, value in (found.get("data") or {}).items()}
    data.update({key: base64.b64decode(value) for key, value in (found.get("binaryData") or {}).items()})
    return select(data, source, default_mode, f'configmap "{name}"')


def select(data: Mapping[str, bytes], source: Object, default_mode: int, what: str) -> dict[str, File]:
    """The files that `items` asks for, all keys without it."""
    items = source.get("items")
    if not items:
        return {key: File(value, default_mode) for key, value in data.items()}
    files = {}
    for item in items:
        if item["key"] not in data:
            if source.get("optional"):
                continue
            raise VolumeError(f"references non-existent config key: {item['key']} ({what})")
        files[item["path"]] = File(data[item["key"]], item["mode"] if item.get("mode") is not None else default_mode)
    return files


async def collect(context: Context, volume: Object) -> Files:
    source = volume["configMap"]
    mode = source.get("defaultMode")
    return await files_of(context, source, DEFAULT_MODE if mode is None else mode)


KIND = Kind("configMap", "kubernetes.io~configmap", collect, write_to_disk, refreshed=True, read_only=True)
