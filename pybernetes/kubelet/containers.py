"""Start and kill the containers of a pod: the effects that `pod_actions` asks for."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from pybernetes.kubelet import observed
from pybernetes.kubelet.container_config import TERMINATION_PATH, Node, container_config, volume_mount
from pybernetes.kubelet.cri import runtime_pb2 as api
from pybernetes.kubelet.cri.client import RuntimeFailed, RuntimeNotFound
from pybernetes.kubelet.dns import hosts_file
from pybernetes.kubelet.environment import ConfigError, environment, expand
from pybernetes.kubelet.hooks import HookFailed, run_hook
from pybernetes.kubelet.object_cache import references
from pybernetes.kubelet.observed import ContainerSeen, PodSeen
from pybernetes.kubelet.sandbox_config import log_directory
from pybernetes.kubelet.shared import Shared, container_spec
from pybernetes.kubelet.volumes.interface import VolumeError
from pybernetes.kubelet.volumes.manager import MountedVolume
from pybernetes.kubelet.volumes.sub_path import bind
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object, key_of, uid_of
from pybernetes.machinery.pod_resources import is_sidecar
from pybernetes.machinery.resources import CONFIG_MAPS

log = logger("kubelet.containers")

GRACE_MIN_S = 2  # after a preStop hook has used up the grace period
POST_START_LIMIT_S = 600.0


class StartFailed(Exception):
    """The container was not started. `reason` and `str()` are what its waiting state says."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class _Fetched:
    """`environment.Objects`: what was fetched before."""

    def __init__(self, config_maps: Mapping[str, Object | None], secrets: Mapping[str, Object | None]) -> None:
        self._config_maps = config_maps
        self._secrets = secrets

    def config_map(self, name: str) -> Object | None:
        return self._config_maps.get(name)

    def secret(self, name: str) -> Object | None:
        return self._secrets.get(name)


async def start_container(
    shared: Shared,
    pod: Object,
    container: Object,
    *,
    image: api.Image,
    sandbox_id: str,
    sandbox_config: api.PodSandboxConfig,
    pod_ips: tuple[str, ...],
    restart_count: int,
    target_id: str = "",
) -> None:
    """Create, start and run the postStart hook. Raises StartFailed, after the event that says why."""
    name = container["name"]

    def failed(reason: str, message: str) -> StartFailed:
        shared.container_event(pod, name, "Warning", "Failed", f"Error: {message}")
        return StartFailed(reason, message)

    configuration = shared.configuration
    try:
        env = await _environment(shared, pod, container, pod_ips)
        mounts = _mounts(shared, pod, container, env, pod_ips, restart_count)
        node = Node(
            shared.node.memory_bytes,
            shared.node.seccomp_supported,
            shared.root,
            configuration.cpu_cfs_quota_period_us,
            configuration.cpu_cfs_quota,
        )
        config = container_config(
            pod,
            container,
            node=node,
            image=image,
            restart_count=restart_count,
            env=env,
            mounts=mounts,
            target_id=target_id,
        )
    except (ConfigError, VolumeError, OSError) as error:
        raise failed("CreateContainerConfigError", str(error)) from error
    os.makedirs(log_directory(configuration.pod_logs_dir, pod) / name, mode=0o755, exist_ok=True)
    try:
        container_id = await shared.runtime.create_container(sandbox_id, config, sandbox_config)
    except RuntimeFailed as error:
        raise failed("CreateContainerError", str(error)) from error
    shared.container_event(pod, name, "Normal", "Created", f"Created container: {name}")
    try:
        await shared.runtime.start_container(container_id)
    except RuntimeFailed as error:
        raise failed("RunContainerError", str(error)) from error
    shared.container_event(pod, name, "Normal", "Started", f"Started container {name}")
    hook = (container.get("lifecycle") or {}).get("postStart")
    if hook:
        await _post_start(shared, pod, container, container_id, hook, pod_ips)


async def _post_start(
    shared: Shared, pod: Object, container: Object, container_id: str, hook: Object, pod_ips: tuple[str, ...]
) -> None:
    name = container["name"]
    try:
        await run_hook(
            hook,
            runtime=shared.runtime,
            container_id=container_id,
            container=container,
            pod_ip=pod_ips[0] if pod_ips else "",
            timeout_s=POST_START_LIMIT_S,
            clock=shared.clock,
        )
    except HookFailed as error:
        log.warning("PostStart hook failed", pod=key_of(pod), container=name, error=str(error))
        shared.container_event(pod, name, "Warning", "FailedPostStartHook", "PostStartHook failed")
        shared.container_event(pod, name, "Normal", "Killing", "FailedPostStartHook")
        try:
            await shared.runtime.stop_container(container_id, GRACE_MIN_S)
        except RuntimeFailed:
            log.debug("Cannot stop a container whose hook failed", pod=key_of(pod), container=name)
        raise StartFailed("PostStartHookError", f"PostStartHook failed: {error}") from error


async def _environment(shared: Shared, pod: Object, container: Object, pod_ips: tuple[str, ...]) -> dict[str, str]:
    alone = {"metadata": pod["metadata"], "spec": {"containers": [container]}}
    wanted = sorted(references(alone), key=lambda key: (key[0].plural, key[2]))
    namespace = pod["metadata"]["namespace"]
    values = await asyncio.gather(
        *(
            shared.objects.config_map(namespace, name) if resource is CONFIG_MAPS else shared.objects.secret(namespace, name)
            for resource, _, name in wanted
        )
    )
    found = list(zip(wanted, values, strict=True))
    objects = _Fetched(
        {key[2]: value for key, value in found if key[0] is CONFIG_MAPS},
        {key[2]: value for key, value in found if key[0] is not CONFIG_MAPS},
    )
    links = pod["spec"].get("enableServiceLinks", True)
    services = [
        service
        for service in shared.services_in(namespace)
        if links or (service["metadata"]["name"] == "kubernetes" and service["metadata"]["namespace"] == "default")
    ]
    return environment(
        pod,
        container,
        services=services,
        objects=objects,
        pod_ips=pod_ips,
        host_ips=shared.node.host_ips,
        allocatable=shared.node.allocatable,
    )


