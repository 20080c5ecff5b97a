"""What a CustomResourceDefinition must be: one sound definition, and in each case one change."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from pybernetes.apiserver.custom_resources import columns
from pybernetes.apiserver.registry.apiextensions.custom_resource_definitions import default
from pybernetes.apiserver.registry.apiextensions.definition_checks import validate_create, validate_update
from pybernetes.machinery.meta import clone

TEXT = {"type": "string"}
NAMED = {"type": "object", "properties": {"name": {**TEXT, "default": "a"}}}
URL = "https://example.com/convert"


def definition(**spec: Any) -> Any:
    properties = {"spec": {"type": "object", "properties": {"text": TEXT, "list": {"type": "array", "items": TEXT}}}}
    version = {
        "name": "v1", "served": True, "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}},
    }  # fmt: skip
    made = {
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [version], **spec,
        },
        "status": {"storedVersions": ["v1"], "conditions": [{"type": "Established", "status": "True"}]},
    }  # fmt: skip
    default(made)
    return made


def version(obj: Any) -> Any:
    return obj["spec"]["versions"][0]


def schema(obj: Any) -> Any:
    return version(obj)["schema"]["openAPIV3Schema"]


def convert(obj: Any, **client: Any) -> None:
    obj["spec"]["conversion"] = {
        "strategy": "Webhook", "webhook": {"clientConfig": client or {"url": URL}, "conversionReviewVersions": ["v1"]},
    }  # fmt: skip


def select(obj: Any, *paths: str) -> None:
    version(obj)["selectableFields"] = [{"jsonPath": path} for path in paths]


def test_a_sound_definition_is_one():
    sound = definition()
    assert [*validate_create(sound), *validate_update(sound, clone(sound))] == []


CASES: list[tuple[Callable[[Any], object], list[str]]] = [
    (
        lambda obj: obj["status"].update(storedVersions=[]),
        ["status.storedVersions: Invalid value: []: must have at least one stored version"],
    ),
    (
        lambda obj: obj["status"].update(storedVersions=["v0"]),
        ['status.storedVersions: Invalid value: ["v0"]: must have the storage version v1',
         'status.storedVersions[0]: Invalid value: "v0": missing from spec.versions; v0 was previously a storage version, and '
         "must remain in spec.versions until a storage migration ensures no data remains persisted in v0 and removes v0 from "
         "status.storedVersions"],
    ),
    (
        lambda obj: version(obj).update(schema={}),
        ["spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required"],
    ),
    (
        lambda obj: version(obj).update(deprecated=True, deprecationWarning="é\u2028"),
        ['spec.versions[0].deprecationWarning: Invalid value: "é\u2028": must only contain printable UTF-8 characters; '
         "non-printable character found at index 2"],
    ),
    (
        lambda obj: version(obj).update(deprecated=True, deprecationWarning=""),
        ['spec.versions[0].deprecationWarning: Invalid value: "": must not be an empty string'],
    ),
    (
        lambda obj: version(obj).update(deprecationWarning="old"),
        ['spec.versions[0].deprecationWarning: Invalid value: "old": can only be set for deprecated versions'],
    ),
    (
        lambda obj: schema(obj)["properties"].update(metadata=NAMED),
        ["spec.validation.openAPIV3Schema.properties[metadata].properties[name].default: Forbidden: "
         "must not be set in top-level metadata"],
    ),
    (
        lambda obj: select(obj, ".spec.text", ".spec.text"),
        ['spec.selectableFields[1].jsonPath: Duplicate value: ".spec.text"'],
    ),
    (
        lambda obj: select(obj, ".spec.nope", "spec", ".spec['text']"),
        ['spec.selectableFields[0].jsonPath: Invalid value: ".spec.nope": is an invalid path: does not refer to a valid field',
         'spec.selectableFields[1].jsonPath: Invalid value: "spec": is an invalid path: expected [ or . but got: spec',
         'spec.selectableFields[2].jsonPath: Invalid value: ".spec[\'text\']": is an invalid path: '
         "array notation is not allowed"],
    ),
    (
        lambda obj: select(obj, ".spec.list"),
        ['spec.selectableFields[0].jsonPath: Invalid value: ".spec.list": must point to a field of type string, boolean or '
         "integer. Enum string fields and strings with formats are allowed."],
    ),
    (convert, []),
    (
        lambda obj: convert(obj, url="http://user@example.com/?a=b#c"),
        ["spec.conversion.webhookClientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; "
         "desired format: https://host[/path]",
         'spec.conversion.webhookClientConfig.url: Invalid value: "user": user information is not permitted in the URL',
         'spec.conversion.webhookClientConfig.url: Invalid value: "c": fragments are not permitted in the URL',
         'spec.conversion.webhookClientConfig.url: Invalid value: "a=b": query parameters are not permitted in the URL'],
    ),
    (
        lambda obj: convert(obj, service={"name": "s", "namespace": "n", "port": 0, "path": "a/b//"}),
        ["spec.conversion.webhookClientConfig.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, "
         "inclusive",
         'spec.conversion.webhookClientConfig.service.path: Invalid value: "a/b//": must start with a \'/\'',
         'spec.conversion.webhookClientConfig.service.path: Invalid value: "a/b//": segment[0] may not be empty',
         'spec.conversion.webhookClientConfig.service.path: Invalid value: "a/b//": segment[2] may not be empty'],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("change", "sentences"), CASES)
def test_each_fault_is_named_with_its_place(change: Callable[[Any], object], sentences: list[str]):
    obj = definition()
    change(obj)
    assert [str(error) for error in validate_create(obj)] == sentences


def test_a_root_may_say_of_a_status_only_what_the_status_alone_would_hear():
    obj = definition()
    version(obj)["subresources"] = {"status": {}}
    assert list(validate_create(obj)) == []
    schema(obj)["anyOf"] = [{"required": ["spec"]}]
    (error,) = validate_create(obj)
    assert error.field == "spec.validation.openAPIV3Schema"
    assert "only [Description Type Format" in str(error) and "XPreserveUnknownFields XValidations] fields are allowed" in str(
        error
    )


def test_list_items_of_maps_are_not_null():
    obj = definition()
    items = {"type": "object", "nullable": True, "required": ["k"], "properties": {"k": TEXT}}
    schema(obj)["properties"]["spec"]["properties"]["list"] = {
        "type": "array", "items": items, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
    }  # fmt: skip
    (error,) = validate_create(obj)
    assert str(error).endswith("items.nullable: Forbidden: cannot be nullable when x-kubernetes-list-type is map")


def test_an_authority_that_is_none_is_refused_once_the_definition_is_established():
    old, new = definition(), definition()
    convert(new, url=URL, caBundle=base64.b64encode(b"nonsense").decode())
    assert list(validate_create(new)) == []  # a client may fill it in later
    (error,) = validate_update(new, old)
    assert "unable to load root certificates: unable to parse bytes as PEM block" in str(error)
    other = clone(new)
    other["spec"]["conversion"]["webhook"]["clientConfig"]["caBundle"] = base64.b64encode(b"more").decode()
    assert list(validate_update(other, new)) == []  # it was none before


def test_the_approval_of_a_group_of_the_project_is_looked_at_when_it_changes():
    old = definition(group="example.k8s.io")
    old["metadata"]["name"] = "widgets.example.k8s.io"
    (error,) = validate_create(old)
    assert error.field == "metadata.annotations[api-approved.kubernetes.io]"
    new = clone(old)
    assert list(validate_update(new, old)) == []
    new["metadata"]["annotations"] = {"api-approved.kubernetes.io": "perhaps"}
    assert len(list(validate_update(new, old))) == 1


def test_columns_with_a_path_that_is_none_give_way_to_the_age():
    given = [{"name": "A", "type": "string", "jsonPath": ".spec[", "priority": 0}]
    assert [column.name for column in columns.columns(given)] == ["Name", "Age"]
    read = columns.cells(given)
    obj = {"metadata": {"name": "w", "creationTimestamp": "2026-11-21T10:00:00Z"}}
    assert read(obj, datetime(2026, 11, 21, 10, 1, tzinfo=UTC)) == ["w", "60s"]
