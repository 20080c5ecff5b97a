"""What a Service may say."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from pybernetes.apiserver.registry import checks
from pybernetes.apiserver.registry.core.service_allocation import is_headless
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
PROTOCOLS = ("SCTP", "TCP", "UDP")
_KUBELET_PORT = 10250
_ONE_DAY_S = 86400
_GO_PORT = {"Name": "", "Protocol": "", "AppProtocol": None, "Port": 0, "TargetPort": 0, "NodePort": 0}


def validate(service: Object) -> Iterator[FieldError]:
    spec = service["spec"]
    type_, headless = spec.get("type", ""), is_headless(spec)
    ports = spec.get("ports") or []
    if not ports and not headless and type_ != "ExternalName":
        yield FieldError.required("spec.ports")
    if type_ == "LoadBalancer":
        for i, port in enumerate(ports):
            if port.get("port") == _KUBELET_PORT:
                sentence = f"may not expose port {_KUBELET_PORT} externally since it is used by kubelet"
                yield FieldError.invalid(f"spec.ports[{i}]", _KUBELET_PORT, sentence)
    if type_ in ("LoadBalancer", "NodePort") and headless:
        yield FieldError.invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {type_} services")
    if type_ == "ExternalName":
        yield from _validate_external_name(spec)
    names: set[str] = set()
    for i, port in enumerate(ports):
        yield from _validate_port(port, len(ports) > 1, names, f"spec.ports[{i}]")
    yield from checks.label_map(spec.get("selector"), "spec.selector")
    yield from checks.required_one_of(spec.get("sessionAffinity", ""), ("ClientIP", "None"), "spec.sessionAffinity")
    yield from _validate_affinity(spec)
    if type_ != "ExternalName":
        yield from _validate_cluster_ips(spec)
    for i, ip in enumerate(spec.get("externalIPs") or ()):
        here = f"spec.externalIPs[{i}]"
        if sentences := validation.ip_errors(ip):
            yield from (FieldError.invalid(here, ip, sentence) for sentence in sentences)
        else:
            yield from validate_routable_ip(ip, here)
    yield from checks.required_one_of(type_, TYPES, "spec.type")
    yield from _validate_ports_differ(spec, type_, ports)
    yield from _validate_load_balancer(spec, type_)
    yield from _validate_traffic_policies(spec, type_)


def _validate_external_name(spec: Object) -> Iterator[FieldError]:
    for field in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if spec.get(field):
            yield FieldError.forbidden(f"spec.{field}", "may not be set for ExternalName services")
    name = spec.get("externalName", "").removesuffix(".")
    if name:
        yield from checks.invalid_by("spec.externalName", name, validation.dns_1123_subdomain_errors)
    else:
        yield FieldError.required("spec.externalName")


def _validate_port(port: Object, name_needed: bool, names: set[str], path: str) -> Iterator[FieldError]:
    name = port.get("name", "")
    if name:
        yield from checks.invalid_by(path + ".name", name, validation.dns_1123_label_errors)
        if name in names:
            yield FieldError.duplicate(path + ".name", name)
        names.add(name)
    elif name_needed:
        yield FieldError.required(path + ".name")
    yield from checks.port_number(port.get("port", 0), path + ".port")
    yield from checks.required_one_of(port.get("protocol", ""), PROTOCOLS, path + ".protocol")
    yield from checks.port_number_or_name(port.get("targetPort", 0), path + ".targetPort")
    if port.get("appProtocol") is not None:
        yield from checks.invalid_by(path + ".appProtocol", port["appProtocol"], validation.label_key_errors)


def _validate_affinity(spec: Object) -> Iterator[FieldError]:
    config = spec.get("sessionAffinityConfig")
    if spec.get("sessionAffinity") == "ClientIP":
        path = "spec.sessionAffinityConfig"
        timeout = ((config or {}).get("clientIP") or {}).get("timeoutSeconds")
        if config is None:
            yield FieldError.required(path, "when session affinity type is ClientIP")
        elif timeout is None:
            yield FieldError.required(path + ".clientIP", "when session affinity type is ClientIP")
        elif not 0 < timeout <= _ONE_DAY_S:
            sentence = f"must be greater than 0 and less than {_ONE_DAY_S}"
            yield FieldError.invalid(path + ".clientIP.timeoutSeconds", timeout, sentence)
    elif config is not None:
        yield FieldError.forbidden("spec.sessionAffinityConfig", "must not be set when session affinity is None")


def _validate_cluster_ips(spec: Object) -> Iterator[FieldError]:
    single, several, families = spec.get("clusterIP", ""), spec.get("clusterIPs") or [], spec.get("ipFamilies") or []
    if single:
        if not several:
            yield FieldError.required("spec.clusterIPs")
        elif several[0] != single:
            yield FieldError.invalid("spec.clusterIPs", several, "first value must match `clusterIP`")
    elif several:
        yield FieldError.invalid("spec.clusterIPs", several, "must be empty when `clusterIP` is not specified")
    policy = spec.get("ipFamilyPolicy")
    if policy is not None:
        yield from checks.one_of(policy, ("PreferDualStack", "RequireDualStack", "SingleStack"), "spec.ipFamilyPolicy")
    seen = set()
    for i, family in enumerate(families):
        yield from checks.one_of(family, ("IPv4", "IPv6"), f"spec.ipFamilies[{i}]")
        if family in seen:
            yield FieldError.duplicate(f"spec.ipFamilies[{i}]", family)
        seen.add(family)
    if len(several) > 2:
        yield FieldError.invalid("spec.clusterIPs", several, "may only hold up to 2 values")
    wrong = False
    for i, ip in enumerate(several):
        here = f"spec.clusterIPs[{i}]"
        if ip == "None":
            if i > 0 or len(several) > 1:
                yield FieldError.invalid(here, ip, "must be empty, 'None', or a valid IP address")
            return
        sentences = validation.ip_errors(ip)
        wrong = wrong or bool(sentences)
        yield from (FieldError.invalid(here, ip, sentence) for sentence in sentences)
    if wrong:
        return
    found = [f"IPv{ipaddress.ip_address(ip).version}" for ip in several]
    if len(found) == 2 and found[0] == found[1]:
        sentence = "may specify no more than one IP for each IP family"
        yield FieldError.invalid("spec.clusterIPs", several, sentence)
    for i, (family, wanted) in enumerate(zip(found, families, strict=False)):
        if family != wanted:
            sentence = f"expected an {wanted} value as indicated by `ipFamilies[{i}]`"
            yield FieldError.invalid(f"spec.clusterIPs[{i}]", several[i], sentence)


def validate_routable_ip(text: str, path: str) -> Iterator[FieldError]:
    """No address that can only mean the machine itself or its link."""
    ip = validation.parse_ip(text)
    if ip is None:
        return
    if ip.is_unspecified:
        yield FieldError.invalid(path, text, f"may not be unspecified ({text})")
    if ip.is_loopback:
        yield FieldError.invalid(path, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if ip.is_link_local:
        yield FieldError.invalid(path, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if ip.is_multicast and (ip in ipaddress.ip_network("224.0.0.0/24") if ip.version == 4 else text.lower().startswith("ff02")):
        yield FieldError.invalid(path, text, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")


def _validate_ports_differ(spec: Object, type_: str, ports: list[Object]) -> Iterator[FieldError]:
    node_ports, numbers = set(), set()
    if type_ == "ClusterIP":
        for i, port in enumerate(ports):
            if port.get("nodePort"):
                yield FieldError.forbidden(f"spec.ports[{i}].nodePort", "may not be used when `type` is 'ClusterIP'")
    for i, port in enumerate(ports):
        protocol, node_port = port.get("protocol", ""), port.get("nodePort")
        if node_port:
            if (protocol, node_port) in node_ports:
                yield FieldError.duplicate(f"spec.ports[{i}].nodePort", node_port)
            node_ports.add((protocol, node_port))
    for i, port in enumerate(ports):
        key = (port.get("protocol", ""), port.get("port", 0))
        if key in numbers:
            shown = checks.invalid_struct("", {"protocol": key[0], "port": key[1]}, _GO_PORT, "").body
            body = shown.removeprefix("Invalid value: ").removesuffix(": ")
            yield FieldError("FieldValueDuplicate", f"spec.ports[{i}]", f"Duplicate value: {body}")
        numbers.add(key)


def _validate_load_balancer(spec: Object, type_: str) -> Iterator[FieldError]:
    ranges = spec.get("loadBalancerSourceRanges") or ()
    if ranges and type_ != "LoadBalancer":
        yield FieldError.forbidden("spec.LoadBalancerSourceRanges", "may only be used when `type` is 'LoadBalancer'")
    for i, text in enumerate(ranges):
        yield from checks.invalid_by(f"spec.LoadBalancerSourceRanges[{i}]", text.strip(), validation.cidr_errors)
    allocate = spec.get("allocateLoadBalancerNodePorts")
    if type_ == "LoadBalancer":
        if allocate is None:
            yield FieldError.required("spec.allocateLoadBalancerNodePorts", "field is required when `type` is 'LoadBalancer'")
    elif allocate is not None:
        yield FieldError.forbidden("spec.allocateLoadBalancerNodePorts", "may only be used when `type` is 'LoadBalancer'")
    class_ = spec.get("loadBalancerClass")
    if class_ is not None:
        if type_ != "LoadBalancer":
            yield FieldError.forbidden("spec.loadBalancerClass", "may only be used when `type` is 'LoadBalancer'")
        yield from checks.invalid_by("spec.loadBalancerClass", class_, validation.label_key_errors)


def _validate_traffic_policies(spec: Object, type_: str) -> Iterator[FieldError]:
    external = spec.get("externalTrafficPolicy", "")
    accessible = type_ in ("NodePort", "LoadBalancer") or (type_ == "ClusterIP" and bool(spec.get("externalIPs")))
    if not accessible:
        if external:
            yield FieldError.invalid(
                "spec.externalTrafficPolicy", external, "may only be set for externally-accessible services"
            )
    else:
        yield from checks.required_one_of(external, ("Cluster", "Local"), "spec.externalTrafficPolicy")
    health_port = spec.get("healthCheckNodePort", 0)
    if health_port < 0:
        yield FieldError.invalid("spec.healthCheckNodePort", health_port, "must be between 1 and 65535, inclusive")
    if health_port and not (type_ == "LoadBalancer" and external == "Local"):
        sentence = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        yield FieldError.invalid("spec.healthCheckNodePort", health_port, sentence)
    internal = spec.get("internalTrafficPolicy")
    if internal is None:
        if type_ != "ExternalName":
            yield FieldError.required("spec.internalTrafficPolicy")
    else:
        yield from checks.one_of(internal, ("Cluster", "Local"), "spec.internalTrafficPolicy")
    distribution = spec.get("trafficDistribution")
    if distribution is not None:
        choices = ("PreferClose", "PreferSameNode", "PreferSameZone")
        yield from checks.one_of(distribution, choices, "spec.trafficDistribution")


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    """The primary address stays as long as there is one."""
    now, before = new["spec"], old["spec"]
    if "ExternalName" in (now.get("type"), before.get("type")):
        return
    old_ips, new_ips = before.get("clusterIPs") or [], now.get("clusterIPs") or []
    if old_ips and new_ips and old_ips[0] != new_ips[0]:
        yield FieldError.invalid("spec.clusterIPs[0]", new_ips, "may not change once set")
    old_families, new_families = before.get("ipFamilies") or [], now.get("ipFamilies") or []
    if old_families and new_families and old_families[0] != new_families[0]:
        yield FieldError.invalid("spec.ipFamilies[0]", new_families[0], "may not change once set")
    if before.get("type") == now.get("type") == "LoadBalancer":
        yield from checks.immutable(now.get("loadBalancerClass"), before.get("loadBalancerClass"), "spec.loadBalancerClass")
