"""`projected`: ConfigMaps, Secrets, downward API and service-account tokens in one directory, in memory."""

from __future__ import annotations

from pybernetes.kubelet.volumes import config_map, downward_api, secret
from pybernetes.kubelet.volumes.atomic_writer import File
from pybernetes.kubelet.volumes.interface import Context, Files, Kind, VolumeError, write_to_memory
from pybernetes.machinery.meta import Object

TOKEN_EXPIRATION_S = 3600


async def files_of(context: Context, source: Object) -> dict[str, File]:
    mode = source.get("defaultMode")
    default_mode = config_map.DEFAULT_MODE if mode is None else mode
    files: dict[str, File] = {}
    for entry in source.get("sources") or ():
        if "configMap" in entry:
            files.update(await config_map.files_of(context, entry["configMap"], default_mode))
        elif "secret" in entry:
            files.update(await secret.files_of(context, entry["secret"], default_mode))
        elif "downwardAPI" in entry:
            files.update(downward_api.files_of(context, entry["downwardAPI"], default_mode))
        elif "serviceAccountToken" in entry:
            files.update(await _token(context, entry["serviceAccountToken"], default_mode))
        else:
            raise VolumeError(f"projected source {', '.join(entry)} is not supported by this kubelet yet")
    return files


async def _token(context: Context, source: Object, default_mode: int) -> dict[str, File]:
    token = await context.tokens.token(
        context.pod, source.get("audience", ""), source.get("expirationSeconds") or TOKEN_EXPIRATION_S
    )
    # KEP-2451: readable by the pod's group or by its one user alone where there is such, else by everyone in the pod.
    if context.fs_group is not None:
        return {source["path"]: File(token.encode(), 0o600)}
    if context.fs_user is not None:
        return {source["path"]: File(token.encode(), 0o600, context.fs_user)}
    return {source["path"]: File(token.encode(), default_mode)}


async def collect(context: Context, volume: Object) -> Files:
    return await files_of(context, volume["projected"])


KIND = Kind("projected", "kubernetes.io~projected", collect, write_to_memory, refreshed=True, read_only=True)
