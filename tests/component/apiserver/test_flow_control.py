"""Priority and fairness as stored objects decide it: who is which flow, who waits, who is refused, what is reported."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pybernetes.machinery.http.messages import Request, Response

GROUP = "/apis/flowcontrol.apiserver.k8s.io/v1"
SCHEMAS, LEVELS = f"{GROUP}/flowschemas", f"{GROUP}/prioritylevelconfigurations"
MAPS = "/api/v1/namespaces/default/configmaps"
SCHEMA_HEADER, LEVEL_HEADER = "X-Kubernetes-Pf-Flowschema-Uid", "X-Kubernetes-Pf-Prioritylevel-Uid"


def level(name: str, **response: Any) -> dict[str, Any]:
    limited = {"nominalConcurrencyShares": 1, "limitResponse": response or {"type": "Reject"}}
    return {"metadata": {"name": name}, "spec": {"type": "Limited", "limited": limited}}


def schema(name: str, of: str, user: str) -> dict[str, Any]:
    rule = {
        "subjects": [{"kind": "User", "user": {"name": user}}],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": True}],
    }
    spec = {"matchingPrecedence": 999, "priorityLevelConfiguration": {"name": of}, "rules": [rule]}
    return {"metadata": {"name": name}, "spec": spec}


async def as_nobody(server: Any, path: str) -> Response:
    response: Response = await server.api.handle(Request("GET", path, "", {"authorization": "Bearer nobody"}))
    return response


async def condition(server: Any, name: str) -> dict[str, Any]:
    async with asyncio.timeout(5):
        while True:
            found = (await server.ask("GET", f"{SCHEMAS}/{name}"))["status"].get("conditions")
            if found:
                assert len(found) == 1
                return {field: found[0][field] for field in ("type", "status", "reason", "message")}
            await asyncio.sleep(0.01)


async def test_requests_are_classified_by_the_objects_from_the_moment_they_are_there(server: Any) -> None:
    before = await as_nobody(server, "/version")
    default = await server.ask("GET", f"{SCHEMAS}/global-default")
    assert before.headers[SCHEMA_HEADER] == default["metadata"]["uid"]
    made_level = await server.ask("POST", LEVELS, level("mine"))
    made = await server.ask("POST", SCHEMAS, schema("mine", "mine", "nobody"))
    after = await as_nobody(server, "/version")
    assert after.headers[SCHEMA_HEADER] == made["metadata"]["uid"]
    assert after.headers[LEVEL_HEADER] == made_level["metadata"]["uid"]
    refused = await as_nobody(server, MAPS)
    assert refused.status == 403 and refused.headers[SCHEMA_HEADER] == made["metadata"]["uid"]
    await server.ask("DELETE", f"{SCHEMAS}/mine")
    assert (await as_nobody(server, "/version")).headers[SCHEMA_HEADER] == default["metadata"]["uid"]


async def test_administrators_are_exempt_and_told_so(server: Any) -> None:
    exempt = await server.ask("GET", f"{SCHEMAS}/exempt")
    answer = await server.send("GET", MAPS)
    assert answer.headers[SCHEMA_HEADER] == exempt["metadata"]["uid"] and answer.headers[LEVEL_HEADER]


async def test_a_schema_says_whether_its_level_is_there(server: Any) -> None:
    await server.ask("POST", SCHEMAS, schema("mine", "absent", "nobody"))
    text = 'This FlowSchema references the PriorityLevelConfiguration object named "absent" '
    missing = {"type": "Dangling", "status": "True", "reason": "NotFound", "message": text + "but there is no such object"}
    assert await condition(server, "mine") == missing
    assert (await as_nobody(server, "/version")).headers[SCHEMA_HEADER] != ""
    await server.ask("POST", LEVELS, level("absent"))
    async with asyncio.timeout(5):
        while (await condition(server, "mine"))["status"] == "True":
            await asyncio.sleep(0.01)
    assert await condition(server, "mine") == {
        "type": "Dangling", "status": "False", "reason": "Found", "message": text + "and it exists",
    }  # fmt: skip
    for name in ("exempt", "catch-all", "probes"):
        assert (await condition(server, name))["reason"] == "Found"


async def test_a_level_that_rejects_answers_429_when_its_seats_are_taken(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await server.ask("POST", LEVELS, level("mine"))
    made = await server.ask("POST", SCHEMAS, schema("mine", "mine", "nobody"))
    go_on = asyncio.Event()
    authorize = server.api._authorizer.authorize

    async def slow(user: Any, info: Any) -> Any:
        await go_on.wait()
        return await authorize(user, info)

    monkeypatch.setattr(server.api._authorizer, "authorize", slow)
    waiting = [asyncio.create_task(as_nobody(server, MAPS)) for _ in range(10)]
    await asyncio.sleep(0.05)
    go_on.set()
    answers = await asyncio.gather(*waiting)
    assert sorted(answer.status for answer in answers) == [403] * 3 + [429] * 7  # 600 seats of which it has 1/246
    assert {answer.headers[SCHEMA_HEADER] for answer in answers} == {made["metadata"]["uid"]}


async def test_what_makes_no_sense_is_refused(server: Any) -> None:
    queuing = {"queues": 64, "handSize": 65, "queueLengthLimit": 50}
    status = await server.ask("POST", LEVELS, level("l", type="Queue", queuing=queuing))
    assert status["details"]["causes"] == [
        {
            "reason": "FieldValueInvalid", "field": "spec.limited.limitResponse.queuing.handSize",
            "message": "Invalid value: 65: should not be greater than queues (64)",
        }
    ]  # fmt: skip
    status = await server.ask("POST", LEVELS, level("l", type="Queue", queuing={"queues": 1000, "handSize": 10}))
    assert "required entropy bits of deckSize 1000 and handSize 10 should not be greater than 60" in status["message"]
    status = await server.ask("POST", LEVELS, level("l", type="Queue"))
    assert "must not be empty if limited.limitResponse.type is Limited" in status["message"]


@pytest.mark.parametrize("configuration", [{"enable_priority_and_fairness": False}])
async def test_without_priority_and_fairness_nobody_is_classified(server: Any) -> None:
    assert SCHEMA_HEADER not in (await as_nobody(server, "/version")).headers


async def test_what_others_say_in_a_status_stays(server: Any) -> None:
    """Conformance: "API priority and fairness should support FlowSchema API operations" patches and updates the status."""
    await server.ask("POST", SCHEMAS, schema("mine", "exempt", "nobody"))
    await condition(server, "mine")
    theirs = {"type": "PatchStatusFailed", "status": "Unknown", "reason": "Patched", "message": "by a test"}
    found = await server.ask("GET", f"{SCHEMAS}/mine/status")
    found["status"]["conditions"].append({**theirs, "lastTransitionTime": None})
    assert (await server.send("PUT", f"{SCHEMAS}/mine/status", found)).status == 200
    spec = {"spec": {"priorityLevelConfiguration": {"name": "absent"}}}
    await server.ask("PATCH", f"{SCHEMAS}/mine", spec, content_type="application/merge-patch+json")
    async with asyncio.timeout(5):
        while True:
            conditions = (await server.ask("GET", f"{SCHEMAS}/mine"))["status"]["conditions"]
            if {one["type"]: one["status"] for one in conditions} == {"PatchStatusFailed": "Unknown", "Dangling": "True"}:
                break
            await asyncio.sleep(0.01)


async def test_levels_and_schemas_are_deleted_by_selector(server: Any) -> None:
    for name in ("one", "two"):
        made = schema(name, "exempt", "nobody")
        made["metadata"]["labels"] = {"e2e": "yes"}
        await server.ask("POST", SCHEMAS, made)
    await server.ask("DELETE", f"{SCHEMAS}?labelSelector=e2e%3Dyes")
    names = {found["metadata"]["name"] for found in (await server.ask("GET", SCHEMAS))["items"]}
    assert not {"one", "two"} & names and "exempt" in names


@pytest.mark.parametrize("configuration", [{"enable_priority_and_fairness": False, "max_requests_inflight": 2}])
async def test_without_it_so_many_are_served_at_a_time(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = asyncio.Event()
    authorize = server.api._authorizer.authorize

    async def slow(user: Any, info: Any) -> Any:
        await go_on.wait()
        return await authorize(user, info)

    monkeypatch.setattr(server.api._authorizer, "authorize", slow)
    waiting = [asyncio.create_task(as_nobody(server, MAPS)) for _ in range(5)]
    await asyncio.sleep(0.05)
    administrator = asyncio.create_task(server.send("GET", MAPS))
    await asyncio.sleep(0.05)
    go_on.set()
    answers = await asyncio.gather(*waiting)
    assert sorted(answer.status for answer in answers) == [403] * 2 + [429] * 3
    assert {answer.headers.get("Retry-After") for answer in answers if answer.status == 429} == {"1"}
    assert (await administrator).status == 200
