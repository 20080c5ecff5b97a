"""What an object uses of a quota's resources, and which quotas concern it. Pure.

Source: https://kubernetes.io/docs/concepts/policy/resource-quotas/ ("Types of resource quota", "Quota scopes")
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from pybernetes.machinery.meta import Object, Resource, annotations_of
from pybernetes.machinery.pod_resources import container_resources, pod_limits, pod_requests, qos_class
from pybernetes.machinery.quantity import Quantity, of
from pybernetes.machinery.resources import PERSISTENT_VOLUME_CLAIMS, PODS, SERVICES

Amounts: TypeAlias = Mapping[str, Quantity]

# The kinds that could be counted before `count/<resource>` was there, by these names.
_COUNTED = frozenset((
    "configmaps", "persistentvolumeclaims", "pods", "replicationcontrollers", "resourcequotas", "secrets", "services",
))  # fmt: skip
_STORAGE_CLASS_SUFFIX = ".storageclass.storage.k8s.io/"
# Of these a quota may demand that every container says them.
_COMPUTE = frozenset((
    "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.ephemeral-storage",
    "limits.cpu", "limits.memory", "limits.ephemeral-storage",
))  # fmt: skip


def usage(resource: Resource, obj: Object) -> Amounts:
    """All that the object uses, under the names that quotas have for it."""
    used: dict[str, Quantity] = {f"count/{resource.group_resource}": of(1)}
    if resource == PODS:
        if (obj.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            return used
        used |= {"pods": of(1), **_pod_usage(obj)}
    elif resource == SERVICES:
        used |= {"services": of(1), **_service_usage(obj)}
    elif resource == PERSISTENT_VOLUME_CLAIMS:
        used |= {"persistentvolumeclaims": of(1), **_claim_usage(obj)}
    elif not resource.group and resource.plural in _COUNTED:
        used[resource.plural] = of(1)
    return used


def _pod_usage(pod: Object) -> dict[str, Quantity]:
    used: dict[str, Quantity] = {}
    for name, amount in pod_requests(pod).items():
        used[f"requests.{name}"] = amount
        if name in ("cpu", "memory", "ephemeral-storage") or name.startswith("hugepages-"):
            used[name] = amount
    for name, amount in pod_limits(pod).items():
        used[f"limits.{name}"] = amount
    return used


def _service_usage(service: Object) -> dict[str, Quantity]:
    spec = service["spec"]
    kind, ports = spec.get("type", "ClusterIP"), of(len(spec.get("ports") or ()))
    if kind == "NodePort":
        return {"services.nodeports": ports}
    if kind == "LoadBalancer":
        allocated = spec.get("allocateLoadBalancerNodePorts", True)
        with_node_port = of(sum(1 for port in spec.get("ports") or () if port.get("nodePort")))
        return {"services.loadbalancers": of(1), "services.nodeports": ports if allocated else with_node_port}
    return {}


def _claim_usage(claim: Object) -> dict[str, Quantity]:
    size = container_resources(claim["spec"], "requests").get("storage")
    name = claim["spec"].get("storageClassName") or annotations_of(claim).get("volume.beta.kubernetes.io/storage-class", "")
    used: dict[str, Quantity] = {}
    if size is not None:
        used["requests.storage"] = size
    if name:
        used[f"{name}{_STORAGE_CLASS_SUFFIX}persistentvolumeclaims"] = of(1)
        if size is not None:
            used[f"{name}{_STORAGE_CLASS_SUFFIX}requests.storage"] = size
    return used


def missing_requirements(resource: Resource, obj: Object, hard: Mapping[str, Quantity]) -> str:
    """Where a quota limits compute, each container must say what it wants: `requests.cpu for: c; …`, or ""."""
    if resource != PODS:
        return ""
    demanded = sorted(_COMPUTE & set(hard))
    missing: dict[str, list[str]] = {}
    pod_level = set(_said(obj["spec"]))
    for container in (*(obj["spec"].get("containers") or ()), *(obj["spec"].get("initContainers") or ())):
        said = pod_level | set(_said(container))
        for name in demanded:
            if name not in said:
                missing.setdefault(name, []).append(container["name"])
    return "; ".join(f"{name} for: {','.join(sorted(set(names)))}" for name, names in sorted(missing.items()))


def _said(holder: Object) -> Iterator[str]:
    for name in container_resources(holder, "requests"):
        yield f"requests.{name}"
        yield name
    for name in container_resources(holder, "limits"):
        yield f"limits.{name}"


def matches_scopes(resource: Resource, obj: Object, spec: Object) -> bool:
    """Is the object within all of the quota's scopes?"""
    return all(in_scope(resource, obj, requirement) for requirement in requirements_of(spec))


def requirements_of(spec: Object) -> list[Object]:
    """A quota's scopes, however they are written."""
    requirements: list[Object] = [{"scopeName": name, "operator": "Exists"} for name in spec.get("scopes") or ()]
    requirements += (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    return requirements


def in_scope(resource: Resource, obj: Object, requirement: Object) -> bool:
    """Scopes speak of pods (and, of classes, of claims)."""
    if resource == PODS:
        return _pod_in_scope(obj, requirement)
    if resource == PERSISTENT_VOLUME_CLAIMS and requirement["scopeName"] == "VolumeAttributesClass":
        return _selected(obj["spec"].get("volumeAttributesClassName") or "", requirement)
    return False


def _pod_in_scope(pod: Object, requirement: Object) -> bool:
    spec, scope = pod["spec"], requirement["scopeName"]
    terminating = (spec.get("activeDeadlineSeconds") or -1) >= 0
    if scope == "Terminating":
        return terminating
    if scope == "NotTerminating":
        return not terminating
    if scope == "BestEffort":
        return qos_class(pod) == "BestEffort"
    if scope == "NotBestEffort":
        return qos_class(pod) != "BestEffort"
    if scope == "PriorityClass":
        return _selected(spec.get("priorityClassName") or "", requirement)
    if scope == "CrossNamespacePodAffinity":
        return any(_crosses_namespaces(spec.get("affinity") or {}))
    return False


def _selected(value: str, requirement: Object) -> bool:
    operator, values = requirement.get("operator"), requirement.get("values") or ()
    if operator == "Exists":
        return bool(value)
    if operator == "DoesNotExist":
        return not value
    return (value in values) if operator == "In" else value not in values


def _crosses_namespaces(affinity: Object) -> Iterator[bool]:
    for kind in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(kind) or {}
        for term in terms.get("requiredDuringSchedulingIgnoredDuringExecution") or ():
            yield bool(term.get("namespaces")) or term.get("namespaceSelector") is not None
        for weighted in terms.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
            term = weighted.get("podAffinityTerm") or {}
            yield bool(term.get("namespaces")) or term.get("namespaceSelector") is not None
