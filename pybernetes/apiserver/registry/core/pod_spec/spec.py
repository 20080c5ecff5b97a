"""Validation of a whole pod spec, in a pod or in a template."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pybernetes.apiserver.registry import checks
from pybernetes.apiserver.registry.core.pod_spec import containers as container_checks
from pybernetes.apiserver.registry.core.pod_spec import resources as resource_checks
from pybernetes.apiserver.registry.core.pod_spec import scheduling, security
from pybernetes.apiserver.registry.core.pod_spec.containers import Surroundings
from pybernetes.apiserver.registry.core.pod_spec.volumes import validate_volumes
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object

RESTART_POLICIES = ("Always", "OnFailure", "Never")
DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_NO_VOLUMES: Mapping[str, Object] = {}


def validate(spec: Object, path: str = "spec", *, in_pod: bool = True) -> Iterator[FieldError]:
    """`in_pod`: the stricter rules which upstream has for pods alone, not for templates."""
    get = spec.get
    volumes: dict[str, Object] = {}
    if get("volumes"):
        yield from validate_volumes(spec["volumes"], path + ".volumes", volumes)
    claims = {claim.get("name", "") for claim in get("resourceClaims") or ()}
    if claims:
        yield from _validate_claims(spec["resourceClaims"], path + ".resourceClaims")
    around = Surroundings(
        volumes, claims, get("terminationGracePeriodSeconds"), get("restartPolicy", "Always"), get("hostUsers")
    )
    yield from container_checks.validate_containers(get("containers") or [], around, path + ".containers")
    if get("initContainers"):
        yield from container_checks.validate_init_containers(spec["initContainers"], around, path + ".initContainers")
    if get("ephemeralContainers"):
        here = path + ".ephemeralContainers"
        yield from container_checks.validate_ephemeral_containers(spec["ephemeralContainers"], spec, around, here)
    if get("restartPolicy", "") not in RESTART_POLICIES:
        yield from checks.required_one_of(get("restartPolicy", ""), RESTART_POLICIES, path + ".restartPolicy")
    if get("dnsPolicy", "") not in DNS_POLICIES:
        yield from checks.required_one_of(get("dnsPolicy", ""), DNS_POLICIES, path + ".dnsPolicy")
    if get("nodeSelector"):
        yield from checks.label_map(spec["nodeSelector"], path + ".nodeSelector")
    if get("hostNetwork"):
        yield from _validate_host_network(get("containers") or [], path + ".containers", in_pod)
    yield from security.validate_pod(get("securityContext") or {}, spec, path + ".securityContext")
    if get("affinity"):
        yield from scheduling.validate_affinity(spec["affinity"], path + ".affinity")
    if get("dnsConfig") is not None or get("dnsPolicy") == "None":
        yield from _validate_dns_config(get("dnsConfig"), get("dnsPolicy", ""), path + ".dnsConfig")
    for i, gate in enumerate(get("readinessGates") or ()):
        here = f"{path}.readinessGates[{i}].conditionType"
        yield from checks.invalid_by(here, gate.get("conditionType", ""), validation.label_key_errors)
    if get("schedulingGates"):
        yield from _validate_gates(spec["schedulingGates"], path + ".schedulingGates")
        if in_pod and get("nodeName"):
            sentence = "cannot be set until all schedulingGates have been cleared"
            yield FieldError.forbidden(path + ".nodeName", sentence)
    if get("topologySpreadConstraints"):
        here = path + ".topologySpreadConstraints"
        yield from scheduling.validate_topology_spread(spec["topologySpreadConstraints"], here)
    for name in ("serviceAccountName", "nodeName", "priorityClassName", "runtimeClassName"):
        if get(name):
            yield from checks.invalid_by(f"{path}.{name}", spec[name], validation.dns_1123_subdomain_errors)
    if get("activeDeadlineSeconds") is not None:
        yield from checks.between(spec["activeDeadlineSeconds"], 1, checks.MAX_INT32, path + ".activeDeadlineSeconds")
    for name in ("hostname", "subdomain"):
        if get(name):
            yield from checks.invalid_by(f"{path}.{name}", spec[name], validation.dns_1123_label_errors)
    if get("tolerations"):
        yield from scheduling.validate_tolerations(spec["tolerations"], path + ".tolerations")
    if get("hostAliases"):
        yield from _validate_host_aliases(spec["hostAliases"], path + ".hostAliases")
    if get("preemptionPolicy") is not None:
        yield from checks.one_of(spec["preemptionPolicy"], ("PreemptLowerPriority", "Never"), path + ".preemptionPolicy")
    if get("overhead"):
        yield from resource_checks.validate_requirements({"limits": spec["overhead"]}, path + ".overhead")
    if get("resources"):
        yield from _validate_pod_resources(spec, path)
    if get("os") is not None:
        yield from _validate_os(spec, path)


def _validate_claims(claims: list[Object], path: str) -> Iterator[FieldError]:
    seen = set()
    for i, claim in enumerate(claims):
        here, name = f"{path}[{i}]", claim.get("name", "")
        if not name:
            yield FieldError.required(here + ".name")
        elif name in seen:
            yield FieldError.duplicate(here + ".name", name)
        else:
            yield from checks.invalid_by(here + ".name", name, validation.dns_1123_label_errors)
        seen.add(name)
        sources = [field for field in ("resourceClaimName", "resourceClaimTemplateName") if claim.get(field) is not None]
        choices = "`resourceClaimName`, `resourceClaimTemplateName`"
        if not sources:
            yield FieldError.invalid(here, claim, f"must specify one of: {choices}")
        elif len(sources) > 1:
            yield FieldError.invalid(here, claim, f"at most one of {choices} may be specified")
        for field in sources:
            yield from checks.invalid_by(f"{here}.{field}", claim[field], validation.dns_1123_subdomain_errors)


def _validate_host_network(containers: list[Object], path: str, in_pod: bool) -> Iterator[FieldError]:
    for i, container in enumerate(containers):
        for j, port in enumerate(container.get("ports") or ()):
            host_port = port.get("hostPort", 0)
            if (in_pod or host_port) and host_port != port.get("containerPort", 0):
                sentence = "must match `containerPort` when `hostNetwork` is true"
                yield FieldError.invalid(f"{path}[{i}].ports[{j}].hostPort", host_port, sentence)


def _validate_dns_config(config: Object | None, policy: str, path: str) -> Iterator[FieldError]:
    nameservers = (config or {}).get("nameservers") or []
    if policy == "None":
        if config is None:
            yield FieldError.required(path, "must provide `dnsConfig` when `dnsPolicy` is None")
            return
        if not nameservers:
            yield FieldError.required(
                path + ".nameservers", "must provide at least one DNS nameserver when `dnsPolicy` is None"
            )
            return
    assert config is not None
    if len(nameservers) > 3:
        yield FieldError.invalid(path + ".nameservers", nameservers, "must not have more than 3 nameservers")
    for i, nameserver in enumerate(nameservers):
        yield from checks.invalid_by(f"{path}.nameservers[{i}]", nameserver, validation.ip_errors)
    searches = config.get("searches") or []
    if len(searches) > 32:
        yield FieldError.invalid(path + ".searches", searches, "must not have more than 32 search paths")
    if len(" ".join(searches)) > 2048:
        sentence = "must not have more than 2048 characters (including spaces) in the search list"
        yield FieldError.invalid(path + ".searches", searches, sentence)
    for i, search in enumerate(searches):
        if search != ".":
            name = search.removesuffix(".")
            yield from checks.invalid_by(f"{path}.searches[{i}]", name, _search_errors)
    for i, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            yield FieldError.required(f"{path}.options[{i}]", "must not be empty")


def _search_errors(name: str) -> list[str]:
    """KEP-4427: underscores are welcome in search paths."""
    return (
        [] if not validation.dns_1123_subdomain_errors(name.replace("_", "a")) else validation.dns_1123_subdomain_errors(name)
    )


def _validate_gates(gates: list[Object], path: str) -> Iterator[FieldError]:
    """KEP-3521."""
    seen = set()
    for i, gate in enumerate(gates):
        name = gate.get("name", "")
        yield from checks.invalid_by(f"{path}[{i}]", name, validation.label_key_errors)
        if name in seen:
            yield FieldError.duplicate(f"{path}[{i}]", name)
        seen.add(name)


def _validate_host_aliases(aliases: list[Object], path: str) -> Iterator[FieldError]:
    for i, alias in enumerate(aliases):
        yield from checks.invalid_by(f"{path}[{i}].ip", alias.get("ip", ""), validation.ip_errors)
        for j, hostname in enumerate(alias.get("hostnames") or ()):
            yield from checks.invalid_by(f"{path}[{i}].hostnames[{j}]", hostname, validation.dns_1123_subdomain_errors)


def _validate_pod_resources(spec: Object, path: str) -> Iterator[FieldError]:
    """KEP-2837: resources of the pod as a whole."""
    resources, here = spec["resources"], path + ".resources"
    for field in ("limits", "requests"):
        for name in resources.get(field) or ():
            if name not in ("cpu", "memory") and not resource_checks.is_huge_page(name):
                supported = ("cpu", "hugepages-", "memory")
                yield FieldError.not_supported(f"{here}.{field}[{name}]", name, supported)
    yield from resource_checks.validate_requirements(resources, here)


_LINUX_ONLY = (
    "fsGroup", "fsGroupChangePolicy", "runAsGroup", "runAsUser", "seLinuxOptions", "seccompProfile", "supplementalGroups",
    "sysctls", "supplementalGroupsPolicy", "appArmorProfile",
)  # fmt: skip


def _validate_os(spec: Object, path: str) -> Iterator[FieldError]:
    """KEP-2802."""
    name = spec["os"].get("name", "")
    yield from checks.required_one_of(name, ("linux", "windows"), path + ".os.name")
    context = spec.get("securityContext") or {}
    if name == "windows":
        for field in _LINUX_ONLY:
            if context.get(field) is not None:
                yield FieldError.forbidden(f"{path}.securityContext.{field}", "cannot be set for a windows pod")
        for field in ("hostPID", "hostIPC", "shareProcessNamespace"):
            if spec.get(field):
                yield FieldError.forbidden(f"{path}.{field}", "cannot be set for a windows pod")
    elif name == "linux":
        if context.get("windowsOptions") is not None:
            yield FieldError.forbidden(
                path + ".securityContext.windowsOptions", "windows options cannot be set for a linux pod"
            )
        for i, container in enumerate(spec.get("containers") or ()):
            if (container.get("securityContext") or {}).get("windowsOptions") is not None:
                field = f"{path}.containers[{i}].securityContext.windowsOptions"
                yield FieldError.forbidden(field, "windows options cannot be set for a linux pod")
