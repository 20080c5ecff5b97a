"""PodTemplates: a template on its own, used by nobody but users."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import printing
from pybernetes.apiserver.registry.core.pod_spec import spec, template
from pybernetes.apiserver.registry.strategy import NAME, Column, Strategy
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.resources import POD_TEMPLATES


def default(pod_template: Object) -> None:
    template.set_template(pod_template)


def validate(pod_template: Object) -> Iterator[FieldError]:
    yield from template.validate_template(pod_template["template"], "template", restart_policies=spec.RESTART_POLICIES)


def cells(pod_template: Object, _: datetime) -> list[Any]:
    inner = pod_template.get("template") or {}
    containers, images = printing.container_cells(inner)
    return [name_of(pod_template), containers, images, printing.joined_labels((inner.get("metadata") or {}).get("labels"))]


STRATEGY = Strategy(
    resource=POD_TEMPLATES,
    default=default,
    validate=validate,
    bumps_generation=True,
    columns=(NAME, Column("Containers"), Column("Images"), Column("Pod Labels")),
    cells=cells,
)
