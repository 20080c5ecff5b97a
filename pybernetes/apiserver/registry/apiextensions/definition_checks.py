"""What a CustomResourceDefinition must be.

Paths are those of upstream's internal type: what all versions have in common (always so with a single one) is shown at the top
level, `spec.validation`, `spec.subresources`, `spec.additionalPrinterColumns`, `spec.selectableFields`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

from pybernetes.apiserver.registry import checks
from pybernetes.apiserver.registry.apiextensions import rule_checks, structural_schemas
from pybernetes.machinery import jsonpath, validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, annotations_of, name_of

APPROVAL: Final = "api-approved.kubernetes.io"
_COLUMN_TYPES: Final = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS: Final = (
    "binary", "bsonobjectid", "byte", "cidr", "creditcard", "date", "date-time", "double", "duration", "email", "float",
    "hexcolor", "hostname", "int32", "int64", "ipv4", "ipv6", "isbn", "isbn10", "isbn13", "mac", "name", "password",
    "rgbcolor", "ssn", "uri", "uuid", "uuid3", "uuid4", "uuid5",
)  # fmt: skip
_SIMPLE_PATH: Final = re.compile(r"(\.[A-Za-z0-9_-]+|\['[^']+'\])+")
_SIMPLE_SENTENCE: Final = "must be a simple json path starting with ."
_SELECTABLE_LIMIT: Final = 8
_WARNING_BYTES: Final = 256


def validate_create(definition: Object) -> Iterator[FieldError]:
    yield from _validate(definition, frozenset())


def _validate(definition: Object, unchanged: Collection[str]) -> Iterator[FieldError]:
    """`unchanged`: versions whose schemas are stored as they are."""
    spec = definition["spec"]
    group, names = spec.get("group", ""), spec.get("names") or {}
    if name_of(definition) != f"{names.get('plural', '')}.{group}":
        yield FieldError.invalid("metadata.name", name_of(definition), 'must be spec.names.plural+"."+spec.group')
    if not group:
        yield FieldError.required("spec.group")
    else:
        yield from checks.invalid_by("spec.group", group, validation.dns_1123_subdomain_errors)
        if "." not in group:
            yield FieldError.invalid("spec.group", group, "should be a domain with at least one dot")
    yield from checks.required_one_of(spec.get("scope", ""), ("Cluster", "Namespaced"), "spec.scope")
    if spec.get("preserveUnknownFields"):
        yield FieldError.invalid(
            "spec.preserveUnknownFields", True,
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
        )  # fmt: skip
    yield from _versions(spec.get("versions") or [], unchanged)
    yield from _names(names, "spec.names")
    yield from _conversion(spec.get("conversion") or {}, "spec.conversion")
    yield from _approval(definition, group)


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    spec, before = new["spec"], old["spec"]
    schemas = {version.get("name"): version.get("schema") for version in before.get("versions") or ()}
    unchanged = [
        version["name"]
        for version in spec.get("versions") or ()
        if version.get("name") in schemas and version.get("schema") == schemas[version["name"]]
    ]
    yield from _validate(new, unchanged)
    if _is_established(old):
        yield from checks.immutable(spec.get("scope"), before.get("scope"), "spec.scope")
        yield from checks.immutable(spec["names"].get("kind"), before["names"].get("kind"), "spec.names.kind")
    yield from checks.immutable(spec.get("group"), before.get("group"), "spec.group")
    yield from checks.immutable(spec["names"].get("plural"), before["names"].get("plural"), "spec.names.plural")
    yield from _stored_versions(new, "status.storedVersions")


def _is_established(definition: Object) -> bool:
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return any(found["type"] == "Established" and found["status"] == "True" for found in conditions)


def _stored_versions(definition: Object, path: str) -> Iterator[FieldError]:
    stored = (definition.get("status") or {}).get("storedVersions") or []
    names = [version.get("name") for version in definition["spec"].get("versions") or ()]
    for i, name in enumerate(stored):
        if name not in names:
            sentence = (
                f"missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until "
                "a storage migration ensures no data remains persisted in that version and removes it from "
                "status.storedVersions"
            )
            yield FieldError.invalid(f"{path}[{i}]", name, sentence)


def _approval(definition: Object, group: str) -> Iterator[FieldError]:
    """Groups of the project itself need its approval (kubernetes/enhancements#1111)."""
    if not group.endswith((".k8s.io", ".kubernetes.io")) and group not in ("k8s.io", "kubernetes.io"):
        return
    given = annotations_of(definition).get(APPROVAL, "")
    see = "see https://github.com/kubernetes/enhancements/pull/1111"
    path = f"metadata.annotations[{APPROVAL}]"
    if not given:
        yield FieldError.required(path, f'protected groups must have approval annotation "{APPROVAL}", {see}')
    elif not given.startswith(("unapproved", "https://")):
        sentence = f'protected groups must have approval annotation "{APPROVAL}" with either a URL or a reason starting with '
        yield FieldError.invalid(path, given, f'{sentence}"unapproved", {see}')


# Versions


def _versions(versions: Sequence[Object], unchanged: Collection[str]) -> Iterator[FieldError]:
    names = [version.get("name", "") for version in versions]
    stored = sum(bool(version.get("storage")) for version in versions)
    for i, version in enumerate(versions):
        path = f"spec.versions[{i}]"
        yield from checks.invalid_by(path + ".name", names[i], validation.dns_1035_label_errors)
        yield from _deprecation(version, path)
    if len(set(names)) != len(names):
        yield FieldError.invalid("spec.versions", list(versions), "must contain unique version names")
    if stored != 1:
        yield FieldError.invalid("spec.versions", list(versions), "must have exactly one version marked as storage version")
    for value, path, name in _at_their_paths(versions, names, "schema", "spec.validation"):
        yield from _schema(value, path, unchanged=name in unchanged)
    for value, path, _ in _at_their_paths(versions, names, "subresources", "spec.subresources"):
        yield from _subresources(value, path)
    for value, path, _ in _at_their_paths(versions, names, "additionalPrinterColumns", "spec.additionalPrinterColumns"):
        yield from _columns(value, path)
    shared = all(version.get("selectableFields") == versions[0].get("selectableFields") for version in versions)
    for i, version in enumerate(versions if not shared else versions[:1]):
        path = "spec.selectableFields" if shared else f"spec.versions[{i}].selectableFields"
        yield from _selectable(version, path)


def _at_their_paths(versions: Sequence[Object], names: Sequence[str], field: str, top: str) -> Iterator[tuple[Any, str, str]]:
    """A field of all versions, if they have it in common; of each, if not. With its path and the (first) version's name."""
    values = [version.get(field) for version in versions]
    if values and all(value == values[0] for value in values):
        yield values[0], top, names[0]
    else:
        for i, value in enumerate(values):
            yield value, f"spec.versions[{i}].{field}", names[i]


def _deprecation(version: Object, path: str) -> Iterator[FieldError]:
    warning = version.get("deprecationWarning")
    if warning is None:
        return
    path += ".deprecationWarning"
    if not version.get("deprecated"):
        yield FieldError.invalid(path, warning, "can only be set for deprecated versions")
    if not warning:
        yield FieldError.invalid(path, warning, "must not be an empty string")
    if len(warning.encode()) > _WARNING_BYTES:
        yield FieldError.too_long(path, _WARNING_BYTES)
    if not warning.isprintable():
        yield FieldError.invalid(path, warning, "must only contain printable UTF-8 characters; non-printable character found")


def _schema(schema: Object | None, path: str, *, unchanged: bool) -> Iterator[FieldError]:
    found = (schema or {}).get("openAPIV3Schema")
    if found is None:
        yield FieldError.required(path if schema is None else path + ".openAPIV3Schema", "schemas are required")
        return
    path += ".openAPIV3Schema"
    errors = list(structural_schemas.validate(found, path))
    yield from errors
    if not errors:
        yield from rule_checks.validate(found, path, unchanged=unchanged)


def _subresources(subresources: Object | None, path: str) -> Iterator[FieldError]:
    scale = (subresources or {}).get("scale")
    if scale is None:
        return
    path += ".scale"
    for field, head in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")):
        given = scale.get(field, "")
        if not given:
            yield FieldError.required(f"{path}.{field}")
        elif not _is_simple(given):
            yield FieldError.invalid(f"{path}.{field}", given, _SIMPLE_SENTENCE)
        elif not given.startswith(head):
            yield FieldError.invalid(f"{path}.{field}", given, f"should be a json path under {head[:-1]}")
    given = scale.get("labelSelectorPath", "")
    if given and not _is_simple(given):
        yield FieldError.invalid(path + ".labelSelectorPath", given, _SIMPLE_SENTENCE)
    elif given and not given.startswith((".spec.", ".status.")):
        yield FieldError.invalid(path + ".labelSelectorPath", given, "should be a json path under either .spec or .status")


def _is_simple(path: str) -> bool:
    return _SIMPLE_PATH.fullmatch(path) is not None


def _columns(columns: Sequence[Object] | None, path: str) -> Iterator[FieldError]:
    for i, column in enumerate(columns or ()):
        below = f"{path}[{i}]"
        if not column.get("name"):
            yield FieldError.required(below + ".name")
        type_ = column.get("type", "")
        if not type_:
            yield FieldError.required(below + ".type", f"must be one of {','.join(_COLUMN_TYPES)}")
        elif type_ not in _COLUMN_TYPES:
            yield FieldError.invalid(below + ".type", type_, f"must be one of {','.join(_COLUMN_TYPES)}")
        format_ = column.get("format", "")
        if format_ and format_ not in _COLUMN_FORMATS:
            yield FieldError.invalid(below + ".format", format_, f"must be one of {','.join(_COLUMN_FORMATS)}")
        given = column.get("jsonPath", "")
        if not given:
            yield FieldError.required(below + ".JSONPath")
        elif not _is_column_path(given):
            yield FieldError.invalid(below + ".JSONPath", given, _SIMPLE_SENTENCE)


def _is_column_path(path: str) -> bool:
    try:
        jsonpath.compile_path(path)
    except jsonpath.Malformed:
        return False
    return path.startswith(".")


def _selectable(version: Object, path: str) -> Iterator[FieldError]:
    fields = version.get("selectableFields") or ()
    schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    if len(fields) > _SELECTABLE_LIMIT:
        yield FieldError.too_many(path, len(fields), _SELECTABLE_LIMIT)
    seen = set()
    for i, field in enumerate(fields):
        given, below = field.get("jsonPath", ""), f"{path}[{i}].jsonPath"
        if not given:
            yield FieldError.required(below)
        elif not _is_simple(given):
            yield FieldError.invalid(below, given, _SIMPLE_SENTENCE)
        elif given in seen:
            yield FieldError.duplicate(below, given)
        elif given.startswith(".metadata"):
            yield FieldError.invalid(below, given, "must not point to fields in metadata")
        else:
            scalar = structural_schemas.selects_scalar(schema, given.strip(".").split("."))
            if scalar is None:
                yield FieldError.invalid(below, given, "is an invalid path: does not refer to a valid field")
            elif not scalar:
                yield FieldError.invalid(
                    below, given, "must point to a field of type string, boolean or integer. Enum string fields and strings "
                    "with formats are allowed.",
                )  # fmt: skip
        seen.add(given)


# Names and conversion


def _names(names: Object, path: str) -> Iterator[FieldError]:
    for field in ("plural", "singular", "kind", "listKind"):
        value = names.get(field, "")
        if value:
            lowered = value.lower() if field in ("kind", "listKind") else value
            for sentence in validation.dns_1035_label_errors(lowered):
                shown = f"may have mixed case, but should otherwise match: {sentence}" if lowered is not value else sentence
                yield FieldError.invalid(f"{path}.{field}", value, shown)
        elif field != "singular":
            yield FieldError.required(f"{path}.{field}")
    for field in ("shortNames", "categories"):
        for i, value in enumerate(names.get(field) or ()):
            yield from checks.invalid_by(f"{path}.{field}[{i}]", value, validation.dns_1035_label_errors)
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        yield FieldError.invalid(path + ".listKind", names["listKind"], "kind and listKind may not be the same")


def _conversion(conversion: Object, path: str) -> Iterator[FieldError]:
    strategy = conversion.get("strategy", "")
    yield from checks.required_one_of(strategy, ("None", "Webhook"), path + ".strategy")
    webhook = conversion.get("webhook")
    client: Any = (webhook or {}).get("clientConfig")
    versions = (webhook or {}).get("conversionReviewVersions") or []
    if strategy == "Webhook":
        if client is None:
            yield FieldError.required(path + ".webhookClientConfig", "required when strategy is set to Webhook")
        else:
            yield from _client_config(client, path + ".webhookClientConfig")
        yield from _review_versions(versions, path + ".conversionReviewVersions")
    elif strategy == "None":
        if client is not None:
            yield FieldError.forbidden(path + ".webhookClientConfig", "should not be set when strategy is not set to Webhook")
        if versions:
            yield FieldError.forbidden(
                path + ".conversionReviewVersions", "should not be set when strategy is not set to Webhook"
            )


def _client_config(client: Object, path: str) -> Iterator[FieldError]:
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        yield FieldError.required(path, "exactly one of url or service is required")
    elif url is not None and not url.startswith("https://"):
        yield FieldError.invalid(
            path + ".url", url,
            f'\'https\' is the only allowed URL scheme{"" if "://" in url else "; desired format: https://host[/path]"}',
        )  # fmt: skip
    elif service is not None:
        for field in ("name", "namespace"):
            if not service.get(field):
                yield FieldError.required(f"{path}.service.{field}", f"service {field} is required")
        yield from checks.port_number(service.get("port", 443), path + ".service.port")


def _review_versions(versions: Sequence[str], path: str) -> Iterator[FieldError]:
    if not versions:
        yield FieldError.required(path)
        return
    seen = set()
    for i, name in enumerate(versions):
        if name in seen:
            yield FieldError.invalid(f"{path}[{i}]", name, "duplicate version")
        seen.add(name)
        yield from checks.invalid_by(f"{path}[{i}]", name, validation.dns_1035_label_errors)
    if not {"v1", "v1beta1"} & set(versions):
        yield FieldError.invalid(path, list(versions), "must include at least one of v1, v1beta1")
