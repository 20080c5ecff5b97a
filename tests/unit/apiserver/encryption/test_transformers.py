"""Who writes and who reads: prefixes, rotation, and errors that leave the way to the next provider open."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from pybernetes.apiserver.encryption.configuration import Configuration, Key, Provider, Rule
from pybernetes.apiserver.encryption.encryption import Encryption
from pybernetes.apiserver.encryption.metrics import Metrics
from pybernetes.apiserver.encryption.transformers import CannotTransform, Place, Transformer
from pybernetes.apiserver.identity import server_id
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy

ONE, TWO = Key("one", bytes(32)), Key("two", bytes(range(32)))
IDENTITY = Provider("identity")
PLACE = Place("secrets", b"/registry/secrets/default/a")
CLOCK = SystemClock()


def aesgcm(*keys: Key) -> Provider:
    return Provider("aesgcm", keys)


def built(*rules: Rule) -> Encryption:
    encryption = Encryption(
        "", reload=False, clock=CLOCK, entropy=SystemEntropy(), metrics=Metrics(CLOCK, "a"), poll_s=1
    )  # fmt: skip
    encryption._generation = encryption._build(Configuration(rules, ""))
    return encryption


def transformer(*providers: Provider) -> Transformer:
    found = built(Rule(("secrets",), providers)).of("secrets")
    assert found is not None
    return found


def write(providers: Sequence[Provider], value: bytes = b"value") -> bytes:
    return asyncio.run(transformer(*providers).write(value, PLACE))


def read(providers: Sequence[Provider], stored: bytes) -> tuple[bytes, bool]:
    """The value, and whether it is stale."""
    by = transformer(*providers)
    value, origin = asyncio.run(by.read(stored, PLACE))
    return value, origin != by.origin


@pytest.mark.parametrize("kind", ["aesgcm", "aescbc", "secretbox"])
def test_a_value_says_its_provider_and_key(kind: str) -> None:
    stored = write([Provider(kind, (ONE,))])
    assert stored.startswith(f"k8s:enc:{kind}:v1:one:".encode())
    assert read([Provider(kind, (ONE,))], stored) == (b"value", False)


def test_identity_stores_the_value_as_it_is() -> None:
    assert write([IDENTITY, aesgcm(ONE)]) == b"value"


def test_another_key_before_it_makes_a_value_stale() -> None:
    stored = write([aesgcm(ONE)])
    assert read([aesgcm(TWO, ONE)], stored) == (b"value", True)
    assert read([aesgcm(TWO), aesgcm(ONE)], stored) == (b"value", True)
    assert read([IDENTITY, aesgcm(ONE)], stored) == (b"value", True)
    assert read([aesgcm(ONE, TWO), IDENTITY], stored) == (b"value", False)


def test_plain_values_are_read_and_stale_where_they_are_to_be_encrypted() -> None:
    assert read([aesgcm(ONE), IDENTITY], b"value") == (b"value", True)


def test_two_keys_of_one_name_are_tried_in_turn() -> None:
    renamed = Key("one", TWO.secret)
    stored = write([aesgcm(ONE)])
    assert read([aesgcm(renamed), aesgcm(ONE)], stored) == (b"value", True)


@pytest.mark.parametrize(
    ("providers", "stored", "why"),
    [
        ([aesgcm(ONE)], b"value", "no matching prefix found"),
        ([IDENTITY], b"k8s:enc:aesgcm:v1:one:x", "no matching prefix found"),
        ([aesgcm(ONE)], b"k8s:enc:aesgcm:v1:two:x", "no matching key was found for the provided AES transformer"),
        (
            [Provider("secretbox", (ONE,))],
            b"k8s:enc:secretbox:v1:two:",
            "no matching key was found for the provided Secretbox transformer",
        ),
        ([aesgcm(Key("one", TWO.secret))], write([aesgcm(ONE)]), "cipher: message authentication failed"),
        ([aesgcm(ONE)], b"k8s:enc:aesgcm:v1:one:x", "the stored data was shorter than the required size"),
        (
            [aesgcm(Key("one", TWO.secret)), aesgcm(TWO)],
            write([aesgcm(ONE)]),
            "[cipher: message authentication failed, no matching key was found for the provided AES transformer]",
        ),
    ],
)
def test_what_nobody_can_read_is_said_as_upstream_says_it(providers: Sequence[Provider], stored: bytes, why: str) -> None:
    with pytest.raises(CannotTransform) as refusal:
        read(providers, stored)
    assert str(refusal.value) == why


def test_a_rule_counts_for_its_resources_a_group_and_everything_in_this_order() -> None:
    encryption = built(
        Rule(("secrets", "deployments.apps"), (aesgcm(ONE),)),
        Rule(("*.apps",), (Provider("aescbc", (ONE,)),)),
        Rule(("*.",), (Provider("secretbox", (ONE,)),)),
        Rule(("*.*",), (IDENTITY,)),
    )

    def writes(resource: str) -> str:
        found = encryption.of(resource)
        assert found is not None
        return asyncio.run(found.write(b"v", PLACE)).decode(errors="replace")[:14]

    assert [writes(name) for name in ("secrets", "deployments.apps", "daemonsets.apps", "pods", "widgets.example.com")] == [
        "k8s:enc:aesgcm", "k8s:enc:aesgcm", "k8s:enc:aescbc", "k8s:enc:secret", "v",
    ]  # fmt: skip


def test_a_resource_without_a_rule_is_left_alone() -> None:
    assert built(Rule(("secrets",), (aesgcm(ONE),))).of("configmaps") is None


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ("*.", "secrets", 'resource "secrets" is masked by earlier rule "*."'),
        ("*.apps", "deployments.apps", 'resource "deployments.apps" is masked by earlier rule "*.apps"'),
        ("*.*", "*.apps", 'resource "*.apps" is masked by earlier rule "*.*"'),
    ],
)
def test_a_rule_that_can_never_count_is_refused(first: str, second: str, why: str) -> None:
    with pytest.raises(ValueError) as refusal:
        built(Rule((first,), (IDENTITY,)), Rule((second,), (IDENTITY,)))
    assert str(refusal.value) == f"error while building transformers: {why}"


def test_transformations_are_counted() -> None:
    encryption = built(Rule(("secrets",), (aesgcm(ONE),)))
    found = encryption.of("secrets")
    assert found is not None
    asyncio.run(found.write(b"v", PLACE))
    with pytest.raises(CannotTransform):
        asyncio.run(found.read(b"plain", PLACE))
    count = encryption.metrics.registry.get_sample_value
    name = "apiserver_storage_transformation_operations_total"
    labels = {"resource": "secrets", "transformation_type": "to_storage", "transformer_prefix": "k8s:enc:aesgcm:v1:"}
    assert count(name, {**labels, "status": "OK"}) == 1
    labels |= {"transformation_type": "from_storage", "transformer_prefix": "unknown", "status": "unknown-non-grpc"}
    assert count(name, labels) == 1


def test_an_api_server_is_known_by_its_host_as_upstream() -> None:
    assert server_id("kind-control-plane") == "apiserver-c4vwjftbvpc5os2vvzle4qg27a"  # of a well-known development cluster
