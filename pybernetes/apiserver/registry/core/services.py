"""Services: a stable address for a set of pods.

Contract: API reference, "Service"; concepts, "Service", "Virtual IPs". Addresses and node ports are reserved in
`service_allocation`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks, printing
from pybernetes.apiserver.registry.core import service_allocation
from pybernetes.apiserver.registry.core.service_allocation import is_headless, needs_cluster_ip, needs_node_port
from pybernetes.apiserver.registry.core.service_validation import validate, validate_update
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Context, Strategy
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, annotations_of, name_of
from pybernetes.machinery.resources import SERVICES

_OLD_HINTS, _TOPOLOGY_MODE = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"


def default(service: Object) -> None:
    spec = service.setdefault("spec", {})
    put = spec.setdefault
    if put("sessionAffinity", "None") == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        client_ip = put("sessionAffinityConfig", {}).setdefault("clientIP", {})
        client_ip.setdefault("timeoutSeconds", 10800)
    type_ = put("type", "ClusterIP")
    for port in spec.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
        if not port.get("targetPort"):
            port["targetPort"] = port.get("port", 0)
    if type_ in ("NodePort", "LoadBalancer") or (type_ == "ClusterIP" and spec.get("externalIPs")):
        put("externalTrafficPolicy", "Cluster")
    if type_ != "ExternalName":
        put("internalTrafficPolicy", "Cluster")
    if type_ == "LoadBalancer":
        put("allocateLoadBalancerNodePorts", True)
    for ingress in service.setdefault("status", {}).setdefault("loadBalancer", {}).get("ingress") or ():
        if ingress.get("ip"):
            ingress.setdefault("ipMode", "VIP")


def prepare_for_create(_: Context, service: Object) -> None:
    service["status"] = {"loadBalancer": {}}
    _match_cluster_ips(service["spec"], None)
    _drop_what_the_type_does_not_have(service["spec"], None)


def prepare_for_update(_: Context, new: Object, old: Object) -> None:
    _match_cluster_ips(new["spec"], old["spec"])
    _keep_allocated(new["spec"], old["spec"])
    _drop_what_the_type_does_not_have(new["spec"], old["spec"])


def _match_cluster_ips(spec: Object, old: Object | None) -> None:
    """`clusterIP` is the first of `clusterIPs`: old clients write the one, new ones both."""
    single, several = spec.get("clusterIP", ""), spec.get("clusterIPs") or []
    if old is None:
        if single and not several:
            spec["clusterIPs"] = [single]
        return
    old_single, old_several = old.get("clusterIP", ""), old.get("clusterIPs") or []
    if single == old_single:
        return
    if not single and old_single and several == old_several:
        spec.pop("clusterIPs", None)  # cleared by a client that does not know the list
    elif single and (several == old_several or not several):
        spec["clusterIPs"] = [single]


def _keep_allocated(new: Object, old: Object) -> None:
    """An update that leaves out what had been allocated means to keep it."""
    if needs_cluster_ip(old) and needs_cluster_ip(new):
        for field in ("clusterIP", "clusterIPs"):
            if not new.get(field) and old.get(field):
                new[field] = old[field]
        for field in ("ipFamilies", "ipFamilyPolicy"):
            if not new.get(field) and old.get(field):
                new[field] = old[field]
    if needs_node_port(old) and needs_node_port(new):
        before = {(port.get("protocol"), port.get("port")): port.get("nodePort") for port in old.get("ports") or ()}
        claimed = {port["nodePort"] for port in new.get("ports") or () if port.get("nodePort")}
        for port in new.get("ports") or ():
            kept = before.get((port.get("protocol"), port.get("port")))
            if not port.get("nodePort") and kept and kept not in claimed:
                port["nodePort"] = kept
    both_check = _has_health_check(old) and _has_health_check(new)
    if both_check and old.get("healthCheckNodePort") and not new.get("healthCheckNodePort"):
        new["healthCheckNodePort"] = old["healthCheckNodePort"]


def _has_health_check(spec: Object) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _drop_what_the_type_does_not_have(new: Object, old: Object | None) -> None:
    """A change of type by a client that does not know all fields: what it left as it was, goes with the old type."""
    if old is None:
        return

    def same(field: str) -> bool:
        return new.get(field) == old.get(field)

    if needs_cluster_ip(old) and not needs_cluster_ip(new):
        if same("clusterIP") and same("clusterIPs"):
            for field in ("clusterIP", "clusterIPs"):
                new.pop(field, None)
        for field in ("ipFamilies", "ipFamilyPolicy"):
            if same(field):
                new.pop(field, None)
        if same("internalTrafficPolicy"):
            new.pop("internalTrafficPolicy", None)
    if needs_node_port(old) and not needs_node_port(new):
        before = {(port.get("protocol"), port.get("port")): port.get("nodePort") for port in old.get("ports") or ()}
        for port in new.get("ports") or ():
            if port.get("nodePort") and port["nodePort"] in before.values():
                del port["nodePort"]
    if _has_health_check(old) and not _has_health_check(new) and same("healthCheckNodePort"):
        new.pop("healthCheckNodePort", None)
    if old.get("type") == "LoadBalancer" and new.get("type") != "LoadBalancer":
        for field in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            if same(field):
                new.pop(field, None)
    if new.get("type") in ("ClusterIP", "ExternalName") and not new.get("externalIPs") and same("externalTrafficPolicy"):
        new.pop("externalTrafficPolicy", None)


def validate_status_update(new: Object, _: Object) -> Iterator[FieldError]:
    status = new.get("status") or {}
    ingress = (status.get("loadBalancer") or {}).get("ingress") or ()
    if ingress and new["spec"].get("type") != "LoadBalancer":
        yield FieldError.forbidden("status.loadBalancer.ingress", 'may only be used when `spec.type` is "LoadBalancer"')
    for i, one in enumerate(ingress):
        path = f"status.loadBalancer.ingress[{i}]"
        if one.get("ip"):
            yield from checks.invalid_by(path + ".ip", one["ip"], validation.ip_errors)
            if one.get("ipMode") is None:
                yield FieldError.required(path + ".ipMode", "must be specified when `ip` is set")
        elif one.get("ipMode") is not None:
            yield FieldError.forbidden(path + ".ipMode", "may not be specified when `ip` is not set")
        if one.get("hostname"):
            yield from checks.invalid_by(path + ".hostname", one["hostname"], validation.dns_1123_subdomain_errors)


def cells(service: Object, now: datetime) -> list[Any]:
    spec = service["spec"]
    ips: Sequence[str] = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    return [
        name_of(service), spec.get("type", ""), ips[0] if ips else printing.NONE, _external_ip(service), _ports(spec),
        printing.age(service, now), printing.joined_labels(spec.get("selector")),
    ]  # fmt: skip


def _external_ip(service: Object) -> str:
    spec = service["spec"]
    external: list[str] = list(spec.get("externalIPs") or ())
    match spec.get("type"):
        case "LoadBalancer":
            ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
            balanced = sorted({one.get("ip") or one.get("hostname") or "" for one in ingress} - {""})
            return ",".join(balanced + external) or "<pending>"
        case "ExternalName":
            name: str = spec.get("externalName", "")
            return name
    return ",".join(external) or printing.NONE


def _ports(spec: Object) -> str:
    shown = []
    for port in spec.get("ports") or ():
        node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
        shown.append(f"{port.get('port', 0)}{node_port}/{port.get('protocol', '')}")
    return ",".join(shown) or printing.NONE


def warnings(service: Object, _: Object | None) -> Sequence[str]:
    spec, found = service["spec"], []
    external, is_name = spec.get("externalIPs") or (), spec.get("type") == "ExternalName"
    if _OLD_HINTS in annotations_of(service):
        found.append(f"annotation {_OLD_HINTS} is deprecated, please use {_TOPOLOGY_MODE} instead")
    if is_headless(spec):
        if spec.get("loadBalancerIP"):
            found.append("spec.loadBalancerIP is ignored for headless services")
        if external:
            found.append("spec.externalIPs is ignored for headless services")
        if spec.get("sessionAffinity", "None") != "None":
            found.append("spec.SessionAffinity is ignored for headless services")
    else:
        for i, ip in enumerate(spec.get("clusterIPs") or ()):
            found += _ip_warnings(ip, f"spec.clusterIPs[{i}]")
    for i, ip in enumerate(external):
        found += _ip_warnings(ip, f"spec.externalIPs[{i}]")
    if external and not is_headless(spec) and not is_name:
        found.append("spec.externalIPs is deprecated and may no longer be implemented in some clusters")
    if spec.get("loadBalancerIP"):
        found += _ip_warnings(spec["loadBalancerIP"], "spec.loadBalancerIP")
    if is_name and external:
        found.append('spec.externalIPs is ignored when spec.type is "ExternalName"')
    if not is_name and spec.get("externalName"):
        found.append('spec.externalName is ignored when spec.type is not "ExternalName"')
    if spec.get("trafficDistribution") == "PreferClose":
        found.append('spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"')
    return found


def _ip_warnings(text: str, path: str) -> list[str]:
    ip = validation.parse_ip(text)
    if ip is not None and str(ip) != text:
        return [
            f'{path}: non-standard IP address "{text}" will be considered invalid in a future Kubernetes release: use "{ip}"'
        ]
    return []


STRATEGY = Strategy(
    resource=SERVICES,
    default=default,
    validate_name=validation.dns_1035_label_errors,
    prepare_for_create=prepare_for_create,
    prepare_for_update=prepare_for_update,
    validate=validate,
    validate_update=validate_update,
    warnings=warnings,
    has_status=True,
    validate_status_update=validate_status_update,
    creates_on_update=True,
    begin_create=service_allocation.begin_create,
    begin_update=service_allocation.begin_update,
    after_update=service_allocation.after_update,
    after_delete=service_allocation.after_delete,
    selectable_fields={
        "spec.clusterIP": lambda service: service["spec"].get("clusterIP", ""),
        "spec.type": lambda service: service["spec"].get("type", ""),
    },
    columns=(
        NAME, Column("Type"), Column("Cluster-IP"), Column("External-IP"), Column("Port(s)"), AGE,
        Column("Selector", priority=1),
    ),
    cells=cells,
)  # fmt: skip
