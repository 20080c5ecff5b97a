"""What the audit log says of requests."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pybernetes.apiserver.audit.policy import parse
from pybernetes.apiserver.audit.record import Auditor
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.machinery.http.messages import Request
from tests.component.apiserver.audit_events import listing

MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
def audit(server: Any) -> Any:
    """Turns the audit log on; gives the function that sets the policy's rules and returns the list of events to come."""

    def on(*rules: dict[str, Any], **common: Any) -> list[Any]:
        events: list[Any] = []
        policy = parse({"kind": "Policy", "apiVersion": "audit.k8s.io/v1", "rules": list(rules), **common})
        server.api._auditor = Auditor(policy, listing(events), clock=SystemClock(), entropy=SystemEntropy())
        return events

    return on


async def test_metadata_says_who_what_and_with_which_result(server: Any, audit: Any) -> None:
    events = audit({"level": "Metadata"})
    response = await server.send("GET", f"{MAPS}/none?pretty=1", user_agent="tester")
    assert [event["stage"] for event in events] == ["RequestReceived", "ResponseComplete"]
    event = events[1]
    assert event["kind"] == "Event" and event["apiVersion"] == "audit.k8s.io/v1" and event["level"] == "Metadata"
    assert event["user"]["username"] == "admin" and event["user"]["groups"] == ["system:masters", "system:authenticated"]
    assert event["verb"] == "get" and event["requestURI"] == f"{MAPS}/none?pretty=1" and event["userAgent"] == "tester"
    assert event["objectRef"] == {"resource": "configmaps", "namespace": "default", "name": "none", "apiVersion": "v1"}
    assert event["responseStatus"]["code"] == 404 and event["responseStatus"]["reason"] == "NotFound"
    assert event["annotations"]["authorization.k8s.io/decision"] == "allow"
    assert event["auditID"] == events[0]["auditID"] == response.headers["Audit-Id"]
    assert "requestObject" not in event and "responseObject" not in event
    assert event["requestReceivedTimestamp"] <= event["stageTimestamp"]


async def test_levels_add_the_request_and_the_response(server: Any, audit: Any) -> None:
    events = audit(
        {"level": "Request", "resources": [{"group": "", "resources": ["secrets"]}]},
        {"level": "RequestResponse", "omitManagedFields": True},
        omitStages=["RequestReceived"],
    )
    await server.ask("POST", "/api/v1/namespaces/default/secrets", {"metadata": {"name": "s"}, "stringData": {"a": "b"}})
    await server.ask("POST", MAPS, {"metadata": {"name": "m"}}, audit_id="mine")
    [secret, config_map] = events
    assert secret["requestObject"]["stringData"] == {"a": "b"} and "responseObject" not in secret
    assert config_map["auditID"] == "mine"
    assert config_map["responseObject"]["metadata"]["name"] == "m"
    assert "managedFields" not in config_map["responseObject"]["metadata"]
    assert config_map["responseStatus"] == {"metadata": {}, "code": 201}


async def test_a_watch_is_logged_when_it_starts_and_when_it_ends(server: Any, audit: Any) -> None:
    events = audit({"level": "Metadata"})
    response = await server.send("GET", f"{MAPS}?watch=1")
    assert [event["stage"] for event in events] == ["RequestReceived", "ResponseStarted"]
    await response.body.aclose()
    await asyncio.sleep(0)
    assert [event["stage"] for event in events][2:] == ["ResponseComplete"]


async def test_strangers_and_the_forbidden_are_on_record(server: Any, audit: Any) -> None:
    events = audit({"level": "Metadata"}, omitStages=["RequestReceived"])
    await server.api.handle(Request("GET", MAPS, "", {"authorization": "Bearer wrong"}))
    await server.api.handle(Request("GET", MAPS, "", {"authorization": "Bearer nobody"}))
    await server.send("GET", MAPS, impersonate_user="somebody")
    await server.send("GET", MAPS, authorization="Bearer nobody", impersonate_user="somebody")
    assert [event["responseStatus"]["code"] for event in events] == [401, 403, 403, 403]
    assert [event["user"].get("username") for event in events] == [None, "nobody", "admin", "nobody"]
    assert events[1]["annotations"]["authorization.k8s.io/decision"] == "forbid"
    assert events[2]["impersonatedUser"]["username"] == "somebody"
    assert events[2]["authenticationMetadata"] == {"impersonationConstraint": "impersonate:user-info"}
    assert "impersonatedUser" not in events[3]


async def test_what_the_policy_does_not_name_is_not_recorded(server: Any, audit: Any) -> None:
    events = audit({"level": "None"})
    await server.ask("GET", MAPS)
    assert events == []


async def test_slow_requests_say_how_long_they_took(server: Any, audit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    events = audit({"level": "Metadata"}, omitStages=["RequestReceived"])
    await server.send("GET", MAPS)
    monkeypatch.setattr("pybernetes.apiserver.audit.record.SLOW_S", 0.0)
    monkeypatch.setattr(server.api._door, "enter_at_once", lambda seat: False)
    await server.send("GET", MAPS)
    fast, slow = (event["annotations"] for event in events)
    assert not any(name.startswith("apiserver.latency.k8s.io/") for name in fast)
    assert slow["apiserver.latency.k8s.io/total"].endswith("s") and slow["apiserver.latency.k8s.io/apf-queue-wait"].endswith(
        "s"
    )
