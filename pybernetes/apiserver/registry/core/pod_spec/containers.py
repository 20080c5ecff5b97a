"""Validation of containers of all three sorts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from pybernetes.apiserver.registry import checks
from pybernetes.apiserver.registry.core.pod_spec import resources as resource_checks
from pybernetes.apiserver.registry.core.pod_spec import security
from pybernetes.apiserver.registry.core.pod_spec.volumes import validate_field_selector, validate_resource_selector
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_POLICIES = frozenset(PULL_POLICIES)
_MESSAGE_POLICIES = frozenset(("File", "FallbackToLogsOnError"))
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_RESTART_POLICIES = ("Always", "Never", "OnFailure")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a container's rules depend on besides itself."""

    volumes: Mapping[str, Object]
    claims: Collection[str] = ()  # names in spec.resourceClaims
    grace_period_s: int | None = None
    restart_policy: str = "Always"
    host_users: bool | None = None
    names: set[str] = field(default_factory=set)  # taken so far


def validate_containers(containers: list[Object], around: Surroundings, path: str) -> Iterator[FieldError]:
    if not containers:
        yield FieldError.required(path)
        return
    for i, container in enumerate(containers):
        here = f"{path}[{i}]"
        yield from _validate_common(container, around, here)
        yield from _validate_name_is_free(container, around, here)
        lifecycle = container.get("lifecycle")
        if lifecycle:
            yield from _validate_lifecycle(lifecycle, around, here + ".lifecycle")
        yield from _validate_probes(container, around, here)
        yield from _validate_restart_policy(container, here)
    yield from _validate_host_ports_differ(containers, path)


def validate_init_containers(containers: list[Object], around: Surroundings, path: str) -> Iterator[FieldError]:
    for i, container in enumerate(containers):
        here = f"{path}[{i}]"
        sidecar = container.get("restartPolicy") == "Always"
        yield from _validate_common(container, around, here)
        yield from _validate_restart_policy(container, here)
        yield from _validate_name_is_free(container, around, here)
        yield from _validate_host_ports_differ([container], path)
        if sidecar:
            if container.get("lifecycle"):
                yield from _validate_lifecycle(container["lifecycle"], around, here + ".lifecycle")
            yield from _validate_probes(container, around, here)
        else:
            for name in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
                if container.get(name) is not None:
                    sentence = "may not be set for init containers without restartPolicy=Always"
                    yield FieldError.forbidden(f"{here}.{name}", sentence)
            if container.get("resizePolicy"):
                yield FieldError.invalid(
                    here + ".resizePolicy", container["resizePolicy"], "must not be set for init containers"
                )


_FORBIDDEN_IN_EPHEMERAL = (
    "lifecycle",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "ports",
    "resizePolicy",
    "restartPolicy",
)


def validate_ephemeral_containers(
    containers: list[Object], spec: Object, around: Surroundings, path: str
) -> Iterator[FieldError]:
    """KEP-277."""
    targets = {container.get("name") for part in ("containers", "initContainers") for container in spec.get(part) or ()}
    for i, container in enumerate(containers):
        here = f"{path}[{i}]"
        yield from _validate_common(container, around, here)
        yield from _validate_name_is_free(container, around, here)
        target = container.get("targetContainerName")
        if target and target not in targets:
            yield FieldError.not_found(here + ".targetContainerName", target)
        for name in _FORBIDDEN_IN_EPHEMERAL:
            if container.get(name):
                yield FieldError.forbidden(f"{here}.{name}", "cannot be set for an Ephemeral Container")
        if container.get("resources"):
            yield FieldError.forbidden(here + ".resources", "cannot be set for an Ephemeral Container")
        for j, mount in enumerate(container.get("volumeMounts") or ()):
            for name in ("subPath", "subPathExpr"):
                if mount.get(name):
                    sentence = "cannot be set for an Ephemeral Container"
                    yield FieldError.forbidden(f"{here}.volumeMounts[{j}].{name}", sentence)


def _validate_name_is_free(container: Object, around: Surroundings, path: str) -> Iterator[FieldError]:
    name = container.get("name", "")
    if name in around.names:
        yield FieldError.duplicate(path + ".name", name)
    elif name:
        around.names.add(name)


