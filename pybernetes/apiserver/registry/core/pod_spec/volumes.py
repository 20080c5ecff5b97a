"""Validation of volumes: of pods, and the sources that persistent volumes share with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pybernetes.apiserver.registry import checks
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object
from pybernetes.machinery.quantity import parse

HOST_PATH_TYPES = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)  # fmt: skip
_VOLUME_FIELD_PATHS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
_ENV_FIELD_PATHS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP",
    "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
_KNOWN_FIELD_PATHS = frozenset(
    (*_ENV_FIELD_PATHS, *_VOLUME_FIELD_PATHS, "spec.restartPolicy", "spec.schedulerName", "status.phase")
)
_RESOURCE_FIELDS = (
    "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage", "requests.memory",
)  # fmt: skip
_BYTE_DIVISORS = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
_MODE_SENTENCE = "must be a number between 0 and 0777 (octal), both inclusive"


def validate_volumes(volumes: list[Object], path: str, known: dict[str, Object]) -> Iterator[FieldError]:
    """Puts the volumes that are right into `known`: mounts may refer to those alone."""
    seen = set()
    for i, volume in enumerate(volumes):
        here, name = f"{path}[{i}]", volume.get("name", "")
        found = list(validate_source(volume, here, _POD_SOURCES))
        if not name:
            found.append(FieldError.required(here + ".name"))
        else:
            found += checks.invalid_by(here + ".name", name, validation.dns_1123_label_errors)
        if name in seen:
            found.append(FieldError.duplicate(here + ".name", name))
        elif not found:
            known[name] = volume
        seen.add(name)
        yield from found


_Check = Callable[[Any, str], Iterator[FieldError]]


def validate_source(volume: Object, path: str, sources: dict[str, _Check]) -> Iterator[FieldError]:
    """Exactly one source, and a right one."""
    count = 0
    for field, check in sources.items():
        value = volume.get(field)
        if value is None:
            continue
        if count:
            yield FieldError.forbidden(f"{path}.{field}", "may not specify more than 1 volume type")
        else:
            count = 1
            yield from check(value, f"{path}.{field}")
    if not count:
        yield FieldError.required(path, "must specify a volume type")


def _mode(mode: int | None, path: str) -> Iterator[FieldError]:
    if mode is not None and not 0 <= mode <= 0o777:
        yield FieldError.invalid(path, mode, _MODE_SENTENCE)


def _need(*fields: str) -> _Check:
    """A source whose only rule is that some fields are there."""

    def check(source: Object, path: str) -> Iterator[FieldError]:
        for field in fields:
            if not source.get(field):
                yield FieldError.required(f"{path}.{field}")

    return check


def _empty_dir(source: Object, path: str) -> Iterator[FieldError]:
    limit = source.get("sizeLimit")
    if limit is not None and parse(limit).nanos < 0:
        yield FieldError.forbidden(path + ".sizeLimit", "SizeLimit field must be a valid resource quantity")


def validate_host_path(source: Object, path: str) -> Iterator[FieldError]:
    host_path = source.get("path", "")
    if not host_path:
        yield FieldError.required(path + ".path")
        return
    yield from checks.no_back_steps(host_path, path + ".path")
    yield from checks.one_of(source.get("type") or "", HOST_PATH_TYPES, path + ".type")


def _items(items: list[Object] | None, path: str) -> Iterator[FieldError]:
    for i, item in enumerate(items or ()):
        here = f"{path}[{i}]"
        if not item.get("key"):
            yield FieldError.required(here + ".key")
        if not item.get("path"):
            yield FieldError.required(here + ".path")
        else:
            yield from checks.relative_path_without_dots(item["path"], here + ".path")
        yield from _mode(item.get("mode"), here + ".mode")


def _secret(source: Object, path: str) -> Iterator[FieldError]:
    if not source.get("secretName"):
        yield FieldError.required(path + ".secretName")
    yield from _mode(source.get("defaultMode"), path + ".defaultMode")
    yield from _items(source.get("items"), path + ".items")


def _config_map(source: Object, path: str) -> Iterator[FieldError]:
    if not source.get("name"):
        yield FieldError.required(path + ".name")
    yield from _mode(source.get("defaultMode"), path + ".defaultMode")
    yield from _items(source.get("items"), path + ".items")


def _downward_files(items: list[Object] | None, path: str) -> Iterator[FieldError]:
    for i, item in enumerate(items or ()):
        here = f"{path}[{i}]"
        if not item.get("path"):
            yield FieldError.required(here + ".path")
        else:
            yield from checks.relative_path_without_dots(item["path"], here + ".path")
        field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
        if field is not None:
            yield from validate_field_selector(field, here + ".fieldRef", _VOLUME_FIELD_PATHS)
            if resource is not None:
                sentence = "fieldRef and resourceFieldRef can not be specified simultaneously"
                yield FieldError.invalid(here, "resource", sentence)
        elif resource is not None:
            yield from validate_resource_selector(resource, here + ".resourceFieldRef", container_needed=True)
        else:
            yield FieldError.required(here, "one of fieldRef and resourceFieldRef is required")
        yield from _mode(item.get("mode"), here + ".mode")


def _downward(source: Object, path: str) -> Iterator[FieldError]:
    yield from _mode(source.get("defaultMode"), path + ".defaultMode")
    # Upstream gives these without their index.
    yield from _downward_files(source.get("items"), path)


def _projected(source: Object, path: str) -> Iterator[FieldError]:
    yield from _mode(source.get("defaultMode"), path + ".defaultMode")
    paths: set[str] = set()
    for i, part in enumerate(source.get("sources") or ()):
        here, count = f"{path}.sources[{i}]", 0
        for field, check in _PROJECTIONS.items():
            value = part.get(field)
            if value is None:
                continue
            if count:
                yield FieldError.forbidden(f"{here}.{field}", "may not specify more than 1 volume type per source")
                continue
            count = 1
            yield from check(value, f"{here}.{field}")
            for file in [value.get("path")] if field in _ONE_FILE else [item.get("path") for item in value.get("items") or ()]:
                if file and file in paths:
                    yield FieldError.invalid(path, file, "conflicting duplicate paths")
                paths.add(file or "")


def _projected_secret(source: Object, path: str) -> Iterator[FieldError]:
    if not source.get("name"):
        yield FieldError.required(path + ".name")
    yield from _items(source.get("items"), path + ".items")


def _projected_downward(source: Object, path: str) -> Iterator[FieldError]:
    yield from _downward_files(source.get("items"), path)


def _projected_token(source: Object, path: str) -> Iterator[FieldError]:
    seconds = source.get("expirationSeconds", 3600)
    if seconds < 600:
        yield FieldError.invalid(path + ".expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
    if seconds > 1 << 32:
        yield FieldError.invalid(path + ".expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")
    if not source.get("path"):
        yield FieldError.required(path + ".path")
    else:
        yield from checks.relative_path_without_dots(source["path"], path + ".path")


def _trust_bundle(source: Object, path: str) -> Iterator[FieldError]:
    by_name, by_signer = source.get("name") is not None, source.get("signerName") is not None
    if by_name and by_signer:
        yield FieldError.invalid(path, source, "only one of name and signerName may be used")
    elif not by_name and not by_signer:
        yield FieldError.required(path, "either name or signerName must be specified")
    if not source.get("path"):
        yield FieldError.required(path + ".path")
    else:
        yield from checks.relative_path_without_dots(source["path"], path + ".path")


_PROJECTIONS: dict[str, _Check] = {
    "secret": _projected_secret, "configMap": _projected_secret, "downwardAPI": _projected_downward,
    "serviceAccountToken": _projected_token, "clusterTrustBundle": _trust_bundle, "podCertificate": _need("signerName"),
}  # fmt: skip
_ONE_FILE = frozenset(("serviceAccountToken", "clusterTrustBundle"))


def _nfs(source: Object, path: str) -> Iterator[FieldError]:
    if not source.get("server"):
        yield FieldError.required(path + ".server")
    if not source.get("path"):
        yield FieldError.required(path + ".path")
    yield from checks.absolute_path(source.get("path", ""), path + ".path")


def _iscsi(source: Object, path: str) -> Iterator[FieldError]:
    for field in ("targetPortal", "iqn"):
        if not source.get(field):
            yield FieldError.required(f"{path}.{field}")
    lun = source.get("lun", 0)
    if not 0 <= lun <= 255:
        yield FieldError.invalid(path + ".lun", lun, "must be between 0 and 255, inclusive")
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and source.get("secretRef") is None:
        yield FieldError.required(path + ".secretRef")


def _glusterfs(source: Object, path: str) -> Iterator[FieldError]:
    yield from _need("endpoints", "path")(source, path)


def _rbd(source: Object, path: str) -> Iterator[FieldError]:
    yield from _need("monitors", "image")(source, path)


def validate_csi_driver_name(name: str, path: str) -> Iterator[FieldError]:
    if not name:
        yield FieldError.required(path)
    if len(name) > 63:
        yield FieldError.too_long(path, 63)
    yield from checks.invalid_by(path, name.lower(), validation.dns_1123_subdomain_errors)


def _csi(source: Object, path: str) -> Iterator[FieldError]:
    yield from validate_csi_driver_name(source.get("driver", ""), path + ".driver")
    reference = source.get("nodePublishSecretRef")
    if reference is not None and not reference.get("name"):
        yield FieldError.required(path + ".nodePublishSecretRef.name")


def _ephemeral(source: Object, path: str) -> Iterator[FieldError]:
    from pybernetes.apiserver.registry.core.claim_spec import validate_claim_spec

    template = source.get("volumeClaimTemplate")
    if template is None:
        yield FieldError.required(path + ".volumeClaimTemplate")
        return
    here = path + ".volumeClaimTemplate"
    metadata = template.get("metadata") or {}
    yield from checks.annotation_map(metadata.get("annotations"), here + ".metadata.annotations")
    yield from checks.label_map(metadata.get("labels"), here + ".metadata.labels")
    for field in metadata.keys() - {"annotations", "labels", "creationTimestamp"}:
        yield FieldError.forbidden(f"{here}.metadata.{field}", "is not allowed when creating a claim from a template")
    yield from validate_claim_spec(template.get("spec") or {}, here + ".spec")


def _image(source: Object, path: str) -> Iterator[FieldError]:
    if not source.get("reference"):
        yield FieldError.required(path + ".reference")
    yield from checks.one_of(source.get("pullPolicy") or "Always", ("Always", "IfNotPresent", "Never"), path + ".pullPolicy")


def _git_repo(source: Object, path: str) -> Iterator[FieldError]:
    if not source.get("repository"):
        yield FieldError.required(path + ".repository")
    yield from checks.relative_path(source.get("directory", ""), path + ".directory")


def _flocker(source: Object, path: str) -> Iterator[FieldError]:
    if not source.get("datasetName") and not source.get("datasetUUID"):
        yield FieldError.required(path, "one of datasetName and datasetUUID is required")


def _fc(source: Object, path: str) -> Iterator[FieldError]:
    if not source.get("targetWWNs") and not source.get("wwids"):
        yield FieldError.required(path + ".targetWWNs", "must specify either targetWWNs or wwids, but not both")
    elif source.get("targetWWNs") and source.get("lun") is None:
        yield FieldError.required(path + ".lun", "lun is required if targetWWNs is specified")


# In upstream's order, which decides what is "more than 1".
_POD_SOURCES: dict[str, _Check] = {
    "emptyDir": _empty_dir, "hostPath": validate_host_path, "gitRepo": _git_repo, "gcePersistentDisk": _need("pdName"),
    "awsElasticBlockStore": _need("volumeID"), "secret": _secret, "nfs": _nfs, "iscsi": _iscsi, "glusterfs": _glusterfs,
    "flocker": _flocker, "persistentVolumeClaim": _need("claimName"), "rbd": _rbd, "cinder": _need("volumeID"),
    "cephfs": _need("monitors"), "quobyte": _need("registry", "volume"), "downwardAPI": _downward, "fc": _fc,
    "configMap": _config_map, "azureFile": _need("secretName", "shareName"), "vsphereVolume": _need("volumePath"),
    "photonPersistentDisk": _need("pdID"), "portworxVolume": _need("volumeID"), "azureDisk": _need("diskName", "diskURI"),
    "storageos": _need("volumeName"), "projected": _projected, "scaleIO": _need("gateway", "system", "volumeName"),
    "csi": _csi, "ephemeral": _ephemeral, "image": _image,
}  # fmt: skip


def _pv_csi(source: Object, path: str) -> Iterator[FieldError]:
    yield from validate_csi_driver_name(source.get("driver", ""), path + ".driver")
    if not source.get("volumeHandle"):
        yield FieldError.required(path + ".volumeHandle")
    for field in ("controllerPublishSecretRef", "nodePublishSecretRef", "controllerExpandSecretRef", "nodeExpandSecretRef"):
        reference = source.get(field)
        if reference is not None:
            yield from _need("name", "namespace")(reference, f"{path}.{field}")


def _local(source: Object, path: str) -> Iterator[FieldError]:
    if not source.get("path"):
        yield FieldError.required(path + ".path")
        return
    yield from checks.no_back_steps(source["path"], path + ".path")


PERSISTENT_SOURCES: dict[str, _Check] = {
    "hostPath": validate_host_path, "gcePersistentDisk": _need("pdName"), "awsElasticBlockStore": _need("volumeID"),
    "glusterfs": _glusterfs, "flocker": _flocker, "nfs": _nfs, "rbd": _rbd, "quobyte": _need("registry", "volume"),
    "cephfs": _need("monitors"), "iscsi": _iscsi, "cinder": _need("volumeID"), "fc": _fc,
    "azureFile": _need("secretName", "shareName"), "vsphereVolume": _need("volumePath"), "photonPersistentDisk": _need("pdID"),
    "portworxVolume": _need("volumeID"), "azureDisk": _need("diskName", "diskURI"),
    "scaleIO": _need("gateway", "system", "volumeName"), "local": _local, "storageos": _need("volumeName"), "csi": _pv_csi,
}  # fmt: skip


def validate_field_selector(selector: Object, path: str, choices: tuple[str, ...] = _ENV_FIELD_PATHS) -> Iterator[FieldError]:
    """`fieldRef` of the downward API; the choices differ between environment and volumes."""
    version, field_path = selector.get("apiVersion", ""), selector.get("fieldPath", "")
    if not version:
        yield FieldError.required(path + ".apiVersion")
        return
    if not field_path:
        yield FieldError.required(path + ".fieldPath")
        return
    base, bracket, rest = field_path.partition("['")
    if bracket and rest.endswith("']"):
        key = rest.removesuffix("']")
        if base == "metadata.annotations":
            yield from checks.invalid_by(path, key.lower(), validation.label_key_errors)
        elif base == "metadata.labels":
            yield from checks.invalid_by(path, key, validation.label_key_errors)
        else:
            sentence = f"error converting fieldPath: field label does not support subscript: {field_path}"
            yield FieldError.invalid(path + ".fieldPath", field_path, sentence)
        return
    if version != "v1":
        sentence = f"error converting fieldPath: unsupported pod version: {version}"
        yield FieldError.invalid(path + ".fieldPath", field_path, sentence)
        return
    field_path = "spec.nodeName" if field_path == "spec.host" else field_path
    if field_path not in _KNOWN_FIELD_PATHS:
        sentence = f"error converting fieldPath: field label not supported: {field_path}"
        yield FieldError.invalid(path + ".fieldPath", field_path, sentence)
    else:
        yield from checks.one_of(field_path, choices, path + ".fieldPath")


def validate_resource_selector(selector: Object, path: str, *, container_needed: bool = False) -> Iterator[FieldError]:
    """`resourceFieldRef` of the downward API."""
    resource = selector.get("resource", "")
    if container_needed and not selector.get("containerName"):
        yield FieldError.required(path + ".containerName")
    elif not resource:
        yield FieldError.required(path + ".resource")
    elif not resource.startswith(("limits.hugepages-", "requests.hugepages-")):
        yield from checks.one_of(resource, _RESOURCE_FIELDS, path + ".resource")
    divisor = parse(selector.get("divisor", "0"))
    if not divisor.nanos:
        return
    if resource.endswith(".cpu"):
        if divisor.canonical() not in ("1m", "1"):
            sentence = "only divisor's values 1m and 1 are supported with the cpu resource"
            yield FieldError.invalid(path + ".divisor", resource, sentence)
    elif divisor.canonical() not in _BYTE_DIVISORS:
        kind = "local ephemeral storage" if "ephemeral" in resource else "hugepages" if "hugepages" in resource else "memory"
        sentence = f"only divisor's values {', '.join(_BYTE_DIVISORS)} are supported with the {kind} resource"
        yield FieldError.invalid(path + ".divisor", resource, sentence)
