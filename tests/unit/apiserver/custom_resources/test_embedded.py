"""Embedded resources: what is said of their type and of their metadata, and where."""

from typing import Any

import pytest

from pybernetes.apiserver.custom_resources.embedded import compile_embedded

EMBEDDED = {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}
SCHEMA = {
    "type": "object",
    "properties": {
        "one": {**EMBEDDED, "properties": {"inner": EMBEDDED}},
        "list": {"type": "array", "items": EMBEDDED},
        "map": {"type": "object", "additionalProperties": EMBEDDED},
    },
}
POD = {"apiVersion": "v1", "kind": "Pod"}


def errors(**given: Any) -> list[str]:
    check = compile_embedded(SCHEMA)
    assert check is not None
    return [str(error) for error in check(given, "")]


def of(**given: Any) -> list[str]:
    return errors(one={**POD, **given})


def test_a_schema_without_embedded_resources_needs_no_check():
    assert compile_embedded({"type": "object", "properties": {"spec": {"type": "object"}}}) is None


def test_an_object_with_a_type_is_right_with_or_without_metadata():
    assert errors() == []
    assert of() == of(metadata=None) == of(metadata={}) == []
    assert of(metadata={"name": "Any_Name", "namespace": "ns", "labels": {"a": "b"}, "creationTimestamp": None}) == []


def test_they_are_found_wherever_the_schema_has_them():
    found = errors(one={**POD, "inner": {}}, list=[POD, {"kind": "Pod"}], map={"a.b": {"apiVersion": "v1"}, "c": POD})
    assert found == [
        "one.inner.apiVersion: Required value", "one.inner.kind: Required value",
        "list[1].apiVersion: Required value", "map[a.b].kind: Required value",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"apiVersion": ""}, "one.apiVersion: Required value"),
        ({"apiVersion": 1}, "one.apiVersion: Invalid value: 1: must be a string"),
        ({"apiVersion": "a/b/c"}, 'one.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c'),
        ({"kind": ""}, "one.kind: Required value"),
        ({"kind": None}, "one.kind: Invalid value: null: must be a string"),
        ({"kind": "%"}, 'one.kind: Invalid value: "%": may have mixed case, but should otherwise match: a DNS-1035 label'),
        ({"metadata": "x"}, "json: cannot unmarshal string into Go value of type v1.ObjectMeta"),
        ({"metadata": {"name": 1}}, "one.metadata: Invalid value: "),
        ({"metadata": {"name": "a/b"}}, "one.metadata.name: Invalid value: \"a/b\": may not contain '/'"),
        ({"metadata": {"generateName": "%"}}, "one.metadata.generateName: Invalid value: \"%\": may not contain '%'"),
        ({"metadata": {"namespace": "A"}}, 'one.metadata.namespace: Invalid value: "A": a lowercase RFC 1123 label'),
        ({"metadata": {"labels": {"-": "x"}}}, 'one.metadata.labels: Invalid value: "-": name part must consist of'),
        ({"metadata": {"annotations": {"-": "x"}}}, 'one.metadata.annotations: Invalid value: "-": name part must'),
        ({"metadata": {"finalizers": ["-"]}}, 'one.metadata.finalizers: Invalid value: "-": name part must consist of'),
        ({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "A", "name": "a"}]}},
         'one.metadata.ownerReferences.uid: Invalid value: "": uid must not be empty'),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_as_upstream_says_it(given: Any, error: str):
    [found] = of(**given)
    assert error in found


def test_what_was_given_stays_as_it_is():
    metadata = {"name": "n", "unknown": 1}
    assert of(metadata=metadata) == []
    assert metadata == {"name": "n", "unknown": 1}