def _validate_common(container: Object, around: Surroundings, path: str) -> Iterator[FieldError]:
    get = container.get
    name = get("name", "")
    if not name:
        yield FieldError.required(path + ".name")
    else:
        yield from checks.invalid_by(path + ".name", name, validation.dns_1123_label_errors)
    image = get("image", "")
    if not image:
        yield FieldError.required(path + ".image")
    elif image != image.strip():
        yield FieldError.invalid(path + ".image", image, "must not have leading or trailing whitespace")
    message_policy = get("terminationMessagePolicy", "")
    if message_policy not in _MESSAGE_POLICIES:
        sentence = "must be 'File' or 'FallbackToLogsOnError'"
        yield FieldError.invalid(path + ".terminationMessagePolicy", message_policy, sentence)
    if "ports" in container:
        yield from _validate_ports(get("ports") or [], path + ".ports")
    if "env" in container:
        yield from _validate_env(get("env") or [], path + ".env")
    if "envFrom" in container:
        yield from _validate_env_from(get("envFrom") or [], path + ".envFrom")
    devices = get("volumeDevices") or ()
    if "volumeMounts" in container:
        yield from _validate_mounts(get("volumeMounts") or [], container, around.volumes, path + ".volumeMounts")
    if devices:
        yield from _validate_devices(devices, get("volumeMounts") or [], around.volumes, path + ".volumeDevices")
    if get("imagePullPolicy", "") not in _POLICIES:
        yield from checks.required_one_of(get("imagePullPolicy", ""), PULL_POLICIES, path + ".imagePullPolicy")
    if get("resources"):
        yield from resource_checks.validate_requirements(container["resources"], path + ".resources", around.claims)
    if "resizePolicy" in container:
        yield from _validate_resize_policy(get("resizePolicy") or [], around, path + ".resizePolicy")
    if get("securityContext"):
        yield from security.validate_container(container["securityContext"], path + ".securityContext", around.host_users)


def _validate_restart_policy(container: Object, path: str) -> Iterator[FieldError]:
    """KEP-753 (sidecars), KEP-5307 (rules per container)."""
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules")
    if policy is None:
        if rules:
            yield FieldError.required(path + ".restartPolicy", "must specify restartPolicy when restart rules are used")
        return
    yield from checks.one_of(policy, _RESTART_POLICIES, path + ".restartPolicy")


def _validate_ports(ports: list[Object], path: str) -> Iterator[FieldError]:
    names = set()
    for i, port in enumerate(ports):
        here, name = f"{path}[{i}]", port.get("name")
        if name:
            if sentences := validation.port_name_errors(name):
                for sentence in sentences:
                    yield FieldError.invalid(here + ".name", name, sentence)
            elif name in names:
                yield FieldError.duplicate(here + ".name", name)
            else:
                names.add(name)
        number = port.get("containerPort", 0)
        if not number:
            yield FieldError.required(here + ".containerPort")
        else:
            yield from checks.port_number(number, here + ".containerPort")
        if port.get("hostPort"):
            yield from checks.port_number(port["hostPort"], here + ".hostPort")
        yield from checks.required_one_of(port.get("protocol", ""), _PROTOCOLS, here + ".protocol")


def _validate_host_ports_differ(containers: list[Object], path: str) -> Iterator[FieldError]:
    taken = set()
    for i, container in enumerate(containers):
        for j, port in enumerate(container.get("ports") or ()):
            if port.get("hostPort"):
                claim = f"{port.get('protocol', 'TCP')}/{port.get('hostIP', '')}/{port['hostPort']}"
                if claim in taken:
                    yield FieldError.duplicate(f"{path}[{i}].ports[{j}].hostPort", claim)
                taken.add(claim)


_ENV_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")


def _validate_env(env: list[Object], path: str) -> Iterator[FieldError]:
    for i, variable in enumerate(env):
        name = variable.get("name", "")
        if not name:
            yield FieldError.required(f"{path}[{i}].name")
        else:
            yield from checks.invalid_by(f"{path}[{i}].name", name, validation.env_name_errors)
        source = variable.get("valueFrom")
        if source is not None:
            yield from _validate_env_source(source, variable.get("value", ""), f"{path}[{i}].valueFrom")


def _validate_env_source(source: Object, value: str, path: str) -> Iterator[FieldError]:
    if source.get("fieldRef") is not None:
        yield from validate_field_selector(source["fieldRef"], path + ".fieldRef")
    if source.get("resourceFieldRef") is not None:
        yield from validate_resource_selector(source["resourceFieldRef"], path + ".resourceFieldRef")
    for name in ("configMapKeyRef", "secretKeyRef"):
        if source.get(name) is not None:
            yield from _validate_key_selector(source[name], f"{path}.{name}")
    count = sum(source.get(name) is not None for name in _ENV_SOURCES)
    if not count:
        sentence = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        yield FieldError.invalid(path, "", sentence)
    elif value:
        yield FieldError.invalid(path, "", "may not be specified when `value` is not empty")
    elif count > 1:
        yield FieldError.invalid(path, "", "may not have more than one field specified at a time")


