"""IngressClasses."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks, printing
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Strategy
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.resources import INGRESS_CLASSES

_CONTROLLER_MAX = 250


def default(ingress_class: Object) -> None:
    parameters = ingress_class.setdefault("spec", {}).get("parameters")
    if parameters is not None:
        parameters.setdefault("scope", "Cluster")


def validate(ingress_class: Object) -> Iterator[FieldError]:
    spec = ingress_class["spec"]
    controller = spec.get("controller", "")
    if len(controller) > _CONTROLLER_MAX:
        yield FieldError.too_long("spec.controller", _CONTROLLER_MAX)
    if not controller:
        yield FieldError.required("spec.controller")
    else:
        yield from checks.invalid_by("spec.controller", controller, validation.domain_prefixed_path_errors)
    parameters = spec.get("parameters")
    if parameters is None:
        return
    for field in ("kind", "name"):
        if not parameters.get(field):
            yield FieldError.required(f"spec.parameters.{field}")
    scope = parameters.get("scope")
    yield from checks.one_of(scope or "", ("Cluster", "Namespace"), "spec.parameters.scope")
    if scope == "Namespace" and not parameters.get("namespace"):
        sentence = "`parameters.scope` is set to 'Namespace'"
        yield FieldError.required("spec.parameters.namespace", sentence)
    elif scope == "Cluster" and parameters.get("namespace"):
        sentence = "`parameters.scope` is set to 'Cluster'"
        yield FieldError.forbidden("spec.parameters.namespace", sentence)


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from checks.immutable(new["spec"].get("controller"), old["spec"].get("controller"), "spec.controller")


def cells(ingress_class: Object, now: datetime) -> list[Any]:
    spec = ingress_class["spec"]
    parameters, shown = spec.get("parameters"), printing.NONE
    if parameters is not None:
        group = parameters.get("apiGroup")
        shown = f"{parameters['kind']}.{group}/{parameters['name']}" if group else f"{parameters['kind']}/{parameters['name']}"
    return [name_of(ingress_class), spec.get("controller", ""), shown, printing.age(ingress_class, now)]


STRATEGY = Strategy(
    resource=INGRESS_CLASSES,
    default=default,
    validate=validate,
    validate_update=validate_update,
    bumps_generation=True,
    columns=(NAME, Column("Controller"), Column("Parameters"), AGE),
    cells=cells,
)
