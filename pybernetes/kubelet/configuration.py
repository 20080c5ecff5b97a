"""What the kubelet runs with: `KubeletConfiguration` (kubelet.config.k8s.io/v1beta1) overridden by flags."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from pybernetes.kubelet.options import Options
from pybernetes.machinery.meta import Object


class BadConfiguration(ValueError):
    """The configuration cannot be used; `str()` says what to change."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """The fields of KubeletConfiguration that are honoured, in snake case, times in seconds."""

    container_runtime_endpoint: str = "unix:///run/containerd/containerd.sock"
    root_dir: str = "/var/lib/kubelet"
    cert_dir: str = "/var/lib/kubelet/pki"
    pod_logs_dir: str = "/var/log/pods"
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = ""
    max_pods: int = 110
    pod_pids_limit: int = -1
    address: str = "0.0.0.0"
    port: int = 10250
    healthz_bind_address: str = "127.0.0.1"
    healthz_port: int = 10248
    client_ca_file: str = ""
    tls_cert_file: str = ""
    tls_private_key_file: str = ""
    anonymous_auth: bool = False
    webhook_authentication: bool = True
    authorization_mode: str = "Webhook"
    static_pod_path: str = ""
    resolv_conf: str = "/etc/resolv.conf"
    cgroup_root: str = ""
    cgroup_driver: str = "cgroupfs"
    cgroups_per_qos: bool = True
    cpu_cfs_quota: bool = True
    cpu_cfs_quota_period_us: int = 100_000
    node_status_update_frequency_s: float = 10
    node_status_report_frequency_s: float = 300
    node_lease_duration_seconds: int = 40
    sync_frequency_s: float = 60
    register_node: bool = True
    serialize_image_pulls: bool = True
    max_parallel_image_pulls: int = 4
    system_reserved: dict[str, str] = field(default_factory=dict)
    kube_reserved: dict[str, str] = field(default_factory=dict)
    eviction_hard: dict[str, str] = field(default_factory=lambda: {"memory.available": "100Mi", "nodefs.available": "10%"})
    allowed_unsafe_sysctls: tuple[str, ...] = ()
    host_name: str = ""
    node_ip: str = ""
    node_labels: dict[str, str] = field(default_factory=dict)
    node_taints: tuple[Object, ...] = ()
    cni_conf_dir: str = ""
    cluster_cidrs: tuple[str, ...] = ()


def load(options: Options) -> Configuration:
    """The file, then the flags. Raises BadConfiguration."""
    document = _read(options.config) if options.config else {}
    known = {entry.name for entry in fields(Configuration)}
    values: dict[str, Any] = {}
    for key, value in document.items():
        name = _snake(key)
        if isinstance(value, str) and f"{name}_s" in known:
            values[f"{name}_s"] = duration_s(value, key)
        elif name in known and value is not None:
            values[name] = tuple(value) if isinstance(value, list) else value
    authentication = document.get("authentication") or {}
    authorization = document.get("authorization") or {}
    for name, section, key in (
        ("anonymous_auth", authentication.get("anonymous") or {}, "enabled"),
        ("webhook_authentication", authentication.get("webhook") or {}, "enabled"),
        ("client_ca_file", authentication.get("x509") or {}, "clientCAFile"),
        ("authorization_mode", authorization, "mode"),
        ("cpu_cfs_quota", document, "cpuCFSQuota"),
        ("cluster_dns", document, "clusterDNS"),
        ("cgroups_per_qos", document, "cgroupsPerQOS"),
    ):
        if key in section:
            value = section[key]
            values[name] = tuple(value) if isinstance(value, list) else value
    for entry in fields(Options):
        value = getattr(options, entry.name)
        if entry.name in known and value not in (None, "", ()):
            values[entry.name] = value
    values["register_node"] = options.register_node
    if options.pod_manifest_path is not None:
        values["static_pod_path"] = options.pod_manifest_path
    if options.node_status_update_frequency is not None:
        values["node_status_update_frequency_s"] = duration_s(
            options.node_status_update_frequency, "node-status-update-frequency"
        )
    values["host_name"] = options.hostname_override
    values["node_labels"] = parse_labels(options.node_labels)
    values["node_taints"] = tuple(parse_taint(text) for text in options.register_with_taints.split(",") if text)
    try:
        configuration = replace(Configuration(), **values)
    except TypeError as error:
        raise BadConfiguration(f"kubelet configuration: {error}") from None
    if configuration.cgroup_driver != "cgroupfs":
        raise BadConfiguration("cgroup driver: only cgroupfs is supported")
    if configuration.static_pod_path:
        raise BadConfiguration("staticPodPath, --pod-manifest-path: static pods are not supported yet")
    return configuration


def _read(path: str) -> Object:
    import yaml

    try:
        document = yaml.load(Path(path).read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except OSError as error:
        raise BadConfiguration(f"cannot read the kubelet configuration {path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise BadConfiguration(f"the kubelet configuration {path} is not YAML: {error}") from None
    if not isinstance(document, dict) or document.get("kind") != "KubeletConfiguration":
        raise BadConfiguration(f"{path} does not hold a KubeletConfiguration")
    if document.get("apiVersion") != "kubelet.config.k8s.io/v1beta1":
        raise BadConfiguration(f"{path}: apiVersion must be kubelet.config.k8s.io/v1beta1")
    return document


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def duration_s(text: str, name: str) -> float:
    """A Go duration (`1m30s`) in seconds. Raises BadConfiguration."""
    parts = re.findall(r"(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h)", text)
    if text == "0":
        return 0.0
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise BadConfiguration(f"{name}: invalid duration {text!r}")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def parse_labels(text: str) -> dict[str, str]:
    labels = {}
    for pair in text.split(","):
        if pair:
            key, separator, value = pair.partition("=")
            if not separator:
                raise BadConfiguration(f"node-labels: {pair!r} is not key=value")
            labels[key] = value
    return labels


def parse_taint(text: str) -> Object:
    """`key=value:effect` or `key:effect`."""
    head, separator, effect = text.rpartition(":")
    if not separator or effect not in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
        raise BadConfiguration(f"register-with-taints: {text!r} is not key=value:effect")
    key, _, value = head.partition("=")
    return {"key": key, "effect": effect, **({"value": value} if value else {})}