def _validate_key_selector(selector: Object, path: str) -> Iterator[FieldError]:
    yield from checks.invalid_by(path + ".name", selector.get("name", ""), validation.dns_1123_subdomain_errors)
    key = selector.get("key", "")
    if not key:
        yield FieldError.required(path + ".key")
    else:
        yield from checks.invalid_by(path + ".key", key, validation.config_key_errors)


def _validate_env_from(sources: list[Object], path: str) -> Iterator[FieldError]:
    for i, source in enumerate(sources):
        here = f"{path}[{i}]"
        if source.get("prefix"):
            yield from checks.invalid_by(here + ".prefix", source["prefix"], validation.env_name_errors)
        count = 0
        for name in ("configMapRef", "secretRef"):
            reference = source.get(name)
            if reference is not None:
                count += 1
                if not reference.get("name"):
                    yield FieldError.required(f"{here}.{name}.name")
                else:
                    yield from checks.invalid_by(f"{here}.{name}.name", reference["name"], validation.dns_1123_subdomain_errors)
        if not count:
            yield FieldError.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")
        elif count > 1:
            yield FieldError.invalid(path, "", "may not have more than one field specified at a time")


def _validate_mounts(mounts: list[Object], container: Object, volumes: Mapping[str, Object], path: str) -> Iterator[FieldError]:
    taken = set()
    devices = container.get("volumeDevices") or ()
    device_names = {device.get("name") for device in devices}
    device_paths = {device.get("devicePath") for device in devices}
    for i, mount in enumerate(mounts):
        here, name, mount_path = f"{path}[{i}]", mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            yield FieldError.required(here + ".name")
        if name not in volumes:
            yield FieldError.not_found(here + ".name", name)
        if not mount_path:
            yield FieldError.required(here + ".mountPath")
        if mount_path in taken:
            yield FieldError.invalid(here + ".mountPath", mount_path, "must be unique")
        taken.add(mount_path)
        if name in device_names:
            yield FieldError.invalid(here + ".name", name, "must not already exist in volumeDevices")
        if mount_path in device_paths:
            yield FieldError.invalid(here + ".mountPath", mount_path, "must not already exist as a path in volumeDevices")
        # Upstream names these two fields without their index.
        if mount.get("subPath"):
            yield from checks.relative_path(mount["subPath"], path + ".subPath")
        if mount.get("subPathExpr"):
            if mount.get("subPath"):
                sentence = "subPathExpr and subPath are mutually exclusive"
                yield FieldError.invalid(here + ".subPathExpr", mount["subPathExpr"], sentence)
            yield from checks.relative_path(mount["subPathExpr"], path + ".subPathExpr")
        propagation = mount.get("mountPropagation")
        if propagation is not None:
            yield from checks.one_of(propagation, ("Bidirectional", "HostToContainer", "None"), path + ".mountPropagation")
            if propagation == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
                sentence = "Bidirectional mount propagation is available only to privileged containers"
                yield FieldError.forbidden(path + ".mountPropagation", sentence)
        recursive = mount.get("recursiveReadOnly")
        if recursive is not None:
            yield from _validate_recursive_read_only(mount, recursive, path + ".recursiveReadOnly")


def _validate_recursive_read_only(mount: Object, value: str, path: str) -> Iterator[FieldError]:
    if value == "Disabled":
        return
    if value not in ("Enabled", "IfPossible"):
        yield FieldError.not_supported(path, value, ("Disabled", "Enabled", "IfPossible"))
        return
    if not mount.get("readOnly"):
        yield FieldError.forbidden(path, "may only be specified when readOnly is true")
    if mount.get("mountPropagation") not in (None, "None"):
        yield FieldError.forbidden(path, "may only be specified when mountPropagation is None or not specified")


