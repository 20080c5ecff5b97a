"""A pod's spec as the CRI's PodSandboxConfig."""

from __future__ import annotations

from pathlib import Path

from pybernetes.kubelet.cri import runtime_pb2 as api
from pybernetes.kubelet.observed import LABEL_POD_NAME, LABEL_POD_NAMESPACE, LABEL_POD_UID
from pybernetes.machinery.meta import Object, annotations_of, labels_of, name_of, namespace_of, uid_of

PROTOCOLS = {"TCP": api.TCP, "UDP": api.UDP, "SCTP": api.SCTP}


def log_directory(pod_logs: str, pod: Object) -> Path:
    """Where the runtime writes the logs of the pod's containers (upstream's name, which log collectors know)."""
    return Path(pod_logs) / f"{namespace_of(pod)}_{name_of(pod)}_{uid_of(pod)}"


def namespace_options(pod: Object) -> api.NamespaceOption:
    spec = pod["spec"]
    pid = api.NODE if spec.get("hostPID") else api.POD if spec.get("shareProcessNamespace") else api.CONTAINER
    return api.NamespaceOption(
        network=api.NODE if spec.get("hostNetwork") else api.POD,
        pid=pid,
        ipc=api.NODE if spec.get("hostIPC") else api.POD,
    )


def seccomp_profile(spec_security: Object, pod_security: Object, *, supported: bool, root: Path) -> api.SecurityProfile:
    """The container's (or the pod's) seccomp profile. Where the kernel has no seccomp, none can be enforced."""
    profile = spec_security.get("seccompProfile") or pod_security.get("seccompProfile") or {}
    kind = profile.get("type", "Unconfined")
    if not supported or kind == "Unconfined":
        return api.SecurityProfile(profile_type=api.SecurityProfile.Unconfined)
    if kind == "Localhost":
        path = str(root / "seccomp" / profile.get("localhostProfile", ""))
        return api.SecurityProfile(profile_type=api.SecurityProfile.Localhost, localhost_ref=path)
    return api.SecurityProfile(profile_type=api.SecurityProfile.RuntimeDefault)


def sandbox_config(
    pod: Object,
    *,
    attempt: int,
    hostname: str,
    dns: api.DNSConfig,
    pod_logs: str,
    cgroup_parent: str,
    seccomp_supported: bool,
    root: Path,
) -> api.PodSandboxConfig:
    spec = pod["spec"]
    security = spec.get("securityContext") or {}
    containers = [*(spec.get("initContainers") or ()), *spec["containers"]]
    context = api.LinuxSandboxSecurityContext(
        namespace_options=namespace_options(pod),
        privileged=any((c.get("securityContext") or {}).get("privileged") for c in containers),
        seccomp=seccomp_profile({}, security, supported=seccomp_supported, root=root),
        supplemental_groups=supplemental_groups(security),
    )
    if security.get("runAsUser") is not None:
        context.run_as_user.value = security["runAsUser"]
        if security.get("runAsGroup") is not None:
            context.run_as_group.value = security["runAsGroup"]
    if security.get("seLinuxOptions"):
        context.selinux_options.CopyFrom(api.SELinuxOption(**security["seLinuxOptions"]))
    ports = [
        api.PortMapping(
            protocol=PROTOCOLS[port.get("protocol", "TCP")],
            container_port=port["containerPort"],
            host_port=port["hostPort"],
            host_ip=port.get("hostIP", ""),
        )
        for container in containers
        for port in container.get("ports") or ()
        if port.get("hostPort") and not spec.get("hostNetwork")
    ]
    identity = {LABEL_POD_NAME: name_of(pod), LABEL_POD_NAMESPACE: namespace_of(pod), LABEL_POD_UID: uid_of(pod)}
    return api.PodSandboxConfig(
        metadata=api.PodSandboxMetadata(name=name_of(pod), uid=uid_of(pod), namespace=namespace_of(pod), attempt=attempt),
        hostname="" if spec.get("hostNetwork") else hostname,
        log_directory=str(log_directory(pod_logs, pod)),
        dns_config=dns,
        port_mappings=ports,
        labels={**labels_of(pod), **identity},
        annotations=annotations_of(pod),
        linux=api.LinuxPodSandboxConfig(
            cgroup_parent=cgroup_parent,
            security_context=context,
            sysctls={entry["name"]: entry["value"] for entry in security.get("sysctls") or ()},
        ),
    )


def supplemental_groups(security: Object) -> list[int]:
    groups = list(security.get("supplementalGroups") or ())
    if security.get("fsGroup") is not None:
        groups.append(security["fsGroup"])
    return groups
