"""PersistentVolumeClaims: what a pod asks of storage."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import diffs, printing
from pybernetes.apiserver.registry.core.claim_spec import validate_claim_spec
from pybernetes.apiserver.registry.core.persistent_volumes import CLASS_ANNOTATION, short_modes, storage_class
from pybernetes.apiserver.registry.core.pod_spec import defaults
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Context, Strategy
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, annotations_of, is_being_deleted, name_of
from pybernetes.machinery.quantity import ZERO, Quantity, parse
from pybernetes.machinery.resources import PERSISTENT_VOLUME_CLAIMS

_FROZEN = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n"
_GO_SPEC: Object = {
    "AccessModes": None, "Selector": None, "Resources": {}, "VolumeName": "", "StorageClassName": None, "VolumeMode": None,
    "DataSource": None, "DataSourceRef": None, "VolumeAttributesClassName": None,
}  # fmt: skip


def default(claim: Object) -> None:
    defaults.set_claim_spec(claim.setdefault("spec", {}))
    claim.setdefault("status", {}).setdefault("phase", "Pending")


def prepare_for_create(_: Context, claim: Object) -> None:
    claim["status"] = {"phase": "Pending"}
    _match_sources(claim["spec"])


def prepare_for_update(_: Context, new: Object, old: Object) -> None:
    if "dataSource" in old["spec"] and "dataSourceRef" in old["spec"]:
        _match_sources(new["spec"])


def _match_sources(spec: Object) -> None:
    """KEP-1495: `dataSource` is the older, narrower `dataSourceRef`."""
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None and reference is None:
        spec["dataSourceRef"] = dict(source)
    elif reference is not None and source is None and not reference.get("namespace"):
        spec["dataSource"] = {key: reference[key] for key in ("apiGroup", "kind", "name") if key in reference}


def validate(claim: Object) -> Iterator[FieldError]:
    yield from validate_claim_spec(claim["spec"], "spec")


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    """The volume's name is filled in once; a bound claim may grow."""
    now, before = dict(new["spec"]), dict(old["spec"])
    if not before.get("volumeName") and now.get("volumeName"):
        before["volumeName"] = now["volumeName"]
    if before.get("storageClassName") is None and _class_is_settled(new, old):
        now.pop("storageClassName", None)
    old_size, new_size = _size(old), _size(new)
    if (new.get("status") or {}).get("phase") == "Bound" and (now.get("resources") or {}).get("requests"):
        requests = {**now["resources"]["requests"]}
        if "storage" in (before.get("resources") or {}).get("requests", {}):
            requests["storage"] = before["resources"]["requests"]["storage"]
        now["resources"] = {**now["resources"], "requests": requests}
    for spec in (now, before):
        spec.pop("volumeAttributesClassName", None)
    if now != before:
        yield FieldError.forbidden("spec", _FROZEN + diffs.unified(_shown(before), _shown(now)))
    granted = ((old.get("status") or {}).get("capacity") or {}).get("storage")
    if new_size < old_size and new_size <= (parse(granted) if granted else ZERO):
        yield FieldError.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")


def _class_is_settled(new: Object, old: Object) -> bool:
    """Old claims named their class in an annotation, or left it to be defaulted later (KEP-3333)."""
    class_ = new["spec"].get("storageClassName")
    annotated = annotations_of(old).get(CLASS_ANNOTATION)
    return class_ is not None and (annotated is None or annotated == class_)


def _size(claim: Object) -> Quantity:
    text = ((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage")
    return parse(text) if text else ZERO


def _shown(spec: Object) -> Object:
    shown = diffs.go_names(spec, _GO_SPEC)
    resources = shown["Resources"] or {}
    shown["Resources"] = {"Limits": resources.get("limits"), "Requests": resources.get("requests")}
    return shown


def cells(claim: Object, now: datetime) -> list[Any]:
    spec, status = claim["spec"], claim.get("status") or {}
    bound = bool(spec.get("volumeName"))
    return [
        name_of(claim), "Terminating" if is_being_deleted(claim) else status.get("phase", ""), spec.get("volumeName", ""),
        (status.get("capacity") or {}).get("storage", "0") if bound else "",
        short_modes(status.get("accessModes") or []) if bound else "", storage_class(claim),
        spec.get("volumeAttributesClassName") or printing.UNSET, printing.age(claim, now),
        spec.get("volumeMode") or printing.UNSET,
    ]  # fmt: skip


STRATEGY = Strategy(
    resource=PERSISTENT_VOLUME_CLAIMS,
    default=default,
    prepare_for_create=prepare_for_create,
    prepare_for_update=prepare_for_update,
    validate=validate,
    validate_update=validate_update,
    has_status=True,
    selectable_fields={"name": name_of},
    columns=(
        NAME, Column("Status"), Column("Volume"), Column("Capacity"), Column("Access Modes"), Column("StorageClass"),
        Column("VolumeAttributesClass"), AGE, Column("VolumeMode", priority=1),
    ),
    cells=cells,
)  # fmt: skip
