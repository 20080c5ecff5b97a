"""Reading Kubernetes' protobuf. The first message was taken from a `kubectl create deployment`, the others are made here."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.machinery import protobuf
from pybernetes.machinery.errors import BadRequest
from pybernetes.machinery.meta import GroupVersionKind

CONFIG_MAP = GroupVersionKind("", "v1", "ConfigMap")


def varint(number: int) -> bytes:
    out = bytearray()
    number &= (1 << 64) - 1
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def block(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def enveloped(api_version: str, kind: str, raw: bytes) -> bytes:
    type_meta = block(1, api_version.encode()) + block(2, kind.encode())
    return protobuf.MAGIC + block(1, type_meta) + block(2, raw)


def test_maps_and_metadata() -> None:
    entry = block(1, b"key") + block(2, b"value")
    raw = block(1, block(1, b"name") + block(3, b"ns")) + block(2, entry)
    assert protobuf.decode(enveloped("v1", "ConfigMap", raw), CONFIG_MAP) == {
        "kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "name", "namespace": "ns"}, "data": {"key": "value"},
    }  # fmt: skip


def test_an_envelope_without_type_takes_the_expected_one() -> None:
    assert protobuf.decode(protobuf.MAGIC + block(2, b""), CONFIG_MAP) == {"kind": "ConfigMap", "apiVersion": "v1"}


def test_embedded_structs_quantities_and_int_or_string_read_as_json_has_them() -> None:
    limits = block(1, block(1, b"cpu") + block(2, block(1, b"100m")))
    get = block(2, number(1, 0) + number(2, 8080))  # HTTPGetAction.port
    probe = block(1, block(2, get)) + number(2, 5)
    container = block(1, b"c") + block(8, limits) + block(10, probe)
    volume = block(1, b"v") + block(1, b"v") + block(2, block(2, b""))
    pod = block(2, block(1, volume) + block(2, container))
    spec = protobuf.decode(enveloped("v1", "Pod", pod), GroupVersionKind("", "v1", "Pod"))["spec"]
    assert spec["containers"][0]["resources"] == {"limits": {"cpu": "100m"}}
    assert spec["containers"][0]["livenessProbe"] == {"httpGet": {"port": 8080}, "initialDelaySeconds": 5}
    assert spec["volumes"] == [{"name": "v", "emptyDir": {}}]


def test_times_are_text_and_unset_ones_null() -> None:
    raw = block(1, block(1, b"n") + block(8, number(1, 1_700_000_000)) + block(9, b""))
    metadata = protobuf.decode(enveloped("v1", "ConfigMap", raw), CONFIG_MAP)["metadata"]
    assert metadata["creationTimestamp"] == "2023-11-14T22:13:20Z"
    assert metadata["deletionTimestamp"] is None


def test_negative_integers() -> None:
    raw = block(2, number(25, -5))
    spec = protobuf.decode(enveloped("v1", "Pod", raw), GroupVersionKind("", "v1", "Pod"))["spec"]
    assert spec["priority"] == -5


@pytest.mark.parametrize(
    "body", [b"", b"{}", protobuf.MAGIC + b"\xff", enveloped("v1", "Nope", b""), enveloped("v1", "Pod", b"\x0a\xff")]
)
def test_what_is_no_message_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(BadRequest):
        protobuf.decode(body, CONFIG_MAP)


@given(st.binary(max_size=200))
def test_no_bytes_do_worse_than_a_bad_request(noise: bytes) -> None:
    try:
        protobuf.decode(enveloped("v1", "Pod", noise), CONFIG_MAP)
    except BadRequest:
        pass
