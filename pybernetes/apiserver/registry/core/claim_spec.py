"""`v1.PersistentVolumeClaimSpec`: of claims, of templates of claims, of ephemeral volumes."""

from __future__ import annotations

from collections.abc import Iterator

from pybernetes.apiserver.registry import checks
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object
from pybernetes.machinery.quantity import parse

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")


def validate_access_modes(modes: list[str], path: str) -> Iterator[FieldError]:
    for mode in modes:
        yield from checks.one_of(mode, ACCESS_MODES, path)
    if "ReadWriteOncePod" in modes and len(set(modes)) > 1:
        yield FieldError.forbidden(path, "may not use ReadWriteOncePod with other access modes")


def validate_claim_spec(spec: Object, path: str) -> Iterator[FieldError]:
    modes = spec.get("accessModes") or []
    if not modes:
        yield FieldError.required(path + ".accessModes", "at least 1 access mode is required")
    if spec.get("selector") is not None:
        yield from checks.label_selector(spec["selector"], path + ".selector")
    yield from validate_access_modes(modes, path + ".accessModes")
    storage = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if storage is None:
        yield FieldError.required(path + ".resources[storage]")
    elif (amount := parse(storage)).nanos <= 0:
        yield FieldError.invalid(path + ".resources[storage]", amount.canonical(), "must be greater than zero")
    if spec.get("storageClassName"):
        yield from checks.invalid_by(path + ".storageClassName", spec["storageClassName"], validation.dns_1123_subdomain_errors)
    if spec.get("volumeMode") is not None:
        yield from checks.one_of(spec["volumeMode"], VOLUME_MODES, path + ".volumeMode")
    for field in ("dataSource", "dataSourceRef"):
        source = spec.get(field)
        if source is not None:
            yield from _validate_data_source(source, f"{path}.{field}")
    if spec.get("dataSource") is not None and spec.get("dataSourceRef") is not None:
        shown = {key: spec["dataSourceRef"].get(key) for key in ("apiGroup", "kind", "name")}
        if shown != {key: spec["dataSource"].get(key) for key in ("apiGroup", "kind", "name")}:
            yield FieldError.invalid(path, path + ".dataSource", "must match dataSourceRef")
    if spec.get("volumeAttributesClassName"):
        here = path + ".volumeAttributesClassName"
        yield from checks.invalid_by(here, spec["volumeAttributesClassName"], validation.dns_1123_subdomain_errors)


def _validate_data_source(source: Object, path: str) -> Iterator[FieldError]:
    for field in ("name", "kind"):
        if not source.get(field):
            yield FieldError.required(f"{path}.{field}")
    group = source.get("apiGroup")
    if not group and source.get("kind") != "PersistentVolumeClaim":
        sentence = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        yield FieldError.invalid(path, source.get("kind", ""), sentence)
    if group:
        yield from checks.invalid_by(path + ".apiGroup", group, validation.dns_1123_subdomain_errors)
