"""The scheduler as `pyb scheduler` runs it: over HTTP, with its health and metrics over TLS."""

from __future__ import annotations

import asyncio
import ssl
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from pybernetes.apiserver.authentication import Options as Authentication
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.server import ApiServer
from pybernetes.client import kubeconfig
from pybernetes.client.rest import Client
from pybernetes.client.transport import InProcessTransport
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.machinery.http.server import Server
from pybernetes.machinery.resources import LEASES, PODS, SERVICE_ACCOUNTS
from pybernetes.scheduler import app
from pybernetes.scheduler.options import Options
from pybernetes.store.embedded import EmbeddedStore, MemoryLog


def fetch(url: str) -> tuple[int, str]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(url, context=context, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


async def eventually(url: str, wanted: str) -> str:
    async with asyncio.timeout(20):
        while True:
            try:
                status, text = await asyncio.to_thread(fetch, url)
                if status == 200 and wanted in text:
                    return text
            except OSError:
                pass  # it does not listen yet
            await asyncio.sleep(0.05)


async def free_port() -> int:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    async with server:
        return int(server.sockets[0].getsockname()[1])


async def test_it_leads_schedules_and_tells_its_health(tmp_path: Path):
    (tmp_path / "tokens.csv").write_text('admin,admin,1,"system:masters"\nscheduler,system:kube-scheduler,2\n')
    clock, entropy = SystemClock(), SystemEntropy()
    store = await EmbeddedStore.open(MemoryLog(), clock=clock, entropy=entropy)
    config = Config(authentication=Authentication(token_auth_file=tmp_path / "tokens.csv"))
    api = ApiServer(store, clock=clock, entropy=entropy, config=config)
    http = Server(api.handle, clock=clock)
    await http.start("127.0.0.1", 0)
    kubeconfig.write(tmp_path / "config", kubeconfig.build(
        server=f"http://127.0.0.1:{http.port}", certificate_authority=b"", cluster="c", user="scheduler", token="scheduler"
    ))  # fmt: skip
    running = [asyncio.create_task(api.run())]
    try:
        await api.wait_ready()
        admin = Client(InProcessTransport(api.handle, headers={"authorization": "Bearer admin"}))
        port = await free_port()
        running.append(asyncio.create_task(app.run(Options(kubeconfig=str(tmp_path / "config"), secure_port=port))))
        origin = f"https://127.0.0.1:{port}"
        await eventually(f"{origin}/healthz", "ok")
        await eventually(f"{origin}/readyz?verbose", "[+]sched-handler-sync ok")
        account = {"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default", "namespace": "default"}}
        await admin.create(SERVICE_ACCOUNTS, account)
        pod = {
            "kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p", "namespace": "default"},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        }  # fmt: skip
        await admin.create(PODS, pod)
        wanted = 'scheduler_schedule_attempts_total{profile="default-scheduler",result="unschedulable"} 1.0'
        text = await eventually(f"{origin}/metrics", wanted)
        assert 'scheduler_pending_pods{queue="unschedulable"} 1.0' in text
        lease = await admin.get(LEASES, "kube-scheduler", "kube-system")
        assert lease["spec"]["holderIdentity"]
    finally:
        for task in reversed(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await http.stop(0)
        await api.close()
        await store.close()


async def test_a_configuration_that_cannot_be_is_told_in_a_sentence(tmp_path: Path):
    (tmp_path / "scheduler.yaml").write_text("kind: Pod\n")
    with pytest.raises(ValueError, match="not a KubeSchedulerConfiguration"):
        await app.run(Options(config=str(tmp_path / "scheduler.yaml"), secure_port=0))
