"""Protobuf values of a Go API server as JSON; damaged ones are refused and nothing worse."""

from __future__ import annotations

import json
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from pybernetes.apiserver.encryption.foreign import PROTOBUF, json_of
from pybernetes.machinery import protobuf_encoding

CONFIG_MAP = {
    "kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a", "namespace": "default", "labels": {"b": "c"}},
    "data": {"key": "value"},
}  # fmt: skip
STORED = protobuf_encoding.encode(CONFIG_MAP)


def test_an_object_comes_out_as_it_is_stored_here() -> None:
    value = json_of(STORED)
    assert json.loads(value) == CONFIG_MAP
    assert value.startswith(b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"')


@given(st.binary(max_size=60))
def test_anything_else_is_refused(rest: bytes) -> None:
    with suppress(ValueError):
        json_of(PROTOBUF + rest)


@given(st.integers(len(PROTOBUF), len(STORED) - 1), st.integers(0, 255), st.booleans())
def test_a_damaged_object_is_refused_or_another(at: int, byte: int, cut: bool) -> None:
    with suppress(ValueError):
        json.loads(json_of(STORED[:at] if cut else STORED[:at] + bytes((byte,)) + STORED[at + 1 :]))
