"""What the store holds of what the API was given, and what becomes of it when keys change."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.component.apiserver.conftest import Server
from tests.component.apiserver.encryption.conftest import Encrypting, Start, aes, configuration
from tests.component.store.etcd_server import free_port

SECRETS = "/api/v1/namespaces/default/secrets"
KEY = "/registry/secrets/default/a"
IDENTITY: dict[str, Any] = {"identity": {}}


def secret(name: str = "a", value: str = "hunter2") -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"app": "x"}}, "stringData": {"password": value}}


async def until(found: Encrypting, prefix: bytes) -> None:
    """Put back what is there until it is stored with that prefix."""
    async with asyncio.timeout(5):
        while not (await found.stored(KEY)).startswith(prefix):
            current = await found.server.ask("GET", f"{SECRETS}/a")
            await found.server.ask("PUT", f"{SECRETS}/a", current)
            await asyncio.sleep(0.02)


async def failure(server: Server, method: str, target: str, body: Any = None) -> tuple[int, str]:
    answer = await server.ask(method, target, body)
    return answer["code"], answer["message"]


@pytest.mark.parametrize("kind", ["aesgcm", "aescbc", "secretbox"])
async def test_the_store_never_sees_a_secret_and_the_api_always_does(start: Start, kind: str) -> None:
    found = await start(aes("one", 1, kind))
    created = await found.server.ask("POST", SECRETS, secret())
    stored = await found.stored(KEY)
    assert stored.startswith(f"k8s:enc:{kind}:v1:one:".encode())
    assert b"aHVudGVyMg==" not in stored
    assert (await found.server.ask("GET", f"{SECRETS}/a")) == created
    assert [item["data"] for item in (await found.server.ask("GET", f"{SECRETS}?labelSelector=app%3Dx"))["items"]] == [
        {"password": "aHVudGVyMg=="}
    ]
    assert (await found.server.ask("DELETE", f"{SECRETS}/a"))["status"] == "Success"
    assert await found.inner.get(KEY) is None


async def test_a_watch_tells_of_encrypted_objects_as_of_any_others(start: Start) -> None:
    found = await start(aes("one"))
    await found.server.ask("POST", SECRETS, secret())
    watching = asyncio.create_task(found.server.events(f"{SECRETS}?watch=1&labelSelector=app%3Dx", 3))
    await asyncio.sleep(0.05)
    await found.server.ask(
        "PATCH", f"{SECRETS}/a", {"stringData": {"password": "2"}}, content_type="application/merge-patch+json"
    )
    await found.server.ask("DELETE", f"{SECRETS}/a")
    assert [event["type"] for event in await watching] == ["ADDED", "MODIFIED", "DELETED"]


async def test_what_has_no_rule_is_stored_as_it_is_and_by_reference(start: Start) -> None:
    found = await start(aes("one"))
    await found.server.ask("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"name": "a"}, "data": {"a": "b"}})
    entry = await found.inner.get("/registry/configmaps/default/a")
    assert entry is not None and b'"a":"b"' in entry.value
    image = found.server.api.image
    assert image.table("/registry/configmaps/").entries[entry.key] is entry


async def test_custom_resources_are_encrypted_too(start: Start) -> None:
    found = await start(aes("one"), resources=("widgets.example.com",))
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    definition = {
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]},
    }
    await found.server.ask("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}, "size": "hunter2"}
    async with asyncio.timeout(5):
        while "size" not in await found.server.ask("POST", "/apis/example.com/v1/namespaces/default/widgets", widget):
            await asyncio.sleep(0.02)
    assert b"hunter2" not in await found.stored("/registry/example.com/widgets/default/a")
    assert (await found.server.ask("GET", "/apis/example.com/v1/namespaces/default/widgets/a"))["size"] == "hunter2"


async def test_everything_can_be_encrypted(start: Start) -> None:
    found = await start(aes("one"), resources=("*.*",))
    page = await found.inner.range("/registry/")
    assert page.entries and all(entry.value.startswith(b"k8s:enc:aesgcm:v1:one:") for entry in page.entries)


async def test_keys_are_rotated_without_a_restart_and_an_update_that_changes_nothing_writes_anew(start: Start) -> None:
    found = await start(IDENTITY)
    created = await found.server.ask("POST", SECRETS, secret())
    assert (await found.stored(KEY)).startswith(b"{")
    found.configure(aes("one", 1), IDENTITY)
    await until(found, b"k8s:enc:aesgcm:v1:one:")
    found.configure(aes("two", 2, "secretbox"), aes("one", 1))
    await until(found, b"k8s:enc:secretbox:v1:two:")
    found.configure(IDENTITY, aes("two", 2, "secretbox"))  # the way back
    await until(found, b"{")
    last = await found.server.ask("GET", f"{SECRETS}/a")
    assert last["data"] == created["data"]
    again = await found.server.ask("PUT", f"{SECRETS}/a", last)
    assert again["metadata"]["resourceVersion"] == last["metadata"]["resourceVersion"]  # nothing is stale any more


async def test_a_wrong_key_is_upstreams_error_for_get_list_watch_and_delete_and_others_are_served(start: Start) -> None:
    first = await start(aes("one", 1))
    await first.server.ask("POST", SECRETS, secret())
    await first.server.ask("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"name": "a"}})
    found = await start(aes("one", 2))
    why = "cipher: message authentication failed"
    in_list = f'Internal error occurred: unable to transform key "{KEY}": {why}'
    assert await failure(found.server, "GET", f"{SECRETS}/a") == (500, f"Internal error occurred: {why}")
    assert await failure(found.server, "DELETE", f"{SECRETS}/a") == (500, f"Internal error occurred: {why}")
    for target in (SECRETS, f"{SECRETS}?limit=1", f"{SECRETS}?labelSelector=app%3Dx", "/api/v1/secrets", f"{SECRETS}?watch=1"):
        assert await failure(found.server, "GET", target) == (500, in_list), target
    assert (await found.server.ask("GET", "/api/v1/namespaces/default/configmaps/a"))["metadata"]["name"] == "a"
    assert (await found.server.ask("POST", SECRETS, secret("b")))["metadata"]["name"] == "b"
    assert await first.inner.get(KEY) is not None


async def test_a_server_without_encryption_does_not_take_ciphertext_for_an_object(start: Start) -> None:
    first = await start(aes("one"))
    await first.server.ask("POST", SECRETS, secret())
    found = await start()
    why = "identity transformer tried to read encrypted data"
    assert await failure(found.server, "GET", f"{SECRETS}/a") == (500, f"Internal error occurred: {why}")


async def test_what_was_unreadable_is_read_once_the_configuration_has_its_key(start: Start) -> None:
    first = await start(aes("one", 1))
    await first.server.ask("POST", SECRETS, secret())
    found = await start(aes("two", 2))
    assert (await failure(found.server, "GET", f"{SECRETS}/a"))[0] == 500
    found.configure(aes("two", 2), aes("one", 1))
    async with asyncio.timeout(5):
        while (await found.server.send("GET", f"{SECRETS}/a")).status != 200:
            await asyncio.sleep(0.02)


async def test_a_watcher_of_what_it_cannot_read_is_told_so(start: Start) -> None:
    first = await start(aes("one", 1))
    found = await start(aes("one", 2))
    watching = asyncio.create_task(found.server.events(f"{SECRETS}?watch=1", 1))
    await asyncio.sleep(0.05)
    await first.server.ask("POST", SECRETS, secret())
    [event] = await watching
    assert (event["type"], event["object"]["code"]) == ("ERROR", 500)


async def test_a_file_that_cannot_be_used_changes_nothing_and_is_counted(start: Start) -> None:
    found = await start(aes("one", 1))
    found.file.write_text("nonsense: true")
    text = b""
    async with asyncio.timeout(5):
        while b'automatic_reloads_total{apiserver_id_hash="sha256:' not in text:
            await asyncio.sleep(0.02)
            response = await found.server.send("GET", "/metrics")
            assert isinstance(response.body, bytes)
            text = response.body
    assert b'status="failure"} ' in text
    await found.server.ask("POST", SECRETS, secret())
    assert (await found.stored(KEY)).startswith(b"k8s:enc:aesgcm:v1:one:")
    response = await found.server.send("GET", "/healthz/kms-providers")
    assert (response.status, response.body) == (200, b"ok")


def test_a_server_that_cannot_read_what_it_needs_itself_says_so_and_ends(tmp_path: Path) -> None:
    def serve(byte: int) -> subprocess.Popen[str]:
        (tmp_path / "encryption.yaml").write_text(configuration(aes("one", byte), resources=("*.*",)))
        command = [
            sys.executable, "-m", "pybernetes", "apiserver", f"--data-dir={tmp_path}/data", "--bind-address=127.0.0.1",
            f"--secure-port={free_port()}", f"--encryption-provider-config={tmp_path}/encryption.yaml",
        ]  # fmt: skip
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    with serve(1) as first:
        assert first.stderr and "Serving" in first.stderr.readline()
        time.sleep(1)  # it makes what every cluster has
        first.terminate()
    with serve(2) as second:
        _, said = second.communicate(timeout=30)
        assert second.returncode == 1
        assert "pyb apiserver: what the server itself needs cannot be read from its store: /registry/" in said