def _mounts(
    shared: Shared,
    pod: Object,
    container: Object,
    env: Mapping[str, str],
    pod_ips: tuple[str, ...],
    restart_count: int,
) -> list[api.Mount]:
    uid, name = uid_of(pod), container["name"]
    directory = shared.volumes.pod_directory(uid)
    volumes = shared.volumes.mounted(uid) or {}
    mounts = [
        _volume_mount(directory, name, index, mount, volumes, env)
        for index, mount in enumerate(container.get("volumeMounts") or ())
    ]
    taken = {mount.container_path for mount in mounts}
    if "/etc/hosts" not in taken:
        hosts = directory / "etc-hosts"
        node_hosts = _read(Path("/etc/hosts")) if pod["spec"].get("hostNetwork") else ""
        text = hosts_file(pod, pod_ips, shared.configuration.cluster_domain, node_hosts=node_hosts)
        if _read(hosts) != text:
            hosts.write_text(text)
        mounts.append(api.Mount(container_path="/etc/hosts", host_path=str(hosts)))
    path = container.get("terminationMessagePath") or TERMINATION_PATH
    if path not in taken:
        place = directory / "containers" / name / str(restart_count)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"")
        os.chmod(place, 0o666)  # whichever user the container runs as
        mounts.append(api.Mount(container_path=path, host_path=str(place)))
    return mounts


def _volume_mount(
    pod_directory: Path,
    container_name: str,
    index: int,
    mount: Object,
    volumes: Mapping[str, MountedVolume],
    env: Mapping[str, str],
) -> api.Mount:
    volume = volumes.get(mount["name"])
    if volume is None:
        raise ConfigError(f"cannot find volume {mount['name']!r} to mount into container {container_name!r}")
    path = volume.path
    sub_path = mount.get("subPath") or ""
    if mount.get("subPathExpr"):
        sub_path = expand(mount["subPathExpr"], env)
        if "$(" in sub_path:
            raise ConfigError(f"failed to expand subPath expression {mount['subPathExpr']!r}")
    if sub_path:
        target = pod_directory / "volume-subpaths" / mount["name"] / container_name / str(index)
        path = bind(path, sub_path, target, read_only_volume=volume.read_only)
    return volume_mount(mount, str(path), read_only_volume=volume.read_only)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


# Killing


async def kill_container(
    shared: Shared, pod: Object | None, container: ContainerSeen, *, grace_s: int, message: str, pod_ips: Sequence[str] = ()
) -> None:
    """preStop hook, SIGTERM, then SIGKILL when `grace_s` is over; returns once it has stopped.

    `pod` is None for one that the API does not know any more: its hook is read from the container's annotations.
    """
    spec = container_spec(pod, container.name) if pod else None
    if pod is not None:
        shared.container_event(pod, container.name, "Normal", "Killing", message)
    began = shared.clock.monotonic()
    hook = ((spec or {}).get("lifecycle") or {}).get("preStop")
    if spec is None and observed.ANNOTATION_PRE_STOP in container.annotations:
        hook = orjson.loads(container.annotations[observed.ANNOTATION_PRE_STOP])
    if hook and grace_s > 0:
        try:
            await run_hook(
                hook,
                runtime=shared.runtime,
                container_id=container.id,
                container=spec or {"name": container.name},
                pod_ip=pod_ips[0] if pod_ips else "",
                timeout_s=grace_s,
                clock=shared.clock,
            )
        except HookFailed as error:
            log.warning("PreStop hook failed", container=container.name, error=str(error))
            if pod is not None:
                shared.container_event(pod, container.name, "Warning", "FailedPreStopHook", "PreStopHook failed")
    left_s = max(grace_s - int(shared.clock.monotonic() - began), min(grace_s, GRACE_MIN_S))
    try:
        await shared.runtime.stop_container(container.id, left_s)
    except RuntimeNotFound:
        pass


async def kill_pod(shared: Shared, pod: Object | None, seen: PodSeen, *, grace_s: int) -> None:
    """All running containers, sidecars last and in reverse order (KEP-753), then the sandboxes."""
    began = shared.clock.monotonic()
    sidecars = [c["name"] for c in (pod["spec"].get("initContainers") or () if pod else ()) if is_sidecar(c)]
    pod_ips = seen.sandbox.ips if seen.sandbox else ()

    async def kill(container: ContainerSeen) -> None:
        left_s = max(grace_s - int(shared.clock.monotonic() - began), 0)
        message = f"Stopping container {container.name}"
        await kill_container(shared, pod, container, grace_s=left_s, message=message, pod_ips=pod_ips)

    async with asyncio.TaskGroup() as tasks:
        for container in seen.running:
            if container.name not in sidecars:
                tasks.create_task(kill(container))
    for name in reversed(sidecars):
        for container in seen.running:
            if container.name == name:
                await kill(container)
    for sandbox in seen.sandboxes:  # those not ready too: after a reboot, they still hold their address
        try:
            await shared.runtime.stop_sandbox(sandbox.id)
        except RuntimeNotFound:
            pass
