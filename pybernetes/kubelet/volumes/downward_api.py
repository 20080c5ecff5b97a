"""`downwardAPI`: fields of the pod as files; labels and annotations follow their changes."""

from __future__ import annotations

from pybernetes.kubelet.environment import ConfigError, field_value, resource_value
from pybernetes.kubelet.volumes.atomic_writer import File
from pybernetes.kubelet.volumes.config_map import DEFAULT_MODE
from pybernetes.kubelet.volumes.interface import Context, Files, Kind, VolumeError, write_to_memory
from pybernetes.machinery.meta import Object


def files_of(context: Context, source: Object, default_mode: int) -> dict[str, File]:
    files = {}
    for item in source.get("items") or ():
        try:
            if "fieldRef" in item:
                text = field_value(
                    context.pod, item["fieldRef"]["fieldPath"], pod_ips=context.pod_ips, host_ips=context.host_ips
                )
            else:
                text = resource_value(context.pod, item["resourceFieldRef"], None, context.allocatable or {})
        except ConfigError as error:
            raise VolumeError(str(error)) from None
        files[item["path"]] = File(text.encode(), item["mode"] if item.get("mode") is not None else default_mode)
    return files


async def collect(context: Context, volume: Object) -> Files:
    source = volume["downwardAPI"]
    mode = source.get("defaultMode")
    return files_of(context, source, DEFAULT_MODE if mode is None else mode)


KIND = Kind("downwardAPI", "kubernetes.io~downward-api", collect, write_to_memory, refreshed=True, read_only=True)
