"""StorageClasses and VolumeAttributesClasses."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks, printing
from pybernetes.apiserver.registry.core.pod_spec.volumes import validate_csi_driver_name
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Strategy
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, annotations_of, name_of
from pybernetes.machinery.resources import STORAGE_CLASSES, VOLUME_ATTRIBUTES_CLASSES

_DEFAULT_MARKS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
_PARAMETERS_MAX, _SIZE_MAX = 512, 256 * 1024


def default(storage_class: Object) -> None:
    storage_class.setdefault("reclaimPolicy", "Delete")
    storage_class.setdefault("volumeBindingMode", "Immediate")


def validate(storage_class: Object) -> Iterator[FieldError]:
    provisioner = storage_class.get("provisioner", "")
    if not provisioner:
        yield FieldError.required("provisioner")
    else:
        yield from checks.invalid_by("provisioner", provisioner.lower(), validation.label_key_errors)
    yield from _validate_parameters(storage_class.get("parameters") or {})
    if storage_class.get("reclaimPolicy"):
        yield from checks.one_of(storage_class["reclaimPolicy"], ("Delete", "Retain"), "reclaimPolicy")
    mode = storage_class.get("volumeBindingMode")
    if mode is None:
        yield FieldError.required("volumeBindingMode")
    else:
        yield from checks.one_of(mode, ("Immediate", "WaitForFirstConsumer"), "volumeBindingMode")


def _validate_parameters(parameters: Object) -> Iterator[FieldError]:
    if len(parameters) > _PARAMETERS_MAX:
        yield FieldError.too_long("parameters", _PARAMETERS_MAX)
        return
    if "" in parameters:
        yield FieldError.invalid("parameters", "", "field can not be empty.")
    if sum(len(key) + len(value) for key, value in parameters.items()) > _SIZE_MAX:
        yield FieldError.too_long("parameters", _SIZE_MAX)


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    for field in ("parameters", "provisioner", "reclaimPolicy"):
        if (new.get(field) or None) != (old.get(field) or None):
            yield FieldError.forbidden(field, f"updates to {field} are forbidden.")
    yield from checks.immutable(new.get("volumeBindingMode"), old.get("volumeBindingMode"), "volumeBindingMode")


def cells(storage_class: Object, now: datetime) -> list[Any]:
    annotations = annotations_of(storage_class)
    mark = " (default)" if any(annotations.get(key) == "true" for key in _DEFAULT_MARKS) else ""
    return [
        name_of(storage_class) + mark, storage_class.get("provisioner", ""), storage_class.get("reclaimPolicy") or "Delete",
        storage_class.get("volumeBindingMode") or printing.UNSET, bool(storage_class.get("allowVolumeExpansion")),
        printing.age(storage_class, now),
    ]  # fmt: skip


STORAGE_CLASS_STRATEGY = Strategy(
    resource=STORAGE_CLASSES,
    default=default,
    validate=validate,
    validate_update=validate_update,
    columns=(
        NAME, Column("Provisioner"), Column("ReclaimPolicy"), Column("VolumeBindingMode"), Column("AllowVolumeExpansion"), AGE,
    ),
    cells=cells,
)  # fmt: skip


def validate_attributes(attributes_class: Object) -> Iterator[FieldError]:
    yield from validate_csi_driver_name(attributes_class.get("driverName", ""), "driverName")
    parameters = attributes_class.get("parameters") or {}
    if not parameters:
        yield FieldError.required("parameters", "must contain at least one key/value pair")
    yield from _validate_parameters(parameters)


def validate_attributes_update(new: Object, old: Object) -> Iterator[FieldError]:
    for field in ("driverName", "parameters"):
        if new.get(field) != old.get(field):
            yield FieldError.forbidden(field, f"updates to {field} are forbidden.")


def attributes_cells(attributes_class: Object, now: datetime) -> list[Any]:
    name = name_of(attributes_class)
    return [name, attributes_class.get("driverName", ""), printing.age(attributes_class, now)]


VOLUME_ATTRIBUTES_CLASS_STRATEGY = Strategy(
    resource=VOLUME_ATTRIBUTES_CLASSES,
    validate=validate_attributes,
    validate_update=validate_attributes_update,
    columns=(NAME, Column("DriverName"), AGE),
    cells=attributes_cells,
)
