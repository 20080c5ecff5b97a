"""One etcd for a Go API server and for this one: what either has stored, plain or encrypted, the other reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pybernetes.apiserver.encryption.encryption import Encryption
from pybernetes.apiserver.encryption.store import Resources
from pybernetes.machinery import protobuf_encoding
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.store.etcd import EtcdStore, Servers
from pybernetes.store.etcd.keys import KeySpace
from tests.component.apiserver.encryption.conftest import Start, aes, configuration
from tests.component.store.etcd_server import EtcdServer, missing

NONCE = bytes(12)
SECRET: dict[str, Any] = {
    "kind": "Secret", "apiVersion": "v1",
    "metadata": {"name": "a", "namespace": "default", "uid": "1", "creationTimestamp": "2026-01-01T00:00:00Z"},
    "data": {"password": "aHVudGVyMg=="}, "type": "Opaque",
}  # fmt: skip
POD: dict[str, Any] = {
    "kind": "Pod", "apiVersion": "v1",
    "metadata": {"name": "a", "namespace": "default", "uid": "2", "labels": {"app": "x"}},
    "spec": {"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "100m"}}}]},
    "status": {"phase": "Pending"},
}  # fmt: skip
CONFIG_MAP: dict[str, Any] = {
    "kind": "ConfigMap", "apiVersion": "v1",
    "metadata": {"name": "a", "namespace": "default", "uid": "3"}, "data": {"a": "1"},
}  # fmt: skip


def same(served: dict[str, Any], stored: dict[str, Any]) -> bool:
    metadata = {name: value for name, value in served["metadata"].items() if name != "resourceVersion"}
    return {**served, "metadata": metadata} == stored


async def test_what_a_go_server_has_stored_in_protobuf_is_served_watched_and_changed(start: Start, inner: Any) -> None:
    found = await start()
    watching = await found.server.send("GET", "/api/v1/namespaces/default/pods?watch=1")
    await inner.create("/registry/pods/default/a", protobuf_encoding.encode(POD))
    await inner.create("/registry/ranges/serviceips", b"k8s\0 of a type that is not served")
    assert not isinstance(watching.body, bytes)
    event = json.loads(await anext(aiter(watching.body)))
    assert event["type"] == "ADDED" and same(event["object"], POD)
    await watching.body.aclose()  # type: ignore[attr-defined]
    listed = await found.server.ask("GET", "/api/v1/pods?labelSelector=app%3Dx")
    assert [item["spec"] for item in listed["items"]] == [POD["spec"]]

    key = "/registry/configmaps/default/a"
    revision = await inner.create(key, protobuf_encoding.encode(CONFIG_MAP))
    path = "/api/v1/namespaces/default/configmaps/a"
    unchanged = await found.server.ask("PUT", path, CONFIG_MAP)
    assert unchanged["metadata"]["resourceVersion"] == str(revision)
    changed = await found.server.ask("PUT", path, {**CONFIG_MAP, "data": {"b": "2"}})
    assert changed["data"] == {"b": "2"}
    assert (await found.stored(key)).startswith(b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"')


async def test_what_a_go_server_has_encrypted_is_read(start: Start, inner: Any) -> None:
    key = b"/registry/secrets/default/a"
    sealed = AESGCM(bytes((1,)) * 32).encrypt(NONCE, protobuf_encoding.encode(SECRET), key)
    await inner.create(key.decode(), b"k8s:enc:aesgcm:v1:one:" + NONCE + sealed)
    found = await start(aes("one", 1))
    assert same(await found.server.ask("GET", "/api/v1/namespaces/default/secrets/a"), SECRET)


async def test_what_is_no_known_type_is_unreadable_and_nothing_else_is(start: Start, inner: Any) -> None:
    await inner.create("/registry/pods/default/broken", b"k8s\0 and then nonsense")
    await inner.create("/registry/pods/kube-system/a", protobuf_encoding.encode({**POD, "metadata": {"name": "a"}}))
    found = await start()
    assert (await found.server.ask("GET", "/api/v1/namespaces/default/pods/broken"))["code"] == 500
    assert (await found.server.ask("GET", "/api/v1/namespaces/kube-system/pods/a"))["spec"] == POD["spec"]


async def test_values_in_etcd_are_bound_to_their_key_there(tmp_path: Path) -> None:
    if why := missing():
        pytest.skip(why)
    (tmp_path / "encryption.yaml").write_text(configuration(aes("one", 1)))
    encryption = await Encryption.open(
        f"{tmp_path}/encryption.yaml", reload=False, clock=SystemClock(), entropy=SystemEntropy(), server_id=""
    )
    with EtcdServer(tmp_path) as etcd:
        inner = await EtcdStore.open(Servers((etcd.url,)), KeySpace(prefix="/elsewhere/"))
        paths = Resources({"/registry/secrets/": "secrets"})
        store = encryption.wrap(inner, paths, prefix="/elsewhere/")
        value = json.dumps(SECRET).encode()
        await store.create("/registry/secrets/default/a", value)
        raw = etcd.raw("/elsewhere/secrets/default/a")
        prefix = b"k8s:enc:aesgcm:v1:one:"
        assert raw.startswith(prefix) and b"hunter2" not in raw and b"aHVudGVyMg" not in raw
        sealed = raw.removeprefix(prefix)
        opened = AESGCM(bytes((1,)) * 32).decrypt(sealed[:12], sealed[12:], b"/elsewhere/secrets/default/a")
        assert opened == value
        entry = await store.get("/registry/secrets/default/a")
        assert entry is not None and entry.value == value
        await store.close()
