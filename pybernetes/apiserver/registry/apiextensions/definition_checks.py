"""What a CustomResourceDefinition must be.

Paths are those of upstream's internal type: what all versions have in common (always so with a single one) is shown at the top
level, `spec.validation`, `spec.subresources`, `spec.additionalPrinterColumns`, `spec.selectableFields`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

from pybernetes.apiserver.registry import checks, webhook_clients
from pybernetes.apiserver.registry.apiextensions import rule_checks, structural_schemas
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, annotations_of, name_of

APPROVAL: Final = "api-approved.kubernetes.io"
_COLUMN_TYPES: Final = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS: Final = (
    "binary", "bsonobjectid", "byte", "cidr", "creditcard", "date", "date-time", "double", "duration", "email", "float",
    "hexcolor", "hostname", "int32", "int64", "ipv4", "ipv6", "isbn", "isbn10", "isbn13", "mac", "name", "password",
    "rgbcolor", "ssn", "uri", "uuid", "uuid3", "uuid4", "uuid5",
)  # fmt: skip
_SIMPLE_SENTENCE: Final = "must be a simple json path starting with ."
_SELECTABLE_LIMIT: Final = 8
_WARNING_BYTES: Final = 256


def validate_create(definition: Object) -> Iterator[FieldError]:
    yield from _validate(definition, frozenset())
    yield from _approval(definition, definition["spec"].get("group", ""))


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
    yield from _stored_versions(definition, "status.storedVersions")


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
    if _approval_state(new) != _approval_state(old):  # whoever does not touch it is not held up by it
        yield from _approval(new, spec.get("group", ""))
    bundle = _ca_bundle(new)
    if bundle and bundle != (known := _ca_bundle(old)) and _is_established(old):
        path = "spec.conversion.webhookClientConfig.caBundle"
        if not (known and list(webhook_clients.validate_ca_bundle(known, path))):
            yield from webhook_clients.validate_ca_bundle(bundle, path)


def _ca_bundle(definition: Object) -> str:
    webhook = (definition["spec"].get("conversion") or {}).get("webhook") or {}
    found: str = (webhook.get("clientConfig") or {}).get("caBundle") or ""
    return found


def _is_established(definition: Object) -> bool:
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return any(found["type"] == "Established" and found["status"] == "True" for found in conditions)


def _stored_versions(definition: Object, path: str) -> Iterator[FieldError]:
    stored = (definition.get("status") or {}).get("storedVersions") or []
    if not stored:
        yield FieldError.invalid(path, stored, "must have at least one stored version")
        return
    versions = definition["spec"].get("versions") or ()
    for version in versions:
        if version.get("storage") and version.get("name") not in stored:
            yield FieldError.invalid(path, stored, f"must have the storage version {version.get('name')}")
    names = [version.get("name") for version in versions]
    for i, name in enumerate(stored):
        if name not in names:
            sentence = (
                f"missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until "
                f"a storage migration ensures no data remains persisted in {name} and removes {name} from "
                "status.storedVersions"
            )
            yield FieldError.invalid(f"{path}[{i}]", name, sentence)


def _approval_state(definition: Object) -> str:
    """missing, bypassed, approved or invalid."""
    given = annotations_of(definition).get(APPROVAL, "")
    if given.startswith("unapproved"):
        return "bypassed"
    return "missing" if not given else "approved" if given.startswith("https://") else "invalid"


def _approval(definition: Object, group: str) -> Iterator[FieldError]:
    """Groups of the project itself need its approval (kubernetes/enhancements#1111)."""
    if not group.endswith((".k8s.io", ".kubernetes.io")) and group not in ("k8s.io", "kubernetes.io"):
        return
    given = annotations_of(definition).get(APPROVAL, "")
    see = "see https://github.com/kubernetes/enhancements/pull/1111"
    path = f"metadata.annotations[{APPROVAL}]"
    if not given:
        yield FieldError.required(path, f'protected groups must have approval annotation "{APPROVAL}", {see}')
    elif _approval_state(definition) == "invalid":
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
        if (version.get("schema") or {}).get("openAPIV3Schema") is None:
            yield FieldError.required(path + ".schema.openAPIV3Schema", "schemas are required")
    if len(set(names)) != len(names):
        yield FieldError.invalid("spec.versions", list(versions), "must contain unique version names")
    if stored != 1:
        yield FieldError.invalid("spec.versions", list(versions), "must have exactly one version marked as storage version")
    yield from _schemas(versions, names, unchanged)
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
        return
    if len(warning.encode()) > _WARNING_BYTES:
        yield FieldError.invalid(path, warning, f"must be <= {_WARNING_BYTES} characters long")
    if not warning:
        yield FieldError.invalid(path, warning, "must not be an empty string")
    for i, character in enumerate(warning):
        if not character.isprintable():
            at = len(warning[:i].encode())
            sentence = f"must only contain printable UTF-8 characters; non-printable character found at index {at}"
            yield FieldError.invalid(path, warning, sentence)
            break


def _schemas(versions: Sequence[Object], names: Sequence[str], unchanged: Collection[str]) -> Iterator[FieldError]:
    with_status = {
        name for name, version in zip(names, versions, strict=True) if "status" in (version.get("subresources") or {})
    }
    for value, path, name in _at_their_paths(versions, names, "schema", "spec.validation"):
        has_status = bool(with_status) if path == "spec.validation" else name in with_status
        yield from _schema(value, path, has_status=has_status, unchanged=name in unchanged)


def _schema(given: Object | None, path: str, *, has_status: bool, unchanged: bool) -> Iterator[FieldError]:
    schema = (given or {}).get("openAPIV3Schema")
    if schema is None:
        return
    path += ".openAPIV3Schema"
    errors = list(structural_schemas.validate(schema, path))
    if has_status:
        errors += structural_schemas.validate_for_status(schema, path)
    yield from errors
    if not errors:
        yield from rule_checks.validate(schema, path, unchanged=unchanged)


def _subresources(subresources: Object | None, path: str) -> Iterator[FieldError]:
    scale = (subresources or {}).get("scale")
    if scale is None:
        return
    path += ".scale"
    for field, head in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")):
        given = scale.get(field, "")
        if not given:
            yield FieldError.required(f"{path}.{field}")
        elif not given.startswith("."):
            yield FieldError.invalid(f"{path}.{field}", given, _SIMPLE_SENTENCE)
        elif not given.startswith(head):
            yield FieldError.invalid(f"{path}.{field}", given, f"should be a json path under {head[:-1]}")
    given = scale.get("labelSelectorPath", "")
    if given and not given.startswith("."):
        yield FieldError.invalid(path + ".labelSelectorPath", given, _SIMPLE_SENTENCE)
    elif given and not given.startswith((".spec.", ".status.")):
        yield FieldError.invalid(path + ".labelSelectorPath", given, "should be a json path under either .spec or .status")


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
        elif not given.startswith("."):
            yield FieldError.invalid(below + ".JSONPath", given, _SIMPLE_SENTENCE)


def _selectable(version: Object, path: str) -> Iterator[FieldError]:
    schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    seen = set()
    for i, field in enumerate(version.get("selectableFields") or ()):
        given, below = field.get("jsonPath", ""), f"{path}[{i}].jsonPath"
        if not given:
            yield FieldError.required(below)
            continue
        try:
            names, found = structural_schemas.follow(schema, given)
        except ValueError as error:
            yield FieldError.invalid(below, given, f"is an invalid path: {error}")
            continue
        if names[0] == "metadata":
            yield FieldError.invalid(below, given, "must not point to fields in metadata")
        if found.get("type") not in ("string", "boolean", "integer"):
            yield FieldError.invalid(
                below, given, "must point to a field of type string, boolean or integer. Enum string fields and strings "
                "with formats are allowed.",
            )  # fmt: skip
        if names in seen:
            yield FieldError.duplicate(below, given)
        seen.add(names)
    if len(seen) > _SELECTABLE_LIMIT:
        yield FieldError.too_many(path, len(seen), _SELECTABLE_LIMIT)


# Names and conversion


def _names(names: Object, path: str) -> Iterator[FieldError]:
    for field in ("plural", "singular", "kind", "listKind"):
        value = names.get(field, "")
        if value:
            lowered = value.lower() if field in ("kind", "listKind") else value
            for sentence in validation.dns_1035_label_errors(lowered):
                shown = f"may have mixed case, but should otherwise match: {sentence}" if lowered is not value else sentence
                yield FieldError.invalid(f"{path}.{field}", value, shown)
        else:
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
            yield from webhook_clients.validate(client, path + ".webhookClientConfig")
        yield from _review_versions(versions, path + ".conversionReviewVersions")
    elif strategy == "None":
        if client is not None:
            yield FieldError.forbidden(path + ".webhookClientConfig", "should not be set when strategy is not set to Webhook")
        if versions:
            yield FieldError.forbidden(
                path + ".conversionReviewVersions", "should not be set when strategy is not set to Webhook"
            )


def _review_versions(versions: Sequence[str], path: str) -> Iterator[FieldError]:
    if not versions:
        yield FieldError.required(path)
        return
    seen = set()
    for i, name in enumerate(versions):
        if name in seen:
            yield FieldError.invalid(f"{path}[{i}]", name, "duplicate version")
            continue
        seen.add(name)
        yield from checks.invalid_by(f"{path}[{i}]", name, validation.dns_1035_label_errors)
    if not {"v1", "v1beta1"} & set(versions):
        yield FieldError.invalid(path, list(versions), "must include at least one of v1, v1beta1")
