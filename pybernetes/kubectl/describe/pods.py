"""Pods, and the pod templates of workloads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pybernetes.kubectl.describe.layout import Page, conditions, labels_and_annotations, long_time
from pybernetes.kubectl.session import Session
from pybernetes.machinery.meta import Object, controller_of


async def describe_pod(session: Session, pod: Object, page: Page) -> None:
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    page.pair("Name", metadata["name"])
    page.pair("Namespace", metadata.get("namespace", ""))
    if spec.get("priority") is not None:
        page.pair("Priority", spec["priority"])
    if spec.get("priorityClassName"):
        page.pair("Priority Class Name", spec["priorityClassName"])
    if spec.get("runtimeClassName"):
        page.pair("Runtime Class Name", spec["runtimeClassName"])
    page.pair("Service Account", spec.get("serviceAccountName", ""))
    node = spec.get("nodeName", "")
    page.pair("Node", f"{node}/{status.get('hostIP', '')}" if node else "<none>")
    if status.get("startTime"):
        page.pair("Start Time", long_time(status["startTime"]))
    labels_and_annotations(page, pod)
    if metadata.get("deletionTimestamp"):
        page.pair("Status", f"Terminating (since {long_time(metadata['deletionTimestamp'])})")
        page.pair("Termination Grace Period", f"{metadata.get('deletionGracePeriodSeconds', 0)}s")
    else:
        page.pair("Status", status.get("phase", ""))
    for key in ("reason", "message"):
        if status.get(key):
            page.pair(key.capitalize(), status[key])
    page.pair("IP", status.get("podIP", ""))
    if status.get("podIPs"):
        page.line("IPs:")
        for address in status["podIPs"]:
            page.pair("IP", address.get("ip", ""), 1)
    else:
        page.pair("IPs", "<none>")
    owner = controller_of(pod)
    if owner is not None:
        page.pair("Controlled By", f"{owner['kind']}/{owner['name']}")
    if spec.get("initContainers"):
        _containers(page, "Init Containers", spec["initContainers"], status.get("initContainerStatuses"))
    _containers(page, "Containers", spec["containers"], status.get("containerStatuses"))
    if spec.get("readinessGates"):
        page.line("Readiness Gates:")
        page.table([["Type", "Status"], *([gate["conditionType"], "<none>"] for gate in spec["readinessGates"])])
    conditions(page, status.get("conditions"), ("Type", "Status"))
    _volumes(page, spec.get("volumes"))
    page.pair("QoS Class", status.get("qosClass", "BestEffort"))
    page.mapping("Node-Selectors", spec.get("nodeSelector"))
    _several(page, "Tolerations", [_toleration(each) for each in spec.get("tolerations") or ()])


def template_fields(page: Page, template: Object) -> None:
    """A pod template, indented by two, without a heading."""
    metadata, spec = template.get("metadata") or {}, template.get("spec") or {}
    page.mapping("Labels", metadata.get("labels"), 1)
    if metadata.get("annotations"):
        page.mapping("Annotations", metadata["annotations"], 1)
    if spec.get("serviceAccountName"):
        page.pair("Service Account", spec["serviceAccountName"], 1)
    if spec.get("initContainers"):
        _containers(page, "Init Containers", spec["initContainers"], None, indent=1)
    _containers(page, "Containers", spec.get("containers") or (), None, indent=1)
    _volumes(page, spec.get("volumes"), indent=1)
    page.mapping("Node-Selectors", spec.get("nodeSelector"), 1)
    _several(page, "Tolerations", [_toleration(each) for each in spec.get("tolerations") or ()], 1)


def _several(page: Page, key: str, values: Sequence[str], indent: int = 0) -> None:
    for place, value in enumerate(values or ["<none>"]):
        if place == 0:
            page.pair(key, value, indent)
        else:
            page.more(value)


def _containers(
    page: Page, title: str, containers: Sequence[Object], statuses: Sequence[Object] | None, *, indent: int = 0
) -> None:
    by_name = {each["name"]: each for each in statuses or ()}
    page.line("  " * indent + f"{title}:")
    for container in containers:
        status = by_name.get(container["name"])
        page.line(("   " if indent else "  ") + f"{container['name']}:")  # upstream's odd space, in templates
        _container(page, container, status, 2)


def _container(page: Page, container: Object, status: Object | None, at: int) -> None:
    if status is not None:
        page.pair("Container ID", status.get("containerID", ""), at)
    page.pair("Image", container.get("image", ""), at)
    if status is not None:
        page.pair("Image ID", status.get("imageID", ""), at)
    ports = container.get("ports") or ()
    name = "Ports" if len(ports) > 1 else "Port"
    page.pair(name, ", ".join(_port(port, "containerPort") for port in ports) or "<none>", at)
    page.pair(f"Host {name}", ", ".join(_port(port, "hostPort") for port in ports) or "<none>", at)
    for key, title in (("command", "Command"), ("args", "Args")):
        if container.get(key):
            page.line("  " * at + f"{title}:")
            page.lines("  " * (at + 1) + line for word in container[key] for line in str(word).split("\n"))
    if status is not None:
        _state(page, "State", status.get("state") or {}, at)
        if status.get("lastState"):
            _state(page, "Last State", status["lastState"], at)
        page.pair("Ready", str(bool(status.get("ready"))), at)
        page.pair("Restart Count", status.get("restartCount", 0), at)
    resources = container.get("resources") or {}
    for key in ("limits", "requests"):
        if resources.get(key):
            page.line("  " * at + f"{key.capitalize()}:")
            for name, amount in sorted(resources[key].items()):
                page.pair(name, amount, at + 1)
    for key, title in (("livenessProbe", "Liveness"), ("readinessProbe", "Readiness"), ("startupProbe", "Startup")):
        if container.get(key):
            page.pair(title, _probe(container[key]), at)
    _environment(page, container, at)
    mounts = container.get("volumeMounts") or ()
    if not mounts:
        page.pair("Mounts", "<none>", at)
        return
    page.line("  " * at + "Mounts:")
    for mount in sorted(mounts, key=lambda each: each["mountPath"]):
        flags = ["ro" if mount.get("readOnly") else "rw"]
        if mount.get("subPath"):
            flags.append(f'path="{mount["subPath"]}"')
        page.line("  " * (at + 1) + f"{mount['mountPath']} from {mount['name']} ({','.join(flags)})")


def _port(port: Object, key: str) -> str:
    number = port.get(key, 0)
    named = f" ({port['name']})" if port.get("name") else ""
    return f"{number}/{port.get('protocol', 'TCP')}{named}"


def _state(page: Page, title: str, state: Object, at: int) -> None:
    kind = next(iter(state), "waiting")
    page.pair(title, kind.capitalize(), at)
    detail: Object = state.get(kind) or {}
    if kind == "running":
        page.pair("Started", long_time(detail.get("startedAt")), at + 1)
        return
    for key in ("reason", "message"):
        if detail.get(key):
            page.pair(key.capitalize(), detail[key], at + 1)
    if kind == "terminated":
        page.pair("Exit Code", detail.get("exitCode", 0), at + 1)
        if detail.get("signal"):
            page.pair("Signal", detail["signal"], at + 1)
        page.pair("Started", long_time(detail.get("startedAt")), at + 1)
        page.pair("Finished", long_time(detail.get("finishedAt")), at + 1)


def _probe(probe: Object) -> str:
    times = (
        f"delay={probe.get('initialDelaySeconds', 0)}s timeout={probe.get('timeoutSeconds', 1)}s "
        f"period={probe.get('periodSeconds', 10)}s #success={probe.get('successThreshold', 1)} "
        f"#failure={probe.get('failureThreshold', 3)}"
    )
    if action := probe.get("exec"):
        return f"exec [{' '.join(action.get('command') or ())}] {times}"
    if action := probe.get("httpGet"):
        scheme = action.get("scheme", "HTTP").lower()
        return f"{scheme}-get {scheme}://{action.get('host', '')}:{action.get('port')}{action.get('path', '')} {times}"
    if action := probe.get("tcpSocket"):
        return f"tcp-socket {action.get('host', '')}:{action.get('port')} {times}"
    if action := probe.get("grpc"):
        return f"grpc <pod>:{action.get('port')} {action.get('service') or ''} {times}"
    return f"unknown {times}"


def _environment(page: Page, container: Object, at: int) -> None:
    if container.get("envFrom"):
        page.line("  " * at + "Environment Variables from:")
        rows = []
        for source in container["envFrom"]:
            for key, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                if key in source:
                    rows.append([source[key].get("name", ""), kind, f"Optional: {_bool(source[key].get('optional'))}"])
        page.table(rows, indent=2 * (at + 1))
    variables = container.get("env") or ()
    if not variables:
        page.pair("Environment", "<none>", at)
        return
    page.line("  " * at + "Environment:")
    for variable in variables:
        page.pair(variable["name"], _variable(variable), at + 1)


def _variable(variable: Mapping[str, Any]) -> str:
    source = variable.get("valueFrom")
    if not source:
        return str(variable.get("value", ""))
    if reference := source.get("fieldRef"):
        return f" ({reference.get('apiVersion', 'v1')}:{reference['fieldPath']})"
    if reference := source.get("resourceFieldRef"):
        return f" ({reference['resource']})"
    for key, kind in (("secretKeyRef", "secret"), ("configMapKeyRef", "config map")):
        if reference := source.get(key):
            named = f"<set to the key '{reference['key']}' {'in' if kind == 'secret' else 'of'} {kind} '{reference['name']}'>"
            return f"{named}  Optional: {_bool(reference.get('optional'))}"
    return "<unknown>"


def _bool(value: object) -> str:
    return "true" if value else "false"


def _volumes(page: Page, volumes: Sequence[Object] | None, indent: int = 0) -> None:
    if not volumes:
        page.pair("Volumes", "<none>", indent)
        return
    page.line("  " * indent + "Volumes:")
    for volume in volumes:
        page.line("  " * (indent + 1) + f"{volume['name']}:")
        at = indent + 2
        kind = next((key for key in volume if key != "name"), "emptyDir")
        source: Object = volume.get(kind) or {}
        _volume(page, kind, source, at)


def _volume(page: Page, kind: str, source: Object, at: int) -> None:
    match kind:
        case "emptyDir":
            page.pair("Type", "EmptyDir (a temporary directory that shares a pod's lifetime)", at)
            page.pair("Medium", source.get("medium", ""), at)
            page.pair("SizeLimit", source.get("sizeLimit", "<unset>"), at)
        case "hostPath":
            page.pair("Type", "HostPath (bare host directory volume)", at)
            page.pair("Path", source.get("path", ""), at)
            page.pair("HostPathType", source.get("type", ""), at)
        case "configMap":
            page.pair("Type", "ConfigMap (a volume populated by a ConfigMap)", at)
            page.pair("Name", source.get("name", ""), at)
            page.pair("Optional", _bool(source.get("optional")), at)
        case "secret":
            page.pair("Type", "Secret (a volume populated by a Secret)", at)
            page.pair("SecretName", source.get("secretName", ""), at)
            page.pair("Optional", _bool(source.get("optional")), at)
        case "persistentVolumeClaim":
            page.pair("Type", "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)", at)
            page.pair("ClaimName", source.get("claimName", ""), at)
            page.pair("ReadOnly", _bool(source.get("readOnly")), at)
        case "downwardAPI":
            page.pair("Type", "DownwardAPI (a volume populated by information about the pod)", at)
        case "projected":
            page.pair("Type", "Projected (a volume that contains injected data from multiple sources)", at)
            for part in source.get("sources") or ():
                if "serviceAccountToken" in part:
                    page.pair("TokenExpirationSeconds", part["serviceAccountToken"].get("expirationSeconds", 3600), at)
                elif "configMap" in part:
                    page.pair("ConfigMapName", part["configMap"].get("name", ""), at)
                    page.pair("Optional", _bool(part["configMap"].get("optional")), at)
                elif "secret" in part:
                    page.pair("SecretName", part["secret"].get("name", ""), at)
                    page.pair("Optional", _bool(part["secret"].get("optional")), at)
                elif "downwardAPI" in part:
                    page.pair("DownwardAPI", "true", at)
        case _:
            page.pair("Type", kind, at)


def _toleration(toleration: Object) -> str:
    text = str(toleration.get("key", ""))
    if toleration.get("value"):
        text += f"={toleration['value']}"
    if toleration.get("effect"):
        text += f":{toleration['effect']}"
    if toleration.get("operator") == "Exists" and not toleration.get("value"):
        text = f"{text} op=Exists" if text else "op=Exists"
    if toleration.get("tolerationSeconds") is not None:
        text += f" for {toleration['tolerationSeconds']}s"
    return text
