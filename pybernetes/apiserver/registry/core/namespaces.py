"""Namespaces: `Active` until they are deleted, then `Terminating` until their finalizers are done (`/finalize`)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks, printing
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Context, Strategy, SubresourceUpdate
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, is_being_deleted, name_of
from pybernetes.machinery.resources import NAMESPACES

NAME_LABEL = "kubernetes.io/metadata.name"
FINALIZER = "kubernetes"


def default(namespace: Object) -> None:
    """KEP-2161: every namespace can be selected by its name."""
    name = namespace["metadata"].get("name")
    if name:
        labels = namespace["metadata"].get("labels")
        if not labels:
            namespace["metadata"]["labels"] = {NAME_LABEL: name}
        else:
            labels[NAME_LABEL] = name
    namespace.setdefault("spec", {})
    namespace.setdefault("status", {}).setdefault("phase", "Active")


def prepare_for_create(_: Context, namespace: Object) -> None:
    default(namespace)  # a generated name is known by now
    namespace["status"] = {"phase": "Active"}
    finalizers = namespace["spec"].get("finalizers") or []
    if FINALIZER not in finalizers:
        namespace["spec"]["finalizers"] = [*finalizers, FINALIZER]


def prepare_for_update(_: Context, new: Object, old: Object) -> None:
    _keep_finalizers(new, old)


def _keep_finalizers(new: Object, old: Object) -> None:
    spec = dict(new.get("spec") or {})
    spec.pop("finalizers", None)
    kept = (old.get("spec") or {}).get("finalizers")
    new["spec"] = {**spec, "finalizers": kept} if kept else spec


def prepare_to_finalize(_: Context, new: Object, old: Object) -> None:
    """`/finalize` writes `spec.finalizers`."""
    if "status" in old:
        new["status"] = old["status"]


def validate(namespace: Object) -> Iterator[FieldError]:
    for finalizer in (namespace.get("spec") or {}).get("finalizers") or ():
        yield from _validate_finalizer(finalizer, "spec.finalizers")


def validate_to_finalize(new: Object, _: Object) -> Iterator[FieldError]:
    for i, finalizer in enumerate((new.get("spec") or {}).get("finalizers") or ()):
        yield from _validate_finalizer(finalizer, f"spec.finalizers[{i}]")


def _validate_finalizer(finalizer: str, path: str) -> Iterator[FieldError]:
    yield from checks.invalid_by(path, finalizer, validation.label_key_errors)
    if "/" not in finalizer and finalizer not in (FINALIZER, "orphan", "foregroundDeletion"):
        yield FieldError.invalid(path, finalizer, "name is neither a standard finalizer name nor is it fully qualified")


def validate_status_update(new: Object, _: Object) -> Iterator[FieldError]:
    phase = (new.get("status") or {}).get("phase", "")
    if is_being_deleted(new):
        if phase != "Terminating":
            sentence = "may only be 'Terminating' if `deletionTimestamp` is not empty"
            yield FieldError.invalid("status.phase", phase, sentence)
    elif phase != "Active":
        yield FieldError.invalid("status.phase", phase, "may only be 'Active' if `deletionTimestamp` is empty")


def _phase(namespace: Object) -> str:
    phase: str = (namespace.get("status") or {}).get("phase", "")
    return phase


def cells(namespace: Object, now: datetime) -> list[Any]:
    return [name_of(namespace), _phase(namespace), printing.age(namespace, now)]


STRATEGY = Strategy(
    resource=NAMESPACES,
    default=default,
    validate_name=validation.dns_1123_label_errors,
    prepare_for_create=prepare_for_create,
    prepare_for_update=prepare_for_update,
    validate=validate,
    has_status=True,
    validate_status_update=validate_status_update,
    subresource_updates={"finalize": SubresourceUpdate(prepare=prepare_to_finalize, validate=validate_to_finalize)},
    selectable_fields={"status.phase": _phase, "name": name_of},
    columns=(NAME, Column("Status"), AGE),
    cells=cells,
)
