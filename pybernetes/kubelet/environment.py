"""The environment variables of a container.

Order, later ones win: Service variables, `envFrom`, `env`. `$(NAME)` refers to what is defined before; `$$` escapes.

Source: API reference, Container v1 core (`env`, `envFrom`); "Accessing the Service" (Service variables).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Protocol

from pybernetes.machinery.meta import Object
from pybernetes.machinery.quantity import Quantity, parse


class ConfigError(Exception):
    """The container cannot be made as it is written; the event and the waiting message say `str()`."""

    reason = "CreateContainerConfigError"


class Objects(Protocol):
    """The ConfigMaps and Secrets that the pod refers to, already fetched: None where there is none."""

    def config_map(self, name: str) -> Object | None: ...

    def secret(self, name: str) -> Object | None: ...


_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")
_ENV_NAME = re.compile(r"^[^=\x00-\x1f\x7f-\uffff]+$")


def expand(text: str, values: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by its value if there is one; `$$` is `$`; the rest stays."""

    def replaced(match: re.Match[str]) -> str:
        if match.group(0) == "$$":
            return "$"
        return values.get(match.group(1), match.group(0))

    return _REFERENCE.sub(replaced, text)


def service_variables(services: Iterable[Object]) -> dict[str, str]:
    """Docker-links style variables of Services that have a cluster IP."""
    found: dict[str, str] = {}
    for service in services:
        spec = service["spec"]
        address = spec.get("clusterIP") or "None"
        ports = spec.get("ports") or ()
        if address == "None" or not ports:
            continue
        prefix = service["metadata"]["name"].upper().replace("-", "_")
        found[f"{prefix}_SERVICE_HOST"] = address
        found[f"{prefix}_SERVICE_PORT"] = str(ports[0]["port"])
        shown = f"[{address}]" if ":" in address else address
        for index, port in enumerate(ports):
            if port.get("name"):
                found[f"{prefix}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = str(port["port"])
            protocol = port.get("protocol", "TCP")
            url = f"{protocol.lower()}://{shown}:{port['port']}"
            if index == 0:
                found[f"{prefix}_PORT"] = url
            base = f"{prefix}_PORT_{port['port']}_{protocol}"
            found[base] = url
            found[f"{base}_PROTO"] = protocol.lower()
            found[f"{base}_PORT"] = str(port["port"])
            found[f"{base}_ADDR"] = address
    return found


def environment(
    pod: Object,
    container: Object,
    *,
    services: Iterable[Object],
    objects: Objects,
    pod_ips: tuple[str, ...],
    host_ips: tuple[str, ...],
    allocatable: Mapping[str, Quantity],
) -> dict[str, str]:
    """All variables. Raises ConfigError for a reference that is not optional and leads nowhere."""
    values = service_variables(services)
    links = dict(values)
    own: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        prefix = source.get("prefix", "")
        for kind, field in (("configMap", "configMapRef"), ("secret", "secretRef")):
            if field not in source:
                continue
            name = source[field].get("name", "")
            found = objects.config_map(name) if kind == "configMap" else objects.secret(name)
            if found is None:
                if source[field].get("optional"):
                    continue
                raise ConfigError(f'{kind.lower()} "{name}" not found')
            for key, value in _data(found).items():
                if _ENV_NAME.match(prefix + key):
                    own[prefix + key] = value
    for entry in container.get("env") or ():
        name = entry["name"]
        if "valueFrom" not in entry:
            # Service variables can be referred to, but do not hide what the image defines unless named here.
            own[name] = expand(entry.get("value") or "", {**links, **own})
            continue
        found_value = _value_from(pod, container, entry["valueFrom"], objects, pod_ips, host_ips, allocatable)
        if found_value is not None:
            own[name] = found_value
    values.update(own)
    return values


def _value_from(
    pod: Object,
    container: Object,
    source: Object,
    objects: Objects,
    pod_ips: tuple[str, ...],
    host_ips: tuple[str, ...],
    allocatable: Mapping[str, Quantity],
) -> str | None:
    if "fieldRef" in source:
        return field_value(pod, source["fieldRef"]["fieldPath"], pod_ips=pod_ips, host_ips=host_ips)
    if "resourceFieldRef" in source:
        return resource_value(pod, source["resourceFieldRef"], container, allocatable)
    for kind, key in (("configmap", "configMapKeyRef"), ("secret", "secretKeyRef")):
        if key not in source:
            continue
        reference = source[key]
        name = reference.get("name", "")
        found = objects.config_map(name) if kind == "configmap" else objects.secret(name)
        data = _data(found) if found is not None else {}
        if reference["key"] in data:
            return data[reference["key"]]
        if reference.get("optional"):
            return None
        if found is None:
            raise ConfigError(f'{kind} "{name}" not found')
        where = f"{pod['metadata']['namespace']}/{name}"
        shown = "ConfigMap" if kind == "configmap" else "Secret"
        raise ConfigError(f"couldn't find key {reference['key']} in {shown} {where}")
    return None


def field_value(pod: Object, path: str, *, pod_ips: tuple[str, ...] = (), host_ips: tuple[str, ...] = ()) -> str:
    """The downward API's `fieldPath`. Raises ConfigError for one that there is not."""
    metadata, spec = pod["metadata"], pod["spec"]
    match = re.fullmatch(r"metadata\.(labels|annotations)\['(.*)'\]", path)
    if match:
        return str((metadata.get(match.group(1)) or {}).get(match.group(2), ""))
    simple = {
        "metadata.name": metadata.get("name", ""),
        "metadata.namespace": metadata.get("namespace", ""),
        "metadata.uid": metadata.get("uid", ""),
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "status.hostIP": host_ips[0] if host_ips else "",
        "status.hostIPs": ",".join(host_ips),
        "status.podIP": pod_ips[0] if pod_ips else "",
        "status.podIPs": ",".join(pod_ips),
    }
    if path in simple:
        return str(simple[path])
    if path in ("metadata.labels", "metadata.annotations"):
        pairs = metadata.get(path.removeprefix("metadata.")) or {}
        return "\n".join(f"{key}={_quoted(value)}" for key, value in sorted(pairs.items()))
    raise ConfigError(f"unsupported fieldPath: {path}")


def resource_value(pod: Object, reference: Object, container: Object | None, allocatable: Mapping[str, Quantity]) -> str:
    """The downward API's `resourceFieldRef`: a container's limit falls back on what the node can give."""
    name = reference.get("containerName")
    if name:
        spec = pod["spec"]
        container = next((c for c in [*spec["containers"], *(spec.get("initContainers") or ())] if c["name"] == name), None)
    if container is None:
        raise ConfigError(f"container {name} not found")
    which, _, resource = reference["resource"].partition(".")
    resources = container.get("resources") or {}
    text = (resources.get(which) or {}).get(resource)
    if text is not None:
        amount = parse(text)
    elif which == "limits" and resource in allocatable:
        amount = allocatable[resource]
    else:
        return "0"
    divisor_text = reference.get("divisor") or "1"
    divisor = parse("1" if str(divisor_text) == "0" else divisor_text)
    milli_divisor = max(divisor.milli, 1)
    return str(-(-amount.milli // milli_divisor))  # rounded up


def _data(obj: Object) -> dict[str, str]:
    if obj.get("kind") == "Secret":
        import base64

        return {key: base64.b64decode(value).decode(errors="replace") for key, value in (obj.get("data") or {}).items()}
    return dict(obj.get("data") or {})


def _quoted(value: str) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)