def _validate_devices(
    devices: list[Object], mounts: list[Object], volumes: Mapping[str, Object], path: str
) -> Iterator[FieldError]:
    names, paths = set(), set()
    mount_names = {mount.get("name") for mount in mounts}
    mount_paths = {mount.get("mountPath") for mount in mounts}
    for i, device in enumerate(devices):
        here, name, device_path = f"{path}[{i}]", device.get("name", ""), device.get("devicePath", "")
        if not name:
            yield FieldError.required(here + ".name")
        if name in names:
            yield FieldError.invalid(here + ".name", name, "must be unique")
        volume = volumes.get(name)
        if volume is None:
            yield FieldError.not_found(here + ".name", name)
        elif volume.get("persistentVolumeClaim") is None and volume.get("ephemeral") is None:
            sentence = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            yield FieldError.invalid(here + ".name", name, sentence)
        if not device_path:
            yield FieldError.required(here + ".devicePath")
        if device_path in paths:
            yield FieldError.invalid(here + ".devicePath", device_path, "must be unique")
        if ".." in device_path.split("/"):
            yield FieldError.invalid(here + ".devicePath", device_path, "can not contain backsteps ('..')")
        if name in mount_names:
            yield FieldError.invalid(here + ".name", name, "must not already exist in volumeMounts")
        if device_path in mount_paths:
            yield FieldError.invalid(here + ".devicePath", device_path, "must not already exist as a path in volumeMounts")
        names.add(name)
        paths.add(device_path)


def _validate_resize_policy(policies: list[Object], around: Surroundings, path: str) -> Iterator[FieldError]:
    seen = set()
    for i, policy in enumerate(policies):
        name, restart = policy.get("resourceName", ""), policy.get("restartPolicy", "")
        if name in seen:
            yield FieldError.duplicate(f"{path}[{i}]", name)
        seen.add(name)
        yield from checks.required_one_of(name, ("cpu", "memory"), path)
        yield from checks.required_one_of(restart, ("NotRequired", "RestartContainer"), path)
        if around.restart_policy == "Never" and restart != "NotRequired":
            yield FieldError.invalid(path, restart, "must be 'NotRequired' when `restartPolicy` is 'Never'")


def _validate_lifecycle(lifecycle: Object, around: Surroundings, path: str) -> Iterator[FieldError]:
    for name in ("postStart", "preStop"):
        if lifecycle.get(name) is not None:
            yield from _validate_handler(lifecycle[name], around, f"{path}.{name}")


def _validate_handler(handler: Object, around: Surroundings, path: str) -> Iterator[FieldError]:
    count = 0
    for kind in ("exec", "httpGet", "tcpSocket", "grpc", "sleep"):
        action = handler.get(kind)
        if action is None:
            continue
        here = f"{path}.{kind}"
        if count:
            yield FieldError.forbidden(here, "may not specify more than 1 handler type")
            continue
        count = 1
        if kind == "exec":
            if not action.get("command"):
                yield FieldError.required(here + ".command")
        elif kind == "httpGet":
            yield from _validate_http_get(action, here)
        elif kind == "sleep":
            seconds, grace = action.get("seconds", 0), around.grace_period_s
            if grace is not None and not 0 <= seconds <= grace:
                sentence = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
                yield FieldError.invalid(here, seconds, sentence)
        else:
            yield from checks.port_number_or_name(action.get("port", 0), here + ".port")
    if not count:
        yield FieldError.required(path, "must specify a handler type")


def _validate_http_get(action: Object, path: str) -> Iterator[FieldError]:
    if not action.get("path"):
        yield FieldError.required(path + ".path")
    yield from checks.port_number_or_name(action.get("port", 0), path + ".port")
    yield from checks.one_of(action.get("scheme", ""), ("HTTP", "HTTPS"), path + ".scheme")
    for header in action.get("httpHeaders") or ():
        yield from checks.invalid_by(path + ".httpHeaders", header.get("name", ""), validation.http_header_errors)


_PROBE_NUMBERS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")


def _validate_probes(container: Object, around: Surroundings, path: str) -> Iterator[FieldError]:
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if probe is None:
            continue
        here = f"{path}.{name}"
        yield from _validate_handler(probe, around, here)
        for number in _PROBE_NUMBERS:
            yield from checks.not_negative(probe.get(number), f"{here}.{number}")
        grace = probe.get("terminationGracePeriodSeconds")
        if name == "readinessProbe":
            if grace is not None:
                yield FieldError.invalid(here + ".terminationGracePeriodSeconds", grace, "must not be set for readinessProbes")
        else:
            if grace is not None and grace <= 0:
                yield FieldError.invalid(here + ".terminationGracePeriodSeconds", grace, checks.POSITIVE)
            if probe.get("successThreshold", 1) != 1:
                yield FieldError.invalid(here + ".successThreshold", probe["successThreshold"], "must be 1")
