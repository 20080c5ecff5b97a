"""What a pod spec may contain but had better not: `Warning` headers, in upstream's words."""

from __future__ import annotations

from collections.abc import Iterator

from pybernetes.machinery.meta import Object
from pybernetes.machinery.quantity import parse

_OLD_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
}
_OLD_VOLUMES = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11, and disabled by default in v1.33+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def pod_warnings(spec: Object, path: str = "spec") -> Iterator[str]:
    for key in spec.get("nodeSelector") or ():
        if key in _OLD_LABELS:
            yield f"{path}.nodeSelector[{key}]: {_OLD_LABELS[key]}"
    for i, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        here = f"{path}.topologySpreadConstraints[{i}]"
        if constraint.get("topologyKey") in _OLD_LABELS:
            key = constraint["topologyKey"]
            yield f"{here}.topologyKey: {key} is {_OLD_LABELS[key]}"
        if constraint.get("labelSelector") is None:
            yield f"{here}.labelSelector: a null labelSelector results in matching no pod"
    affinity = spec.get("affinity")
    if affinity:
        yield from _affinity_warnings(affinity, path + ".affinity")
    for i, volume in enumerate(spec.get("volumes") or ()):
        yield from _volume_warnings(volume, f"{path}.volumes[{i}]")
    for i, secret in enumerate(spec.get("imagePullSecrets") or ()):
        if not secret.get("name"):
            yield f'{path}.imagePullSecrets[{i}].name: invalid empty name ""'
    seen_ips: dict[str, int] = {}
    for i, alias in enumerate(spec.get("hostAliases") or ()):
        ip = alias.get("ip", "")
        if ip in seen_ips:
            yield f"{path}.hostAliases[{i}].ip: another entry already exists for the same ip"
        seen_ips.setdefault(ip, i)
    for field in ("containers", "initContainers"):
        for i, container in enumerate(spec.get(field) or ()):
            yield from _container_warnings(container, f"{path}.{field}[{i}]")


def _affinity_warnings(affinity: Object, path: str) -> Iterator[str]:
    for field in ("podAffinity", "podAntiAffinity"):
        pods = affinity.get(field) or {}
        required = "requiredDuringSchedulingIgnoredDuringExecution"
        for i, term in enumerate(pods.get(required) or ()):
            if term.get("labelSelector") is None:
                yield f"{path}.{field}.{required}[{i}].labelSelector: a null labelSelector results in matching no pod"
        for i, weighted in enumerate(pods.get(_PREFERRED) or ()):
            if (weighted.get("podAffinityTerm") or {}).get("labelSelector") is None:
                here = f"{path}.{field}.{_PREFERRED}[{i}].podAffinityTerm.labelSelector"
                yield f"{here}: a null labelSelector results in matching no pod"


def _volume_warnings(volume: Object, path: str) -> Iterator[str]:
    for source, text in _OLD_VOLUMES.items():
        if volume.get(source) is not None:
            yield f"{path}.{source}: {text}"
    projected = volume.get("projected")
    if projected is not None and not any(projected.get("sources") or ()):
        yield f'volume "{volume.get("name", "")}" (Projected) has no sources provided'


def _container_warnings(container: Object, path: str) -> Iterator[str]:
    seen: dict[str, int] = {}
    for i, variable in enumerate(container.get("env") or ()):
        name = variable.get("name", "")
        if name in seen and f"$({name})" not in variable.get("value", ""):
            yield f'{path}.env[{i}]: hides previous definition of "{name}", which may be dropped when using apply'
        seen[name] = i
    ports = container.get("ports") or []
    if len(ports) > 1:
        yield from _port_warnings(ports, path + ".ports")
    for field in ("requests", "limits"):
        found = (container.get("resources") or {}).get(field) or {}
        for name in ("memory", "ephemeral-storage"):
            if name in found and parse(found[name]).milli % 1000:
                yield f'{path}.resources.{field}[{name}]: fractional byte value "{found[name]}" is invalid, must be an integer'


def _port_warnings(ports: list[Object], path: str) -> Iterator[str]:
    seen: dict[tuple[object, ...], int] = {}
    for i, port in enumerate(ports):
        key = (port.get("containerPort"), port.get("protocol"), port.get("hostIP"), port.get("hostPort"), port.get("name"))
        same = seen.setdefault(key[:4], i)
        if same != i:
            yield f"{path}[{i}]: duplicate port definition with {path}[{same}]"
