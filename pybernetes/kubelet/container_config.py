"""A container's spec as the CRI's ContainerConfig."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from pybernetes.kubelet import observed
from pybernetes.kubelet.cgroups import oom_score_adj, quota_us, shares
from pybernetes.kubelet.cri import runtime_pb2 as api
from pybernetes.kubelet.environment import ConfigError, expand
from pybernetes.kubelet.sandbox_config import namespace_options, seccomp_profile, supplemental_groups
from pybernetes.machinery.meta import Object, name_of, namespace_of, uid_of
from pybernetes.machinery.quantity import parse

# What a container may not see or write of /proc and /sys unless its procMount is Unmasked.
MASKED_PATHS = (
    "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
    "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
)  # fmt: skip
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
PROPAGATIONS = {
    "HostToContainer": api.PROPAGATION_HOST_TO_CONTAINER,
    "Bidirectional": api.PROPAGATION_BIDIRECTIONAL,
}
TERMINATION_PATH = "/dev/termination-log"


@dataclass(frozen=True, slots=True)
class Node:
    """What of the node goes into every container."""

    memory_bytes: int
    seccomp_supported: bool
    root: Path
    cpu_period_us: int = 100_000
    cpu_quota: bool = True


def container_config(
    pod: Object,
    container: Object,
    *,
    node: Node,
    image: api.Image,
    restart_count: int,
    env: Mapping[str, str],
    mounts: Sequence[api.Mount],
    target_id: str = "",
) -> api.ContainerConfig:
    """Raises ConfigError (a container that must not run as root would, say). `target_id`: see `targetContainerName`."""
    spec, name = pod["spec"], container["name"]
    annotations = {
        observed.ANNOTATION_HASH: observed.container_hash(container),
        observed.ANNOTATION_RESTART_COUNT: str(restart_count),
        observed.ANNOTATION_TERMINATION_PATH: container.get("terminationMessagePath") or TERMINATION_PATH,
        observed.ANNOTATION_TERMINATION_POLICY: container.get("terminationMessagePolicy") or "File",
        observed.ANNOTATION_GRACE_PERIOD: str(spec.get("terminationGracePeriodSeconds", 30)),
    }
    pre_stop = (container.get("lifecycle") or {}).get("preStop")
    if pre_stop:
        annotations[observed.ANNOTATION_PRE_STOP] = orjson.dumps(pre_stop).decode()
    return api.ContainerConfig(
        metadata=api.ContainerMetadata(name=name, attempt=restart_count),
        image=api.ImageSpec(image=image.id),
        command=[expand(word, env) for word in container.get("command") or ()],
        args=[expand(word, env) for word in container.get("args") or ()],
        working_dir=container.get("workingDir") or "",
        envs=[api.KeyValue(key=key, value=value) for key, value in env.items()],
        mounts=mounts,
        labels={
            observed.LABEL_CONTAINER_NAME: name,
            observed.LABEL_POD_NAME: name_of(pod),
            observed.LABEL_POD_NAMESPACE: namespace_of(pod),
            observed.LABEL_POD_UID: uid_of(pod),
        },
        annotations=annotations,
        log_path=f"{name}/{restart_count}.log",
        stdin=bool(container.get("stdin")),
        stdin_once=bool(container.get("stdinOnce")),
        tty=bool(container.get("tty")),
        linux=api.LinuxContainerConfig(
            resources=_resources(pod, container, node),
            security_context=_security(pod, container, image, node, target_id),
        ),
    )


def _resources(pod: Object, container: Object, node: Node) -> api.LinuxContainerResources:
    resources = container.get("resources") or {}
    limits = resources.get("limits") or {}
    requests = {**limits, **(resources.get("requests") or {})}
    wanted = api.LinuxContainerResources(
        cpu_shares=shares(parse(requests["cpu"]).milli) if "cpu" in requests else 2,
        cpu_period=node.cpu_period_us,
        oom_score_adj=oom_score_adj(pod, container, node.memory_bytes),
    )
    if "cpu" in limits and node.cpu_quota:
        wanted.cpu_quota = quota_us(parse(limits["cpu"]).milli, node.cpu_period_us)
    if "memory" in limits:
        wanted.memory_limit_in_bytes = parse(limits["memory"]).value
    return wanted


def _security(
    pod: Object, container: Object, image: api.Image, node: Node, target_id: str
) -> api.LinuxContainerSecurityContext:
    pod_security = pod["spec"].get("securityContext") or {}
    security = container.get("securityContext") or {}
    capabilities = security.get("capabilities") or {}
    privileged = bool(security.get("privileged"))
    context = api.LinuxContainerSecurityContext(
        capabilities=api.Capability(
            add_capabilities=capabilities.get("add") or (), drop_capabilities=capabilities.get("drop") or ()
        ),
        privileged=privileged,
        namespace_options=namespace_options(pod),
        readonly_rootfs=bool(security.get("readOnlyRootFilesystem")),
        supplemental_groups=supplemental_groups(pod_security),
        no_new_privs=security.get("allowPrivilegeEscalation") is False,
        seccomp=seccomp_profile(security, pod_security, supported=node.seccomp_supported, root=node.root),
    )
    if target_id:
        context.namespace_options.pid = api.TARGET
        context.namespace_options.target_id = target_id
    if not privileged and security.get("procMount") != "Unmasked":
        context.masked_paths.extend(MASKED_PATHS)
        context.readonly_paths.extend(READONLY_PATHS)
    if pod_security.get("supplementalGroupsPolicy") == "Strict":
        context.supplemental_groups_policy = api.Strict
    selinux = security.get("seLinuxOptions") or pod_security.get("seLinuxOptions")
    if selinux:
        context.selinux_options.CopyFrom(api.SELinuxOption(**selinux))
    user = security.get("runAsUser", pod_security.get("runAsUser"))
    if security.get("runAsNonRoot", pod_security.get("runAsNonRoot")):
        _require_non_root(pod, container, user, image)
    if user is not None:
        context.run_as_user.value = user
    elif image.HasField("uid"):
        context.run_as_user.value = image.uid.value
    elif image.username:
        context.run_as_username = image.username
    group = security.get("runAsGroup", pod_security.get("runAsGroup"))
    if group is not None:
        context.run_as_group.value = group
        if user is None and not image.HasField("uid") and not image.username:
            context.run_as_user.value = 0  # the runtime takes a group only together with a user
    return context


def _require_non_root(pod: Object, container: Object, user: int | None, image: api.Image) -> None:
    shown = f'pod: "{name_of(pod)}_{namespace_of(pod)}({uid_of(pod)})", container: {container["name"]}'
    if user is not None:
        if user == 0:
            raise ConfigError(f"container's runAsUser breaks non-root policy ({shown})")
        return
    if image.HasField("uid") and image.uid.value != 0:
        return
    if image.username:
        raise ConfigError(
            f"container has runAsNonRoot and image has non-numeric user ({image.username}), "
            f"cannot verify user is non-root ({shown})"
        )
    raise ConfigError(f"container has runAsNonRoot and image will run as root ({shown})")


def volume_mount(mount: Object, host_path: str, *, read_only_volume: bool) -> api.Mount:
    return api.Mount(
        container_path=mount["mountPath"] if mount["mountPath"].startswith("/") else f"/{mount['mountPath']}",
        host_path=host_path,
        readonly=bool(mount.get("readOnly")) or read_only_volume,
        propagation=PROPAGATIONS.get(mount.get("mountPropagation") or "", api.PROPAGATION_PRIVATE),
    )
