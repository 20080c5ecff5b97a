"""The file of the encryption configuration: what it comes to, and what is refused, with upstream's sentences."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from pybernetes.apiserver.encryption import configuration
from pybernetes.apiserver.encryption.configuration import Key, Kms, Provider, Rule

SECRET = base64.b64encode(bytes(32)).decode()
KEYS = {"keys": [{"name": "key1", "secret": SECRET}]}
KMS = {"apiVersion": "v2", "name": "vault", "endpoint": "unix:///run/kms.sock"}


def document(*rules: Any) -> dict[str, Any]:
    return {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": list(rules)}


def rule(*providers: Any, resources: Any = ("secrets",)) -> dict[str, Any]:
    return {"resources": list(resources), "providers": list(providers)}


def load(tmp_path: Path, found: Any, *, reload: bool = False) -> configuration.Configuration:
    path = tmp_path / "encryption.yaml"
    path.write_text(found if isinstance(found, str) else yaml.safe_dump(found))
    return configuration.load(str(path), reload=reload)


def test_rules_and_providers_keep_their_order(tmp_path: Path) -> None:
    found = load(
        tmp_path, document(rule({"aesgcm": KEYS}, {"kms": KMS}, {"identity": {}}), rule({"aescbc": KEYS}, resources=["*.*"]))
    )
    key = Key("key1", bytes(32))
    assert found.rules == (
        Rule(
            ("secrets",),
            (
                Provider("aesgcm", (key,)),
                Provider("kms", kms=Kms("v2", "vault", "unix:///run/kms.sock", 3.0)),
                Provider("identity"),
            ),
        ),
        Rule(("*.*",), (Provider("aescbc", (key,)),)),
    )


def test_keys_are_not_shown(tmp_path: Path) -> None:
    assert "secret" not in repr(load(tmp_path, document(rule({"aesgcm": KEYS}))).rules[0].providers)


def of(providers: Any = ({"aesgcm": KEYS},), resources: Any = ("secrets",)) -> dict[str, Any]:
    return document(rule(*providers, resources=resources))


def keyed(kind: str, **changes: Any) -> dict[str, Any]:
    return of([{kind: {"keys": [{"name": "key1", "secret": SECRET, **changes}]}}])


def kms(**changes: Any) -> dict[str, Any]:
    return of([{"kms": {**KMS, **changes}}])


PROVIDER = "resources[0].providers[0]"
REFUSED = {
    "no rules": (document(), "resources: Required value: at least one resources is required"),
    "no resources": (
        of(resources=[]),
        "resources[0].resources: Required value: at least one resources[0].resources is required",
    ),
    "no providers": (of([]), "resources[0].providers: Required value: at least one resources[0].providers is required"),
    "an empty provider": (
        of([{}]),
        f'{PROVIDER}: Invalid value: {{"AESCBC":null,"AESGCM":null,"Identity":null,"KMS":null,"Secretbox":null}}: '
        "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity",
    ),
    "two providers in one": (
        of([{"aesgcm": KEYS, "identity": {}}]),
        f'{PROVIDER}: Invalid value: ["aesgcm","identity"]: more than one provider specified in a single element, should split '
        "into different list elements",
    ),
    "no keys": (of([{"aescbc": {"keys": []}}]), f"{PROVIDER}.aescbc.keys: Required value: at least one keys is required"),
    "a key without a name": (
        keyed("aesgcm", name=""),
        f"{PROVIDER}.aesgcm.keys[0].name: Required value: name is a mandatory field for a key",
    ),
    "a key without a secret": (
        keyed("aesgcm", secret=""),
        f"{PROVIDER}.aesgcm.keys[0].secret: Required value: secret is a mandatory field for a key",
    ),
    "a secret that is no base64": (
        keyed("aesgcm", secret="topsecret!"),
        f'{PROVIDER}.aesgcm.keys[0].secret: Invalid value: "REDACTED": secrets must be base64 encoded',
    ),
    "a secret of a wrong length": (
        keyed("aescbc", secret="YWJj"),
        f'{PROVIDER}.aescbc.keys[0].secret: Invalid value: "REDACTED": secret is not of the expected length, got 3, '
        "expected one of [16 24 32]",
    ),
    "a secretbox of an AES length": (
        keyed("secretbox", secret=base64.b64encode(bytes(16)).decode()),
        f'{PROVIDER}.secretbox.keys[0].secret: Invalid value: "REDACTED": secret is not of the expected length, got 16, '
        "expected one of [32]",
    ),
    "capital letters": (
        of(resources=["Secrets"]),
        'resources[0].resources[0]: Invalid value: "Secrets": resource name should not contain capital letters',
    ),
    "a star": (
        of(resources=["*"]),
        "resources[0].resources[0]: Invalid value: \"*\": use '*.' to encrypt all the resources from core API group or *.* to "
        "encrypt all resources",
    ),
    "one resource in all groups": (
        of(resources=["secrets.*"]),
        'resources[0].resources[0]: Invalid value: "secrets.*": encrypting the same resource across groups is not supported',
    ),
    "the other events": (
        of(resources=["events.events.k8s.io"]),
        "resources[0].resources[0]: Invalid value: \"events.events.k8s.io\": '*.events.k8s.io' objects are stored using the "
        "'events' API group in etcd. Use 'events' instead in the config file",
    ),
    "extensions": (
        of(resources=["ingresses.extensions"]),
        "resources[0].resources[0]: Invalid value: \"ingresses.extensions\": 'extensions' group has been removed and cannot be "
        "used for encryption",
    ),
    "what has no API": (
        of(resources=["apiserveripinfo"]),
        'resources[0].resources[0]: Invalid value: "apiserveripinfo": resources which do not have REST API/s cannot be '
        "encrypted",
    ),
    "a resource twice": (
        of(resources=["secrets", "secrets"]),
        'resources[0].resources: Invalid value: ["secrets","secrets"]: the same resource cannot be specified multiple times',
    ),
    "an overlap with the group": (
        of(resources=["deployments.apps", "*.apps"]),
        'resources[0].resources: Invalid value: ["deployments.apps","*.apps"]: using overlapping resources such as \'secrets\' '
        "and '*.' in the same resource list is not allowed as they will be masked",
    ),
    "an overlap with everything": (
        of(resources=["secrets", "*.*"]),
        "resources[0].resources: Invalid value: [\"secrets\",\"*.*\"]: using overlapping resources such as 'secrets' and '*.' "
        "in the same resource list is not allowed as they will be masked",
    ),
    "a plugin without a name": (kms(name=""), f"{PROVIDER}.kms.name: Required value: name is a mandatory field for a provider"),
    "a plugin with a colon in its name": (
        kms(name="a:b"),
        f"{PROVIDER}.kms.name: Invalid value: \"a:b\": invalid KMS provider name a:b, must not contain ':'",
    ),
    "a plugin without time": (
        kms(timeout="-1s"),
        f'{PROVIDER}.kms.timeout: Invalid value: "-1s": timeout should be a positive value',
    ),
    "a plugin without an endpoint": (
        kms(endpoint=""),
        f'{PROVIDER}.kms.endpoint: Invalid value: "": endpoint is a mandatory field for a kms',
    ),
    "a plugin on another machine": (
        kms(endpoint="tcp://10.0.0.1:80"),
        f'{PROVIDER}.kms.endpoint: Invalid value: "tcp://10.0.0.1:80": unsupported scheme "tcp" for KMS provider, only unix is '
        "supported",
    ),
    "a cache for v2": (
        kms(cachesize=10),
        f"{PROVIDER}.kms.cachesize: Invalid value: 10: cachesize is not supported in v2",
    ),
    "a later version": (
        kms(apiVersion="v3"),
        f'{PROVIDER}.kms.apiVersion: Invalid value: "v3": unsupported apiVersion apiVersion for KMS provider, only v1 and v2 '
        "are supported",
    ),
    "one name for two plugins": (
        of([{"kms": KMS}, {"kms": KMS}]),
        'resources[0].providers[1].kms.name: Invalid value: "vault": duplicate KMS provider name vault, names must be unique',
    ),
}


@pytest.mark.parametrize(("found", "why"), REFUSED.values(), ids=REFUSED)
def test_refused_is(tmp_path: Path, found: Any, why: str) -> None:
    with pytest.raises(ValueError) as refusal:
        load(tmp_path, found)
    assert str(refusal.value) == f"error while parsing file: {why}"


def test_several_errors_are_all_told(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"error while parsing file: \[resources\[0\].resources\[0\].*, resources\[0\].providers"
    ):
        load(tmp_path, of([], resources=["*"]))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "error while loading file: encryption provider configuration file .* is empty"),
        ("apiVersion: v1", "error decoding encryption provider configuration file .*: Object 'Kind' is missing"),
        ("apiVersion: v1\nkind: EncryptionConfiguration", 'no kind "EncryptionConfiguration" is registered for version "v1"'),
        (
            yaml.safe_dump(of([{"aesgmc": KEYS}])),
            r'strict decoding error: unknown field "resources\[0\].providers\[0\].aesgmc"',
        ),
        (yaml.safe_dump(kms(timeout="soon")), 'time: invalid duration "soon"'),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        load(tmp_path, text)


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    path = f"{tmp_path}/none"
    with pytest.raises(ValueError) as refusal:
        configuration.load(path, reload=False)
    assert str(refusal.value) == (
        f'error while parsing file: error while loading file: error reading encryption provider configuration file "{path}": '
        f"open {path}: no such file or directory"
    )


@pytest.mark.parametrize("text", ["apiVersion: v1\nsecret: topsecret", "a: [topsecret", "- topsecret", "topsecret"])
def test_no_error_shows_the_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError) as refusal:
        load(tmp_path, text)
    assert "topsecret" not in str(refusal.value)
