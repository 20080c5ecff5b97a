"""Envelopes with a key management plugin: one seed for many values, rotation of the plugin's key, and a plugin that is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pybernetes.apiserver.encryption import kms
from pybernetes.apiserver.encryption import kms_pb2 as rpc
from pybernetes.machinery.clock import SystemClock
from tests.component.apiserver.encryption.conftest import Encrypting, Start
from tests.component.apiserver.encryption.kms_plugin import ANNOTATIONS, KmsPlugin

SECRETS = "/api/v1/namespaces/default/secrets"
PREFIX = b"k8s:enc:kms:v2:vault:"


@pytest.fixture
async def plugin(tmp_path: Path) -> AsyncIterator[KmsPlugin]:
    plugin = KmsPlugin(tmp_path / "kms.sock")
    await plugin.start()
    yield plugin
    await plugin.stop()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers of the plugin are asked for often, and stand for a moment."""
    for name in ("HEALTHY_TTL_S", "UNHEALTHY_TTL_S", "PROBE_S", "PROBE_AGAIN_S"):
        monkeypatch.setattr(kms, name, 0.05)


def secret(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "stringData": {"password": "hunter2"}}


async def envelope(found: Encrypting, name: str) -> Any:
    stored = await found.stored(f"/registry/secrets/default/{name}")
    assert stored.startswith(PREFIX)
    return rpc.EncryptedObject.FromString(stored.removeprefix(PREFIX))


async def eventually(found: Encrypting, target: str, status: int) -> bytes:
    async with asyncio.timeout(5):
        while (response := await found.server.send("GET", target)).status != status:
            await asyncio.sleep(0.02)
    assert isinstance(response.body, bytes)
    return response.body


async def test_a_value_carries_its_encrypted_seed_and_the_plugin_is_asked_once_for_many(
    start: Start, plugin: KmsPlugin
) -> None:
    found = await start(plugin.provider)
    for name in "abc":
        await found.server.ask("POST", SECRETS, secret(name))
    envelopes = [await envelope(found, name) for name in "abc"]
    assert [(made.keyID, dict(made.annotations), made.encryptedDEKSourceType) for made in envelopes] == [
        ("key-1", ANNOTATIONS, rpc.HKDF_SHA256_XNONCE_AES_GCM_SEED)
    ] * 3
    assert len({made.encryptedDEKSource for made in envelopes}) == 1
    assert len({made.encryptedData[:32] for made in envelopes}) == 3  # each its own derived key
    assert plugin.asked.count("Encrypt") == 1 and "Decrypt" not in plugin.asked
    assert len((await found.server.ask("GET", SECRETS))["items"]) == 3


async def test_another_server_reads_with_one_call_for_a_seed(start: Start, plugin: KmsPlugin) -> None:
    first = await start(plugin.provider)
    for name in "abc":
        await first.server.ask("POST", SECRETS, secret(name))
    second = await start(plugin.provider)
    assert [item["data"]["password"] for item in (await second.server.ask("GET", SECRETS))["items"]] == ["aHVudGVyMg=="] * 3
    assert plugin.asked.count("Decrypt") == 1


async def test_a_new_key_of_the_plugin_makes_values_stale(start: Start, plugin: KmsPlugin) -> None:
    found = await start(plugin.provider)
    created = await found.server.ask("POST", SECRETS, secret("a"))
    plugin.key_id = "key-2"
    async with asyncio.timeout(5):
        while (await envelope(found, "a")).keyID != "key-2":
            last = await found.server.ask("PUT", f"{SECRETS}/a", await found.server.ask("GET", f"{SECRETS}/a"))
            await asyncio.sleep(0.02)
    assert last["data"] == created["data"]
    again = await found.server.ask("PUT", f"{SECRETS}/a", last)
    assert again["metadata"]["resourceVersion"] == last["metadata"]["resourceVersion"]


