"""Defaulting of pod specs (API reference, PodSpec, Container, Volume; upstream's values).

Objects come here as the schema engine has conformed them: no nulls, no empty values of fields that are not pointers,
quantities in canonical form.
"""

from __future__ import annotations

from pybernetes.machinery.meta import Object


def set_pod_spec(spec: Object) -> None:
    """`v1.PodSpec`, in a pod or in a template."""
    put = spec.setdefault
    put("restartPolicy", "Always")
    put("dnsPolicy", "ClusterFirst")
    put("schedulerName", "default-scheduler")
    if put("terminationGracePeriodSeconds", 30) < 0:
        spec["terminationGracePeriodSeconds"] = 1
    put("securityContext", {})
    mirror_service_account(spec)
    for volume in spec.get("volumes") or ():
        set_volume(volume)
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(field) or ():
            set_container(container)


def mirror_service_account(spec: Object) -> None:
    """`serviceAccount` is the old name of `serviceAccountName`; both are shown."""
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account


def set_container(container: Object) -> None:
    """Containers of all three sorts."""
    put = container.setdefault
    if "imagePullPolicy" not in container:
        container["imagePullPolicy"] = default_pull_policy(container.get("image", ""))
    put("terminationMessagePath", "/dev/termination-log")
    put("terminationMessagePolicy", "File")
    put("resources", {})
    for port in container.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
    for env in container.get("env") or ():
        _set_env(env)
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if probe is not None:
            _set_probe(probe)
    lifecycle = container.get("lifecycle")
    if lifecycle:
        for handler in (lifecycle.get("postStart"), lifecycle.get("preStop")):
            if handler and handler.get("httpGet") is not None:
                _set_http_get(handler["httpGet"])


def default_pull_policy(image: str) -> str:
    """`Always` for the tag `latest`, which is also the one of an image named without tag and digest."""
    reference, at, _ = image.partition("@")
    repository_tail = reference.rpartition("/")[2]
    _, colon, tag = repository_tail.partition(":")
    if image and (tag == "latest" if colon else not at):
        return "Always"
    return "IfNotPresent"


def _set_env(env: Object) -> None:
    source = env.get("valueFrom")
    if source:
        if source.get("fieldRef") is not None:
            source["fieldRef"].setdefault("apiVersion", "v1")
        if source.get("resourceFieldRef") is not None:
            set_resource_field(source["resourceFieldRef"])
        if source.get("fileKeyRef") is not None:
            source["fileKeyRef"].setdefault("optional", False)


def set_resource_field(selector: Object) -> None:
    """The divisor is shown even where it is zero, which means one."""
    selector.setdefault("divisor", "0")


def _set_probe(probe: Object) -> None:
    put = probe.setdefault
    put("timeoutSeconds", 1)
    put("periodSeconds", 10)
    put("successThreshold", 1)
    put("failureThreshold", 3)
    if probe.get("httpGet") is not None:
        _set_http_get(probe["httpGet"])
    if probe.get("grpc") is not None:
        probe["grpc"].setdefault("service", "")


def _set_http_get(action: Object) -> None:
    if not action.get("path"):
        action["path"] = "/"
    if not action.get("scheme"):
        action["scheme"] = "HTTP"


def set_volume(volume: Object) -> None:
    """A volume without a source is an emptyDir."""
    if not volume or (len(volume) == 1 and "name" in volume):
        volume["emptyDir"] = {}
        return
    for source, value in volume.items():
        setter = _VOLUME_DEFAULTS.get(source)
        if setter is not None and value is not None:
            setter(value)


def _mode(source: Object) -> None:
    source.setdefault("defaultMode", 0o644)


def _downward(source: Object) -> None:
    source.setdefault("defaultMode", 0o644)
    _downward_items(source)


def _downward_items(source: Object) -> None:
    for item in source.get("items") or ():
        if item.get("fieldRef") is not None:
            item["fieldRef"].setdefault("apiVersion", "v1")
        if item.get("resourceFieldRef") is not None:
            set_resource_field(item["resourceFieldRef"])


def _projected(source: Object) -> None:
    source.setdefault("defaultMode", 0o644)
    # Go's type always shows the list.
    for part in source.setdefault("sources", None) or ():
        token = part.get("serviceAccountToken")
        if token is not None:
            token.setdefault("expirationSeconds", 3600)
        if part.get("downwardAPI") is not None:
            _downward_items(part["downwardAPI"])


def _host_path(source: Object) -> None:
    source.setdefault("type", "")


def _iscsi(source: Object) -> None:
    if not source.get("iscsiInterface"):
        source["iscsiInterface"] = "default"


def _rbd(source: Object) -> None:
    for field, value in (("pool", "rbd"), ("user", "admin"), ("keyring", "/etc/ceph/keyring")):
        if not source.get(field):
            source[field] = value


def _azure_disk(source: Object) -> None:
    for field, value in (("cachingMode", "ReadWrite"), ("kind", "Shared"), ("fsType", "ext4"), ("readOnly", False)):
        source.setdefault(field, value)


def _scale_io(source: Object) -> None:
    for field, value in (("storageMode", "ThinProvisioned"), ("fsType", "xfs")):
        if not source.get(field):
            source[field] = value


def _ephemeral(source: Object) -> None:
    template = source.get("volumeClaimTemplate")
    if template is not None:
        template.setdefault("metadata", {})
        set_claim_spec(template.setdefault("spec", {}))


def _image(source: Object) -> None:
    if not source.get("pullPolicy"):
        source["pullPolicy"] = default_pull_policy(source.get("reference", ""))


def set_claim_spec(spec: Object) -> None:
    """`v1.PersistentVolumeClaimSpec`."""
    spec.setdefault("volumeMode", "Filesystem")
    spec.setdefault("resources", {})


_VOLUME_DEFAULTS = {
    "secret": _mode, "configMap": _mode, "downwardAPI": _downward, "projected": _projected,
    "hostPath": _host_path, "iscsi": _iscsi, "rbd": _rbd, "azureDisk": _azure_disk, "scaleIO": _scale_io,
    "ephemeral": _ephemeral, "image": _image,
}  # fmt: skip
