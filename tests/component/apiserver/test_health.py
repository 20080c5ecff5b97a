"""/healthz, /livez and /readyz: upstream's checks and texts, each check asking for real."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pybernetes.apiserver.config import Config
from pybernetes.apiserver.server import ApiServer
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.machinery.http.messages import Request
from pybernetes.store.embedded import EmbeddedStore, MemoryLog
from pybernetes.store.interface import Unavailable


async def text(server: Any, target: str) -> tuple[int, str]:
    response = await server.send("GET", target)
    return response.status, response.body.decode()


async def test_verbose_lists_the_checks_by_upstreams_names(server: Any) -> None:
    status, answer = await text(server, "/readyz?verbose")
    lines = answer.splitlines()
    assert status == 200 and lines[:5] == [
        "[+]ping ok", "[+]log ok", "[+]etcd ok", "[+]etcd-readiness ok", "[+]informer-sync ok",
    ]  # fmt: skip
    for hook in ("rbac/bootstrap-roles", "priority-and-fairness-config-consumer", "crd-informer-synced"):
        assert f"[+]poststarthook/{hook} ok" in lines
    assert lines[-3:] == ["[+]autoregister-completion ok", "[+]shutdown ok", "readyz check passed"]
    _, live = await text(server, "/livez?verbose")
    assert "[+]shutdown" not in live and "[+]informer-sync" not in live and live.endswith("livez check passed\n")


@pytest.mark.parametrize("target", ["/readyz/shutdown", "/livez/poststarthook/rbac/bootstrap-roles", "/healthz/etcd"])
async def test_each_check_has_a_path(server: Any, target: str) -> None:
    assert await text(server, target) == (200, "ok")
    assert target in (await server.ask("GET", "/"))["paths"]


async def test_a_store_that_does_not_answer_is_told_without_the_reason(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def gone() -> None:
        raise Unavailable("no such host")

    monkeypatch.setattr(server.api._store, "writable", gone)
    status, answer = await text(server, "/livez")
    assert status == 500 and "[-]etcd failed: reason withheld\n" in answer and answer.endswith("livez check failed\n")
    assert await text(server, "/livez/etcd") == (500, "internal server error: error getting data from etcd: no such host\n")
    assert await text(server, "/livez?exclude=etcd&exclude=nothing") == (200, "ok")
    _, answer = await text(server, "/livez?verbose&exclude=etcd&exclude=nothing")
    assert "[+]etcd excluded: ok\n" in answer
    assert 'warn: some health checks cannot be excluded: no matches for "nothing"\n' in answer


async def test_a_store_that_hangs_fails_the_check_in_time(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.api._store, "writable", lambda: asyncio.sleep(60))
    monkeypatch.setattr("pybernetes.apiserver.health.asyncio.timeout", lambda _: asyncio.timeouts.timeout(0.05))
    assert (await text(server, "/readyz/etcd-readiness"))[0] == 500


async def test_readyz_fails_while_the_server_leaves_and_livez_does_not(server: Any) -> None:
    server.api.lifecycle.leaving = True
    assert await text(server, "/readyz/shutdown") == (500, "internal server error: process is shutting down\n")
    assert (await text(server, "/readyz"))[0] == 500
    assert (await text(server, "/livez"))[0] == 200
    assert (await text(server, "/api/v1/namespaces"))[0] == 200


async def test_late_requests_are_sent_away_and_probes_are_not(server: Any) -> None:
    server.api.lifecycle.refusing = True
    response = await server.send("GET", "/api/v1/namespaces")
    assert response.status == 429 and response.headers["Retry-After"] == "5" and response.headers["Connection"] == "close"
    assert response.body == b"The apiserver is shutting down, please try again later.\n"
    assert (await text(server, "/livez"))[0] == 200


@pytest.mark.parametrize("configuration", [{"goaway_chance": 1.0}])
async def test_http2_clients_are_sent_elsewhere_by_chance(server: Any) -> None:
    headers = {"authorization": "Bearer test-admin"}
    multiplexed = await server.api.handle(Request("GET", "/version", "", headers, http2=True))
    assert multiplexed.headers["Connection"] == "close"
    assert "Connection" not in (await server.send("GET", "/version")).headers


async def test_livez_forgives_an_unfinished_start_for_a_while() -> None:
    from pybernetes.apiserver.health import Options

    clock, entropy = SystemClock(), SystemEntropy()
    store = await EmbeddedStore.open(MemoryLog(), clock=clock, entropy=entropy)
    api = ApiServer(store, clock=clock, entropy=entropy, config=Config(health=Options(livez_grace_period_s=60)))
    assert (await api.handle(Request("GET", "/livez"))).status == 200
    assert (await api.handle(Request("GET", "/healthz"))).status == 500
    answer = await api.handle(Request("GET", "/readyz", "verbose"))
    assert b"[-]poststarthook/rbac/bootstrap-roles failed: reason withheld" in answer.body  # type: ignore[operator]
    await api.close()
    await store.close()