async def test_a_plugin_that_comes_later_than_the_server_is_waited_for(start: Start, plugin: KmsPlugin) -> None:
    first = await start(plugin.provider)
    await first.server.ask("POST", SECRETS, secret("a"))
    await plugin.stop()
    found = await start(plugin.provider)
    body = await eventually(found, "/healthz/kms-providers", 500)
    assert b"kms-provider-0: " in body and b"rpc error: code = DeadlineExceeded" in body
    answer = await found.server.ask("POST", SECRETS, secret("b"))
    assert answer["message"] == "Internal error occurred: got unexpected nil transformer"
    assert (await found.server.ask("GET", f"{SECRETS}/a"))["code"] == 500
    assert (await found.server.send("GET", "/api/v1/namespaces/default/configmaps")).status == 200
    await plugin.start()
    await eventually(found, f"{SECRETS}/a", 200)
    await eventually(found, "/healthz/kms-providers", 200)
    assert (await found.server.ask("POST", SECRETS, secret("b")))["metadata"]["name"] == "b"


async def test_without_its_plugin_a_server_reads_on_and_writes_until_the_seed_expires(
    start: Start, plugin: KmsPlugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await start(plugin.provider)
    await plugin.stop()
    assert (await found.server.ask("POST", SECRETS, secret("a")))["metadata"]["name"] == "a"
    now = SystemClock.now
    monkeypatch.setattr(SystemClock, "now", lambda clock: now(clock) + timedelta(minutes=4))
    answer = await found.server.ask("POST", SECRETS, secret("b"))
    assert answer["message"].startswith('Internal error occurred: encryptedDEKSource with keyID hash "sha256:')
    assert " expired at " in answer["message"]
    assert (await found.server.ask("GET", f"{SECRETS}/a"))["data"] == {"password": "aHVudGVyMg=="}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"healthz": "sealed"}, "got unexpected healthz status: sealed"),
        ({"version": "v3"}, "expected KMSv2 API version v2, got v3"),
        ({"key_id": ""}, 'got invalid KMSv2 KeyID hash "": keyID is empty'),
        ({"key_id": "k" * 1025}, ": keyID is 1025 bytes, which exceeds the max size of 1024"),
    ],
)
async def test_a_plugin_that_is_not_well_is_said_so_by_its_health_check(
    start: Start, plugin: KmsPlugin, change: dict[str, str], why: str
) -> None:
    found = await start(plugin.provider)
    for name, value in change.items():
        setattr(plugin, name, value)
    body = (await eventually(found, "/healthz/kms-providers", 500)).decode()
    assert "kms-provider-0: kmsv2 Provider vault is not healthy, error: " in body
    assert why in body


async def test_a_key_that_the_plugin_has_lost_is_told_of(start: Start, plugin: KmsPlugin) -> None:
    first = await start(plugin.provider)
    await first.server.ask("POST", SECRETS, secret("a"))
    plugin.key_id = "key-2"
    plugin.forget("key-1")
    found = await start(plugin.provider)
    answer = await found.server.ask("GET", f"{SECRETS}/a")
    assert (
        answer["message"]
        == "Internal error occurred: failed to decrypt DEK, error: rpc error: code = NotFound desc = no such key"
    )


async def test_what_the_plugin_was_asked_is_counted(start: Start, plugin: KmsPlugin) -> None:
    found = await start(plugin.provider)
    await found.server.ask("POST", SECRETS, secret("a"))
    response = await found.server.send("GET", "/metrics")
    assert isinstance(response.body, bytes)
    text = response.body.decode()
    method = 'method_name="/v2.KeyManagementService/Encrypt",provider_name="vault"'
    assert f'kms_operations_latency_seconds_count{{grpc_status_code="OK",{method}}} 1.0' in text
    assert 'key_id_hash_total{apiserver_id_hash="sha256:' in text
    assert "key-1" not in text


async def test_a_plugin_of_the_first_version_is_refused(start: Start, plugin: KmsPlugin) -> None:
    provider = {"kms": {**plugin.provider["kms"], "apiVersion": "v1"}}
    with pytest.raises(ValueError, match="error while building transformers: KMSv1 is deprecated and will only receive"):
        await start(provider)
