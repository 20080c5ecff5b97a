"""VolumeAttachments."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks, printing, replicas
from pybernetes.apiserver.registry.core.pod_spec.volumes import validate_csi_driver_name
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Strategy
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.resources import VOLUME_ATTACHMENTS


def validate(attachment: Object) -> Iterator[FieldError]:
    spec = attachment["spec"]
    attacher = spec.get("attacher", "")
    if not attacher:
        yield FieldError.required("spec.attacher")
    else:
        yield from validate_csi_driver_name(attacher, "spec.attacher")
    source = spec.get("source") or {}
    named, inline = source.get("persistentVolumeName"), source.get("inlineVolumeSpec")
    if named is None and inline is None:
        yield FieldError.required("spec.source", "must specify exactly one of inlineVolumeSpec and persistentVolumeName")
    elif named is not None and inline is not None:
        yield FieldError.forbidden("spec.source", "must specify exactly one of inlineVolumeSpec and persistentVolumeName")
    elif named is not None:
        if not named:
            yield FieldError.required("spec.source.persistentVolumeName", "must specify non empty persistentVolumeName")
        else:
            yield from checks.invalid_by("spec.source.persistentVolumeName", named, validation.dns_1123_subdomain_errors)
    yield from checks.invalid_by("spec.nodeName", spec.get("nodeName", ""), validation.dns_1123_subdomain_errors)


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from checks.immutable(new["spec"], old["spec"], "spec")


def cells(attachment: Object, now: datetime) -> list[Any]:
    spec, status = attachment["spec"], attachment.get("status") or {}
    return [
        name_of(attachment), spec.get("attacher", ""), (spec.get("source") or {}).get("persistentVolumeName") or "",
        spec.get("nodeName", ""), bool(status.get("attached")), printing.age(attachment, now),
    ]  # fmt: skip


STRATEGY = Strategy(
    resource=VOLUME_ATTACHMENTS,
    prepare_for_create=replicas.starts_with_status(attached=False),
    validate=validate,
    validate_update=validate_update,
    has_status=True,
    columns=(NAME, Column("Attacher", format="name"), Column("PV"), Column("Node"), Column("Attached", "boolean"), AGE),
    cells=cells,
)
