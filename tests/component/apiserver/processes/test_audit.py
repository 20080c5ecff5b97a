"""Audit backends, as flags say."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path
from typing import Any

import orjson
import pytest

from pybernetes.machinery.http.messages import Response

MAPS = "/api/v1/namespaces/default/configmaps"
OK = Response(200, {}, b"")


@pytest.fixture
def policy(tmp_path: Path) -> str:
    """A flag: what is written to ConfigMaps is recorded, and nothing else."""
    path = tmp_path / "policy.yaml"
    path.write_text(
        "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n"
        "- {level: RequestResponse, verbs: [create], resources: [{group: '', resources: [configmaps]}]}\n- {level: None}\n"
    )
    return f"--audit-policy-file={path}"


def events_of(reviewer: Any) -> list[Any]:
    return [event for body in reviewer.asked for event in body["items"]]


def map_of(name: str, size: int = 0) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": {"text": "x" * size}}


def text_of(directory: Path) -> tuple[int, bytes]:
    """How many compressed logs there are, and what is in all of them."""
    packed = sorted(directory.glob("audit-*.log.gz"))
    return len(packed), b"".join(gzip.decompress(file.read_bytes()) for file in packed) + (directory / "audit.log").read_bytes()


async def metric(server: Any, line: str) -> bool:
    return line in (await server.ask("GET", "/metrics")).splitlines()


async def test_batches_are_sent_to_the_webhook_in_the_background(start, reviewer, policy):
    reviewer.answer = lambda body: OK
    server = await start(
        policy, f"--audit-webhook-config-file={reviewer.kubeconfig}", "--audit-webhook-batch-max-wait=200ms",
        "--audit-webhook-truncate-enabled", "--audit-webhook-truncate-max-event-size=2000",
    )  # fmt: skip
    for number, size in enumerate((1, 5000)):
        assert (await server.send("POST", MAPS, map_of(f"m{number}", size)))[0] == 201
    async with asyncio.timeout(10):
        while len(events_of(reviewer)) < 4:
            await asyncio.sleep(0.02)
    [body, *_] = reviewer.asked
    assert (body["kind"], body["apiVersion"]) == ("EventList", "audit.k8s.io/v1")
    received, complete, _, large = events_of(reviewer)
    assert (received["stage"], complete["stage"]) == ("RequestReceived", "ResponseComplete")
    assert complete["responseObject"]["metadata"]["name"] == "m0"
    assert "requestObject" not in large and large["annotations"]["audit.k8s.io/truncated"] == "true"
    assert reviewer.certificates[0] is not None
    assert await metric(server, "apiserver_audit_event_total 4.0")
    assert await metric(server, 'apiserver_audit_level_total{level="RequestResponse"} 2.0')


async def test_events_that_wait_are_sent_before_the_server_ends(start, reviewer, policy):
    reviewer.answer = lambda body: OK
    server = await start(policy, f"--audit-webhook-config-file={reviewer.kubeconfig}")
    await server.send("POST", MAPS, map_of("m"))
    assert reviewer.asked == []
    await server.stop()
    assert len(events_of(reviewer)) == 2


async def test_a_blocking_webhook_has_the_event_before_the_client_has_the_answer(start, reviewer, policy):
    reviewer.answer = lambda body: OK
    server = await start(
        policy, f"--audit-webhook-config-file={reviewer.kubeconfig}", "--audit-webhook-mode=blocking",
        "--audit-webhook-initial-backoff=1ms",
    )  # fmt: skip
    await server.send("POST", MAPS, map_of("m"))
    assert [event["stage"] for event in events_of(reviewer)] == ["RequestReceived", "ResponseComplete"]
    reviewer.answer = lambda body: Response(400, {}, b"")
    assert (await server.send("POST", MAPS, map_of("n")))[0] == 201
    assert len(reviewer.asked) == 2 + 2 * 5  # whatever it answers, it is asked again
    assert await metric(server, 'apiserver_audit_error_total{plugin="webhook"} 2.0')


async def test_a_strict_webhook_that_fails_fails_the_request(start, reviewer, policy):
    reviewer.answer = lambda body: Response(500, {}, b"")
    server = await start(
        policy, f"--audit-webhook-config-file={reviewer.kubeconfig}", "--audit-webhook-mode=blocking-strict",
        "--audit-webhook-initial-backoff=1ms",
    )  # fmt: skip
    status, body = await server.send("POST", MAPS, map_of("m"))
    assert (status, body.decode()) == (500, f'Internal Server Error: "{MAPS}": failed to store audit event\n')
    assert (await server.send("GET", f"{MAPS}/m"))[0] == 404
    assert await metric(server, "apiserver_audit_requests_rejected_total 1.0")


async def test_the_log_in_batches_rotated_and_compressed(start, policy, tmp_path: Path):
    server = await start(
        policy, f"--audit-log-path={tmp_path / 'audit.log'}", "--audit-log-mode=batch", "--audit-log-maxsize=1",
        "--audit-log-compress",
    )  # fmt: skip
    for number in range(4):
        await server.send("POST", MAPS, map_of(f"m{number}", 400_000))
    await server.stop()
    packed, text = text_of(tmp_path)
    assert packed
    events = [orjson.loads(line) for line in text.splitlines()]
    assert [event["responseObject"]["metadata"]["name"] for event in events if "responseObject" in event] == [
        f"m{number}" for number in range(4)
    ]


async def test_the_legacy_format_and_flags_that_cannot_be(start, policy, tmp_path: Path):
    with pytest.raises(RuntimeError, match='invalid audit log format xml, allowed formats are "legacy,json"'):
        await start(policy, f"--audit-log-path={tmp_path / 'audit.log'}", "--audit-log-format=xml")
    server = await start(policy, f"--audit-log-path={tmp_path / 'audit.log'}", "--audit-log-format=legacy")
    await server.send("POST", MAPS, map_of("m"))
    first, second = (tmp_path / "audit.log").read_text().splitlines()
    assert ' AUDIT: id="' in first and 'response="<deferred>"' in first
    assert 'user="admin" groups="\\"system:masters\\",\\"system:authenticated\\""' in second and 'response="201"' in second
