"""The Python client and kubectl, over TLS, with a resource that they have never heard of."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pybernetes.apiserver.app import complete_files, config
from pybernetes.apiserver.options import Options
from pybernetes.apiserver.server import ApiServer
from pybernetes.client import kubeconfig
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.machinery.http.server import Server
from pybernetes.machinery.http.tls import server_context
from pybernetes.store.embedded import EmbeddedStore, MemoryLog
from tools import install_clients

CRON_TABS: Any = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
    "metadata": {"name": "crontabs.stable.example.com"},
    "spec": {
        "group": "stable.example.com", "scope": "Namespaced",
        "names": {"plural": "crontabs", "singular": "crontab", "kind": "CronTab", "shortNames": ["ct"], "categories": ["all"]},
        "versions": [{
            "name": "v1", "served": True, "storage": True,
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {
                "type": "object", "description": "What to run, and when.", "required": ["cronSpec"],
                "properties": {"cronSpec": {"type": "string", "description": "The times."}, "replicas": {"type": "integer"}},
                "x-kubernetes-validations": [{"rule": "!has(self.replicas) || self.replicas < 10", "message": "too many"}],
            }}}},
            "additionalPrinterColumns": [{"name": "Spec", "type": "string", "jsonPath": ".spec.cronSpec"}],
        }],
    },
}  # fmt: skip
CRON_TAB: Any = {
    "apiVersion": "stable.example.com/v1", "kind": "CronTab", "metadata": {"name": "mine", "namespace": "default"},
    "spec": {"cronSpec": "* * * * */5"},
}  # fmt: skip


@pytest.fixture
async def administrator(tmp_path: Path) -> AsyncIterator[Path]:
    """The kubeconfig of an administrator of a server behind TLS."""
    clock, entropy = SystemClock(), SystemEntropy()
    store = await EmbeddedStore.open(MemoryLog(), clock=clock, entropy=entropy)
    options = Options(data_dir=str(tmp_path), bind_address="127.0.0.1", advertise_address="127.0.0.1")
    files = complete_files(options, clock)
    api = ApiServer(store, clock=clock, entropy=entropy, config=config(options, files, "127.0.0.1"))
    http = Server(api.handle, clock=clock)
    await http.start("127.0.0.1", 0, server_context(files.certificate, files.key, files.client_ca))
    running = asyncio.create_task(api.run())
    async with asyncio.timeout(20):
        await api.wait_ready()
    pki, path = tmp_path / "pki", tmp_path / "kubeconfig"
    written = kubeconfig.build(
        server=f"https://127.0.0.1:{http.port}", certificate_authority=(pki / "ca.crt").read_bytes(),
        client_certificate=(pki / "admin.crt").read_bytes(), client_key=(pki / "admin.key").read_bytes(),
    )  # fmt: skip
    kubeconfig.write(path, written)
    yield path
    await http.stop(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await api.close()
    await store.close()


def play(path: Path) -> float:
    """What an operator does at its start; the seconds from the definition to the first answer of its resource."""
    from kubernetes import client, config, watch

    config.load_kube_config(str(path))
    definitions, objects = client.ApiextensionsV1Api(), client.CustomObjectsApi()
    place = ("stable.example.com", "v1", "default", "crontabs")
    started = time.perf_counter()
    definitions.create_custom_resource_definition(CRON_TABS)
    while True:
        try:
            objects.list_namespaced_custom_object(*place)
            break
        except client.ApiException as error:
            assert error.status == 404
    elapsed = time.perf_counter() - started
    made = objects.create_namespaced_custom_object(*place, CRON_TAB)
    assert made["metadata"]["generation"] == 1
    with pytest.raises(client.ApiException) as refused:
        objects.patch_namespaced_custom_object(*place, "mine", {"spec": {"replicas": 10}})
    assert refused.value.status == 422 and "too many" in refused.value.body
    for event in watch.Watch().stream(objects.list_namespaced_custom_object, *place, timeout_seconds=5):
        assert (event["type"], event["object"]["kind"]) == ("ADDED", "CronTab")
        break
    objects.delete_namespaced_custom_object(*place, "mine")
    assert objects.list_namespaced_custom_object(*place)["items"] == []
    return elapsed


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
async def test_the_python_client_defines_makes_watches_and_deletes(administrator: Path):
    elapsed = await asyncio.to_thread(play, administrator)
    print(f"from the definition to the first 200: {elapsed * 1000:.0f} ms")
    assert elapsed < 2  # the goal is 0.1 s


async def test_kubectl_explains_applies_prints_and_deletes(administrator: Path):
    found = install_clients.kubectl()
    environment = {**os.environ, "KUBECONFIG": str(administrator), "HOME": str(administrator.parent)}

    async def kubectl(*words: str, stdin: Any = None) -> str:
        process = await asyncio.create_subprocess_exec(
            found, *words, env=environment, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        async with asyncio.timeout(60):
            out, _ = await process.communicate(yaml.safe_dump(stdin).encode() if stdin else b"")
        return out.decode()

    assert "created" in await kubectl("apply", "-f", "-", stdin=CRON_TABS)
    waited = await kubectl("wait", "--for=condition=Established", "crd/crontabs.stable.example.com", "--timeout=10s")
    assert "condition met" in waited
    assert "created" in await kubectl("apply", "-f", "-", stdin=CRON_TAB)
    changed = {**CRON_TAB, "spec": {"cronSpec": "0 0 * * *", "replicas": 3}}
    assert "configured" in await kubectl("apply", "-f", "-", stdin=changed)
    assert "unchanged" in await kubectl("apply", "-f", "-", stdin=changed)
    printed = (await kubectl("get", "ct")).splitlines()
    assert printed[0].split() == ["NAME", "SPEC"] and printed[1].split() == ["mine", "0", "0", "*", "*", "*"]
    assert "crontab.stable.example.com/mine" in await kubectl("get", "all", "-o", "name")
    assert "serverside-applied" in await kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=changed)
    explained = await kubectl("explain", "crontab.spec")
    assert "What to run, and when." in explained and "cronSpec" in explained
    assert 'unknown field "spec.nope"' in await kubectl(
        "apply", "-f", "-", stdin={**CRON_TAB, "spec": {"cronSpec": "x", "nope": 1}}
    )
    assert "deleted" in await kubectl("delete", "crd", "crontabs.stable.example.com")
    assert "could not find the requested resource" in await kubectl("get", "crontabs")  # of which kubectl's cache still tells
