"""PersistentVolumes: storage of the cluster, bound to one claim."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks, diffs, printing
from pybernetes.apiserver.registry.core.claim_spec import VOLUME_MODES, validate_access_modes
from pybernetes.apiserver.registry.core.pod_spec import defaults
from pybernetes.apiserver.registry.core.pod_spec.scheduling import validate_node_selector
from pybernetes.apiserver.registry.core.pod_spec.volumes import PERSISTENT_SOURCES, validate_source
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Context, Strategy
from pybernetes.machinery import validation
from pybernetes.machinery.clock import rfc3339
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, annotations_of, is_being_deleted, name_of
from pybernetes.machinery.quantity import parse
from pybernetes.machinery.resources import PERSISTENT_VOLUMES

CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def default(volume: Object) -> None:
    spec = volume.setdefault("spec", {})
    if any(source in spec for source in PERSISTENT_SOURCES):
        defaults.set_volume(spec)
    spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
    spec.setdefault("volumeMode", "Filesystem")
    volume.setdefault("status", {}).setdefault("phase", "Pending")


def prepare_for_create(context: Context, volume: Object) -> None:
    volume["status"] = {"phase": "Pending", "lastPhaseTransitionTime": rfc3339(context.now)}


def prepare_for_status_update(context: Context, new: Object, old: Object) -> None:
    """KEP-3762."""
    status, before = new.setdefault("status", {}), old.get("status") or {}
    if status.get("phase") != before.get("phase"):
        status["lastPhaseTransitionTime"] = rfc3339(context.now)
    elif "lastPhaseTransitionTime" in before:
        status.setdefault("lastPhaseTransitionTime", before["lastPhaseTransitionTime"])


def validate(volume: Object) -> Iterator[FieldError]:
    spec = volume["spec"]
    modes, capacity = spec.get("accessModes") or [], spec.get("capacity") or {}
    if not modes:
        yield FieldError.required("spec.accessModes")
    yield from validate_access_modes(modes, "spec.accessModes")
    if not capacity:
        yield FieldError.required("spec.capacity")
    if set(capacity) != {"storage"}:
        yield FieldError.not_supported("spec.capacity", capacity or None, ("storage",))
    for name, text in capacity.items():
        amount = parse(text)
        if amount.nanos < 0:
            yield FieldError.invalid(f"spec.capacity[{name}]", amount.canonical(), checks.NOT_NEGATIVE)
        elif not amount.nanos:
            yield FieldError.invalid(f"spec.capacity[{name}]", amount.canonical(), "must be greater than zero")
    policy = spec.get("persistentVolumeReclaimPolicy")
    if policy:
        yield from checks.one_of(policy, ("Delete", "Recycle", "Retain"), "spec.persistentVolumeReclaimPolicy")
    affinity = (spec.get("nodeAffinity") or {}).get("required")
    if spec.get("nodeAffinity") is not None:
        if affinity is None:
            yield FieldError.required("spec.nodeAffinity.required", "must specify required node constraints")
        else:
            yield from validate_node_selector(affinity, "spec.nodeAffinity.required")
    yield from validate_source(spec, "spec", PERSISTENT_SOURCES)
    if spec.get("local") is not None and affinity is None:
        yield FieldError.required("spec.nodeAffinity", "Local volume requires node affinity")
    if (spec.get("hostPath") or {}).get("path") == "/" and policy == "Recycle":
        sentence = "may not be 'recycle' for a hostPath mount of '/'"
        yield FieldError.forbidden("spec.persistentVolumeReclaimPolicy", sentence)
    if spec.get("storageClassName"):
        yield from checks.invalid_by("spec.storageClassName", spec["storageClassName"], validation.dns_1123_subdomain_errors)
    if spec.get("volumeMode") is not None:
        yield from checks.one_of(spec["volumeMode"], VOLUME_MODES, "spec.volumeMode")
    claim = spec.get("claimRef")
    if claim is not None and claim.get("kind", "PersistentVolumeClaim") != "PersistentVolumeClaim":
        yield FieldError.invalid("spec.claimRef.kind", claim["kind"], "must be PersistentVolumeClaim")


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    before = {source: old["spec"][source] for source in PERSISTENT_SOURCES if source in old["spec"]}
    now = {source: new["spec"][source] for source in PERSISTENT_SOURCES if source in new["spec"]}
    if now != before:
        sentence = "spec.persistentvolumesource is immutable after creation\n" + diffs.unified(before, now)
        yield FieldError.forbidden("spec.persistentvolumesource", sentence)
    yield from checks.immutable(new["spec"].get("volumeMode"), old["spec"].get("volumeMode"), "spec.volumeMode")
    affinity = old["spec"].get("nodeAffinity")
    if affinity is not None and affinity != new["spec"].get("nodeAffinity"):
        yield FieldError.invalid("spec.nodeAffinity", new["spec"].get("nodeAffinity"), checks.IMMUTABLE)


def short_modes(modes: list[str]) -> str:
    """`RWO,ROX`, in a fixed order and without repetition."""
    return ",".join(short for mode, short in _MODES.items() if mode in modes)


def storage_class(obj: Object) -> str:
    """The annotation is older than the field, and wins."""
    annotated = annotations_of(obj).get(CLASS_ANNOTATION)
    return annotated if annotated is not None else (obj["spec"].get("storageClassName") or "")


def cells(volume: Object, now: datetime) -> list[Any]:
    spec, status, claim = volume["spec"], volume.get("status") or {}, volume["spec"].get("claimRef")
    phase = "Terminating" if is_being_deleted(volume) else status.get("phase", "")
    return [
        name_of(volume), (spec.get("capacity") or {}).get("storage", "0"), short_modes(spec.get("accessModes") or []),
        spec.get("persistentVolumeReclaimPolicy", ""), phase,
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "", storage_class(volume),
        spec.get("volumeAttributesClassName") or printing.UNSET, status.get("reason", ""), printing.age(volume, now),
        spec.get("volumeMode") or printing.UNSET,
    ]  # fmt: skip


STRATEGY = Strategy(
    resource=PERSISTENT_VOLUMES,
    default=default,
    prepare_for_create=prepare_for_create,
    validate=validate,
    validate_update=validate_update,
    has_status=True,
    prepare_for_status_update=prepare_for_status_update,
    selectable_fields={"name": name_of},
    columns=(
        NAME, Column("Capacity"), Column("Access Modes"), Column("Reclaim Policy"), Column("Status"), Column("Claim"),
        Column("StorageClass"), Column("VolumeAttributesClass"), Column("Reason"), AGE, Column("VolumeMode", priority=1),
    ),
    cells=cells,
)  # fmt: skip
