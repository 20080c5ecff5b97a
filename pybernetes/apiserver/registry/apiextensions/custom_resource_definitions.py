"""CustomResourceDefinitions: the definitions; the resources that they define are not served by this module."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks, printing
from pybernetes.apiserver.registry.strategy import NAME, Column, Context, Strategy
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.resources import CUSTOM_RESOURCE_DEFINITIONS


def default(definition: Object) -> None:
    spec = definition.setdefault("spec", {})
    names = spec.setdefault("names", {})
    if not names.get("singular") and names.get("kind"):
        names["singular"] = names["kind"].lower()
    if not names.get("listKind") and names.get("kind"):
        names["listKind"] = names["kind"] + "List"
    conversion = spec.setdefault("conversion", {"strategy": "None"})
    service = ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("service")
    if service is not None:
        service.setdefault("port", 443)


def prepare_for_create(_: Context, definition: Object) -> None:
    stored = [version["name"] for version in definition["spec"].get("versions") or () if version.get("storage")]
    definition["status"] = {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": stored}


def prepare_for_update(_: Context, new: Object, old: Object) -> None:
    """A version that is or was stored stays listed until somebody takes it out of the status."""
    status = dict(old.get("status") or {})
    stored = list(status.get("storedVersions") or ())
    for version in new["spec"].get("versions") or ():
        if version.get("storage") and version["name"] not in stored:
            stored.append(version["name"])
    status["storedVersions"] = stored
    new["status"] = status


def validate(definition: Object) -> Iterator[FieldError]:
    spec = definition["spec"]
    group, names = spec.get("group", ""), spec.get("names") or {}
    wanted = f"{names.get('plural', '')}.{group}"
    if name_of(definition) != wanted:
        yield FieldError.invalid("metadata.name", name_of(definition), 'must be spec.names.plural+"."+spec.group')
    if not group:
        yield FieldError.required("spec.group")
    else:
        yield from checks.invalid_by("spec.group", group, validation.dns_1123_subdomain_errors)
        if "." not in group:
            sentence = "should be a domain with at least one dot"
            yield FieldError.invalid("spec.group", group, sentence)
    yield from checks.required_one_of(spec.get("scope", ""), ("Cluster", "Namespaced"), "spec.scope")
    yield from _validate_versions(spec)
    yield from _validate_names(names, "spec.names")


def _validate_versions(spec: Object) -> Iterator[FieldError]:
    versions = spec.get("versions") or []
    stored = sum(bool(version.get("storage")) for version in versions)
    seen = set()
    for i, version in enumerate(versions):
        path, name = f"spec.versions[{i}]", version.get("name", "")
        yield from checks.invalid_by(path + ".name", name, validation.dns_1035_label_errors)
        if name in seen:
            yield FieldError.duplicate(path + ".name", name)
        seen.add(name)
        if (version.get("schema") or {}).get("openAPIV3Schema") is None:
            yield FieldError.required(path + ".schema.openAPIV3Schema", "schemas are required")
    if stored != 1:
        sentence = "must have exactly one version marked as storage version"
        yield FieldError.invalid("spec.versions", versions, sentence)


def _validate_names(names: Object, path: str) -> Iterator[FieldError]:
    for field in ("plural", "singular", "kind", "listKind"):
        value = names.get(field, "")
        if not value:
            if field in ("plural", "kind", "listKind"):
                yield FieldError.required(f"{path}.{field}")
        else:
            yield from checks.invalid_by(f"{path}.{field}", value.lower(), validation.dns_1035_label_errors)
    for i, short in enumerate(names.get("shortNames") or ()):
        yield from checks.invalid_by(f"{path}.shortNames[{i}]", short, validation.dns_1035_label_errors)
    for i, category in enumerate(names.get("categories") or ()):
        yield from checks.invalid_by(f"{path}.categories[{i}]", category, validation.dns_1035_label_errors)
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        yield FieldError.invalid(path + ".listKind", names["listKind"], "kind and listKind may not be the same")


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    for field in ("group", "scope"):
        yield from checks.immutable(new["spec"].get(field), old["spec"].get(field), f"spec.{field}")
    for field in ("kind", "plural"):
        yield from checks.immutable(new["spec"]["names"].get(field), old["spec"]["names"].get(field), f"spec.names.{field}")


def cells(definition: Object, _: datetime) -> list[Any]:
    return [name_of(definition), printing.created_at(definition)]


STRATEGY = Strategy(
    resource=CUSTOM_RESOURCE_DEFINITIONS,
    storage_path="apiextensions.k8s.io/customresourcedefinitions",
    default=default,
    prepare_for_create=prepare_for_create,
    prepare_for_update=prepare_for_update,
    validate=validate,
    validate_update=validate_update,
    bumps_generation=True,
    has_status=True,
    columns=(NAME, Column("Created At", "date")),
    cells=cells,
)
