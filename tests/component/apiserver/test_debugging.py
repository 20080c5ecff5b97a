"""What operators look into a server with: profiles, dumps, verbosity, logs, /statusz and /flagz."""

from __future__ import annotations

import asyncio
import gzip
import logging
from pathlib import Path
from typing import Any

import pytest

from pybernetes.apiserver.debugging import pages
from pybernetes.machinery.http.messages import Request

FLOWS = "/debug/api_priority_and_fairness"


async def text(server: Any, target: str, method: str = "GET", body: bytes | None = None) -> tuple[int, str]:
    response = await server.send(method, target, body)
    whole = response.body if isinstance(response.body, bytes) else b"".join([chunk async for chunk in response.body])
    return response.status, whole.decode()


@pytest.mark.parametrize("path", ["/debug/pprof/", "/debug/flags/v", f"{FLOWS}/dump_queues", "/statusz", "/flagz", "/metrics"])
async def test_nobody_may_look_without_the_right_to(server: Any, path: str) -> None:
    answer = await server.api.handle(Request("GET", path, "", {"authorization": "Bearer nobody"}))
    assert answer.status == 403


async def test_a_profile_shows_what_burns_the_processor(server: Any) -> None:
    def burn() -> None:
        # Much longer than the interpreter's switch interval: what is shorter gives way only between two turns of the loop.
        sum(number * number for number in range(2_000_000))

    async def busy() -> None:
        while True:
            burn()
            await asyncio.sleep(0)

    task = asyncio.create_task(busy())
    try:
        _, stacks = await text(server, "/debug/pprof/profile?seconds=0.5&debug=1")
        profile = await server.send("GET", "/debug/pprof/profile?seconds=0.3")
    finally:
        task.cancel()
    first = stacks.splitlines()[0]
    assert "burn" in first and int(first.rpartition(" ")[2]) >= 5
    assert profile.headers["Content-Type"] == "application/octet-stream"
    assert b"burn" in gzip.decompress(profile.body) and b"nanoseconds" in gzip.decompress(profile.body)


async def test_tasks_threads_and_allocations_are_shown(server: Any) -> None:
    _, running = await text(server, "/debug/pprof/goroutine")
    assert "task image:" in running and "thread MainThread:" in running
    _, heap = await text(server, "/debug/pprof/heap?seconds=0.05")
    assert "bytes allocated in 0.05 s and still there" in heap
    assert "/debug/pprof/heap" in (await text(server, "/debug/pprof/"))[1]
    assert (await text(server, "/debug/pprof/nothing"))[0] == 404
    assert (await text(server, "/debug/pprof/profile?seconds=x"))[0] == 400


async def test_verbosity_is_changed_while_the_server_runs(server: Any) -> None:
    level = logging.getLogger("pybernetes").level
    try:
        assert await text(server, "/debug/flags/v", "PUT", b"4") == (200, "successfully set klog.logging.verbosity to 4")
        assert logging.getLogger("pybernetes").level == logging.DEBUG
        assert (await text(server, "/debug/flags/v", "PUT", b"loud"))[0] == 400
        assert (await text(server, "/debug/flags/v"))[0] == 406
    finally:
        logging.getLogger("pybernetes").setLevel(level)


async def test_the_levels_of_flow_control_are_dumped(server: Any) -> None:
    _, levels = await text(server, f"{FLOWS}/dump_priority_levels")
    head, *rows = levels.splitlines()
    assert head.split(", ")[0] == "PriorityLevelName" and [row.split(",")[0] for row in rows][:2] == ["catch-all", "exempt"]
    assert (await text(server, f"{FLOWS}/dump_queues"))[1].startswith("PriorityLevelName, Index,")
    assert (await text(server, f"{FLOWS}/dump_requests?includeRequestDetails=1"))[1].rstrip().endswith("SubResource")


@pytest.mark.parametrize("configuration", [{"enable_logs_handler": True}])
async def test_logs_are_served_and_nothing_beside_them(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logs = tmp_path / "log"
    (logs / "sub").mkdir(parents=True)
    (logs / "a.log").write_text("line\n")
    (tmp_path / "secret").write_text("secret")
    (logs / "out").symlink_to(tmp_path / "secret")
    monkeypatch.setattr(pages, "LOGS", logs)
    assert "a.log</a>" in (await text(server, "/logs/"))[1]
    assert await text(server, "/logs/a.log") == (200, "line\n")
    for path in ("/logs/../secret", "/logs/%2e%2e/secret", "/logs/out", "/logs//etc/passwd", "/logs/nothing"):
        assert (await text(server, path))[0] == 404, path
    assert (await server.send("GET", "/logs")).headers["Location"] == "/logs/"


@pytest.mark.parametrize("configuration", [{"profiling": False}])
async def test_profiling_can_be_switched_off(server: Any) -> None:
    assert (await text(server, "/debug/pprof/"))[0] == 404
    assert (await text(server, "/debug/flags/v", "PUT", b"4"))[0] == 404
    assert (await text(server, "/logs/"))[0] == 404


@pytest.mark.parametrize("configuration", [{"flags": {"profiling": "true", "advertise-address": "10.0.0.1"}}])
async def test_statusz_and_flagz_as_text_and_as_objects(server: Any) -> None:
    _, flags = await text(server, "/flagz")
    assert flags.startswith("kube-apiserver flags\nWarning: ") and flags.endswith(
        "\nadvertise-address=10.0.0.1\nprofiling=true\n"
    )
    status = await server.ask("GET", "/statusz", accept="application/json;v=v1beta1;g=config.k8s.io;as=Statusz")
    assert (status["kind"], status["apiVersion"], status["emulationVersion"]) == ("Statusz", "config.k8s.io/v1beta1", "1.36")
    flagz = await server.ask("GET", "/flagz", accept="application/json;v=v1beta1;g=config.k8s.io;as=Flagz")
    assert flagz["flags"]["profiling"] == "true"
    for accept, code in (("*/*", 200), ("text/plain", 200), ("application/json", 406), ("application/xml", 406)):
        assert (await server.send("GET", "/statusz", accept=accept)).status == code
