"""Configuration files: kinds, versions, and fields that are not there."""

import pytest

from pybernetes.machinery import config_file

SCHEMA = {
    "type": "object",
    "properties": {
        "cooks": {
            "type": "array",
            "items": {"type": "object", "properties": {"name": {"type": "string"}, "hats": {"type": "integer"}}},
        }
    },
}
VERSIONS = {"kitchen.example.com/v1": SCHEMA}
HEAD = b"apiVersion: kitchen.example.com/v1\nkind: KitchenConfiguration\n"


def read(data: bytes):
    return config_file.read(data, "KitchenConfiguration", VERSIONS)


def test_yaml_and_json_are_read():
    wanted = {"apiVersion": "kitchen.example.com/v1", "kind": "KitchenConfiguration", "cooks": [{"name": "a"}]}
    assert read(HEAD + b"cooks: [{name: a}]") == wanted
    assert read(b'{"apiVersion":"kitchen.example.com/v1","kind":"KitchenConfiguration","cooks":[{"name":"a"}]}') == wanted


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (HEAD + b"cooks: [{nmae: a}]", 'strict decoding error: unknown field "cooks\\[0\\].nmae"'),
        (HEAD + b"cooks: []\ncooks: []", r'strict decoding error: .*"cooks"'),
        (HEAD + b"cooks: [{name: 5}]", r"cooks\[0\]\.name.*must be of type string"),
        (b"kind: KitchenConfiguration", "Object 'apiVersion' is missing in 'kind: KitchenConfiguration'"),
        (b"apiVersion: kitchen.example.com/v1", "Object 'Kind' is missing in"),
        (HEAD.replace(b"v1", b"v9"), 'no kind "KitchenConfiguration" is registered for version "kitchen.example.com/v9"'),
        (HEAD.replace(b"kitchen.example.com/v1", b"[v1]"), "cannot unmarshal array into apiVersion"),
        (b"- a", "cannot unmarshal array"),
        (b"a: [", "yaml"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_sentence(data, problem):
    with pytest.raises(ValueError, match=problem):
        read(data)
