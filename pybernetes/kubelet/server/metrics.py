"""What pods and the node use: `/stats/summary` (v1alpha1) and `/metrics/resource`, from the runtime's statistics."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from pybernetes.kubelet import observed
from pybernetes.kubelet.cri import runtime_pb2 as api
from pybernetes.kubelet.node_facts import meminfo
from pybernetes.machinery.clock import rfc3339
from pybernetes.machinery.meta import Object


def summary(node_name: str, stats: Iterable[api.ContainerStats], now: datetime) -> Object:
    pods: dict[str, Object] = {}
    stamp = rfc3339(now)
    for entry in stats:
        labels = entry.attributes.labels
        uid = labels.get(observed.LABEL_POD_UID, "")
        pod = pods.setdefault(
            uid,
            {
                "podRef": {
                    "name": labels.get(observed.LABEL_POD_NAME, ""),
                    "namespace": labels.get(observed.LABEL_POD_NAMESPACE, ""),
                    "uid": uid,
                },
                "containers": [],
                "cpu": {"time": stamp, "usageCoreNanoSeconds": 0},
                "memory": {"time": stamp, "workingSetBytes": 0},
            },
        )
        cpu, memory = entry.cpu.usage_core_nano_seconds.value, entry.memory.working_set_bytes.value
        pod["containers"].append(
            {
                "name": labels.get(observed.LABEL_CONTAINER_NAME, ""),
                "cpu": {"time": stamp, "usageCoreNanoSeconds": cpu},
                "memory": {"time": stamp, "workingSetBytes": memory},
            }
        )
        pod["cpu"]["usageCoreNanoSeconds"] += cpu
        pod["memory"]["workingSetBytes"] += memory
    node: Object = {
        "nodeName": node_name,
        "cpu": {"time": stamp, "usageCoreNanoSeconds": _node_cpu_ns()},
        "memory": {"time": stamp, **_node_memory()},
    }
    return {"node": node, "pods": list(pods.values())}


def resource_metrics(node_name: str, stats: Iterable[api.ContainerStats], now: datetime) -> bytes:
    """Prometheus text: what metrics-server reads."""
    millis = int(now.timestamp() * 1000)
    found = summary(node_name, stats, now)
    cpu, memory, pod_cpu, pod_memory = [], [], [], []
    for pod in found["pods"]:
        reference = f'namespace="{pod["podRef"]["namespace"]}",pod="{pod["podRef"]["name"]}"'
        for container in pod["containers"]:
            labels = f'container="{container["name"]}",{reference}'
            cpu.append(f"{{{labels}}} {container['cpu']['usageCoreNanoSeconds'] / 1e9} {millis}")
            memory.append(f"{{{labels}}} {container['memory']['workingSetBytes']} {millis}")
        pod_cpu.append(f"{{{reference}}} {pod['cpu']['usageCoreNanoSeconds'] / 1e9} {millis}")
        pod_memory.append(f"{{{reference}}} {pod['memory']['workingSetBytes']} {millis}")
    node = found["node"]
    families = (
        ("container_cpu_usage_seconds_total", "counter", cpu),
        ("container_memory_working_set_bytes", "gauge", memory),
        ("node_cpu_usage_seconds_total", "counter", [f" {node['cpu']['usageCoreNanoSeconds'] / 1e9} {millis}"]),
        ("node_memory_working_set_bytes", "gauge", [f" {node['memory']['workingSetBytes']} {millis}"]),
        ("pod_cpu_usage_seconds_total", "counter", pod_cpu),
        ("pod_memory_working_set_bytes", "gauge", pod_memory),
        ("resource_scrape_error", "gauge", [" 0"]),
    )
    lines = []
    for name, kind, samples in families:
        lines.append(f"# TYPE {name} {kind}")
        lines += [f"{name}{sample}" for sample in samples]
    return ("\n".join(lines) + "\n").encode()


def _node_cpu_ns() -> int:
    """Busy time of all CPUs since boot."""
    with open("/proc/stat") as file:
        fields = [int(field) for field in file.readline().split()[1:]]
    idle = fields[3] + fields[4]
    return (sum(fields[:8]) - idle) * 10_000_000  # USER_HZ is 100


def _node_memory() -> dict[str, int]:
    info = meminfo()
    total, available = info.get("MemTotal", 0), info.get("MemAvailable", 0)
    used = total - info.get("MemFree", 0)
    return {"availableBytes": available, "usageBytes": used, "workingSetBytes": total - available}
