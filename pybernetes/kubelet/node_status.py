"""The Node object that a kubelet keeps: a pure function of the machine's and the runtime's facts.

Source: "Nodes" (addresses, conditions, capacity), "Reserve Compute Resources"; reasons and messages are upstream's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pybernetes import KUBERNETES_VERSION
from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.node_facts import MachineFacts
from pybernetes.machinery.clock import rfc3339
from pybernetes.machinery.meta import Object, condition
from pybernetes.machinery.quantity import Quantity, parse

IMAGES_MAX = 50  # upstream's nodeStatusMaxImages
DECLARED_FEATURES = ("ExtendWebSocketsToKubelet",)  # KEP-4006: WebSockets of exec and the like need no translation for us


@dataclass(frozen=True, slots=True)
class NodeSeen:
    """What a status depends on. `network` and `runtime_problem` are "" when all is well."""

    now: datetime
    runtime_problem: str = ""
    network_problem: str = ""
    runtime_version: str = ""  # containerd://1.6.20
    memory_available: int = 0
    disk_total: int = 0
    disk_available: int = 0
    images: Sequence[tuple[tuple[str, ...], int]] = ()  # names, bytes
    runtime_handlers: Sequence[Object] = field(default=())


def node_object(name: str, configuration: Configuration, machine: MachineFacts) -> Object:
    """A Node to register, without status."""
    labels = {
        "beta.kubernetes.io/arch": machine.architecture,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": machine.architecture,
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        **configuration.node_labels,
    }
    node: Object = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": labels,
            "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
        },
        "spec": {},
    }
    if configuration.node_taints:
        node["spec"]["taints"] = list(configuration.node_taints)
    return node


def capacity(configuration: Configuration, machine: MachineFacts, disk_total: int) -> dict[str, str]:
    return {
        "cpu": str(machine.cpus),
        "memory": f"{machine.memory_bytes // 1024}Ki",
        "ephemeral-storage": f"{disk_total // 1024}Ki",
        "pods": str(configuration.max_pods),
        **{f"hugepages-{_page_size(size)}": str(total) for size, total in sorted(machine.hugepages.items())},
    }


def allocatable(configuration: Configuration, total: Mapping[str, str]) -> dict[str, str]:
    """Capacity without what is reserved for the system, for Kubernetes, and as the reserve before eviction."""
    left: dict[str, str] = {}
    for name, text in total.items():
        amount = parse(text)
        reserves: list[Quantity] = []
        for reserved in (configuration.system_reserved, configuration.kube_reserved):
            if name in reserved:
                reserves.append(parse(reserved[name]))
        signal = {"memory": "memory.available", "ephemeral-storage": "nodefs.available"}.get(name)
        threshold = configuration.eviction_hard.get(signal or "")
        if threshold and threshold.endswith("%"):
            reserves.append(parse(str(int(amount.value * float(threshold[:-1]) / 100))))
        elif threshold:
            reserves.append(parse(threshold))
        for reserve in reserves:
            amount = amount - reserve
        if amount < parse("0"):
            amount = parse("0")
        left[name] = f"{amount.value // 1024}Ki" if name == "memory" else amount.canonical()
    return left


def node_status(
    name: str,
    configuration: Configuration,
    machine: MachineFacts,
    host_ips: Sequence[str],
    seen: NodeSeen,
    old: Object,
) -> Object:
    """The whole status; times of conditions that did not change are kept from `old`."""
    total = capacity(configuration, machine, seen.disk_total)
    status: Object = {
        "capacity": total,
        "allocatable": allocatable(configuration, total),
        "conditions": _conditions(configuration, seen, old),
        "addresses": [
            *({"type": "InternalIP", "address": ip} for ip in host_ips),
            {"type": "Hostname", "address": name},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": configuration.port}},
        "declaredFeatures": list(DECLARED_FEATURES),
        "nodeInfo": {
            "machineID": machine.machine_id,
            "systemUUID": machine.system_uuid,
            "bootID": machine.boot_id,
            "kernelVersion": machine.kernel,
            "osImage": machine.os_image,
            "containerRuntimeVersion": seen.runtime_version,
            "kubeletVersion": KUBERNETES_VERSION,
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": machine.architecture,
        },
    }
    if seen.images:
        largest = sorted(seen.images, key=lambda image: image[1], reverse=True)[:IMAGES_MAX]
        status["images"] = [{"names": list(names), "sizeBytes": size} for names, size in largest]
    if seen.runtime_handlers:
        status["runtimeHandlers"] = list(seen.runtime_handlers)
    return status


def _conditions(configuration: Configuration, seen: NodeSeen, old: Object) -> list[Object]:
    memory_floor = _threshold(configuration.eviction_hard.get("memory.available"), 0)
    disk_floor = _threshold(configuration.eviction_hard.get("nodefs.available"), seen.disk_total)
    low_memory = bool(seen.memory_available) and seen.memory_available < memory_floor
    low_disk = bool(seen.disk_total) and seen.disk_available < disk_floor
    problems = []
    if seen.runtime_problem:
        problems.append(seen.runtime_problem)
    if seen.network_problem:
        problems.append(f"container runtime network not ready: {seen.network_problem}")
    states = (
        ("MemoryPressure", low_memory, "KubeletHasInsufficientMemory", "kubelet has insufficient memory available",
         "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", low_disk, "KubeletHasDiskPressure", "kubelet has disk pressure",
         "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", False, "", "", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", not problems, "KubeletReady", "kubelet is posting ready status",
         "KubeletNotReady", ", ".join(problems)),
    )  # fmt: skip
    now = rfc3339(seen.now)
    conditions = []
    for type_, true, reason, message, other_reason, other_message in states:
        status = "True" if true else "False"
        before = condition(old.get("conditions"), type_)
        changed = before is None or before["status"] != status
        conditions.append(
            {
                "type": type_,
                "status": status,
                "lastHeartbeatTime": now,
                "lastTransitionTime": now if changed or before is None else before.get("lastTransitionTime", now),
                "reason": reason if true else other_reason,
                "message": message if true else other_message,
            }
        )
    return conditions


def differs(old: Object, new: Object) -> bool:
    """Whether anything but the heartbeat changed."""

    def bare(status: Object) -> Object:
        beats = [{k: v for k, v in c.items() if k != "lastHeartbeatTime"} for c in status.get("conditions") or ()]
        kept = {key: value for key, value in status.items() if key != "conditions" and value}
        return {**kept, "conditions": sorted(beats, key=lambda c: c["type"])}

    a, b = bare(old), bare(new)
    return any(a.get(key) != value for key, value in b.items() if key != "conditions") or any(
        c not in a["conditions"] for c in b["conditions"]
    )


def _threshold(text: str | None, total: int) -> int:
    if not text:
        return 0
    return int(total * float(text[:-1]) / 100) if text.endswith("%") else parse(text).value


def _page_size(kib: str) -> str:
    size = int(kib)
    return f"{size // 1048576}Gi" if size >= 1048576 else f"{size // 1024}Mi" if size >= 1024 else f"{size}Ki"
