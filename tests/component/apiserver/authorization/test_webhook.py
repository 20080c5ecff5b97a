"""A server that asks a webhook over TLS, configured by a file that is replaced while it runs."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from pybernetes.apiserver.audit.policy import parse
from pybernetes.apiserver.audit.record import Auditor
from pybernetes.apiserver.authorization import Options, chain
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.machinery.http.messages import Response
from tests.component.apiserver.audit_events import listing

JANE = {"impersonate-user": "jane", "impersonate-group": "cooks"}
PODS = "/api/v1/namespaces/default/pods"
HEAD = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers:\n"
RBAC = "- {type: RBAC, name: rbac}\n"


def webhook(name: str, kubeconfig: Path, **fields: str) -> str:
    given = {
        "timeout": "2s", "subjectAccessReviewVersion": "v1", "failurePolicy": "NoOpinion",
        "connectionInfo": f"{{type: KubeConfigFile, kubeConfigFile: {kubeconfig}}}", **fields,
    }  # fmt: skip
    return f"- type: Webhook\n  name: {name}\n  webhook:\n" + "".join(f"    {key}: {value}\n" for key, value in given.items())


def replace(path: Path, text: str) -> None:
    path.with_suffix(".new").write_text(text)
    os.replace(path.with_suffix(".new"), path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "authorization.yaml"


@pytest.fixture
def configuration(file, reviewer, monkeypatch):
    monkeypatch.setattr(chain, "LOOK_PERIOD_S", 0.02)
    replace(file, HEAD + webhook("hook", reviewer.kubeconfig) + RBAC)
    return {"authorization": Options(file=str(file))}


async def follow(file: Path, text: str, server) -> None:
    """Replace the file and wait until the server has seen it."""
    replace(file, text)
    reloads = server.api._authorizer.metrics.reloads
    seen = reloads.count
    async with asyncio.timeout(5):
        while reloads.count == seen:
            await asyncio.sleep(0.01)


async def test_what_the_webhook_allows_is_allowed_and_its_answer_kept(server, reviewer):
    assert (await server.send("GET", f"{PODS}?labelSelector=app%3Dx", **JANE)).status == 200
    assert (await server.send("GET", f"{PODS}?labelSelector=app%3Dx", **JANE)).status == 200
    (asked,) = reviewer.asked
    assert asked["spec"]["user"] == "jane"
    assert asked["spec"]["groups"] == ["cooks", "system:authenticated"]
    assert asked["spec"]["resourceAttributes"] == {
        "namespace": "default", "verb": "list", "version": "v1", "resource": "pods",
        "labelSelector": {"requirements": [{"key": "app", "operator": "In", "values": ["x"]}]},
    }  # fmt: skip


async def test_a_denial_ends_it_and_no_opinion_asks_the_next(server, reviewer):
    reviewer.answer = lambda review: {"allowed": False, "denied": True, "reason": "not today"}
    answer = await server.ask("GET", PODS, **JANE)
    assert answer["message"] == (
        'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default": not today'
    )
    reviewer.answer = lambda review: {"allowed": False, "reason": "no idea"}
    assert (await server.ask("GET", "/api/v1/namespaces/default/secrets", **JANE))["message"].endswith("no idea")
    # /version is RBAC's to allow.
    assert (await server.send("GET", "/version", **JANE)).status == 200


async def test_masters_are_not_asked_about(server, reviewer):
    reviewer.answer = lambda review: {"allowed": False, "denied": True}
    assert (await server.send("GET", PODS)).status == 200
    assert not reviewer.asked


async def test_a_failed_webhook_is_500_unless_somebody_else_allows(server, reviewer):
    reviewer.answer = lambda review: Response(503, {}, b"")
    answer = await server.send("GET", PODS, **JANE)
    assert answer.status == 500
    assert answer.body == (
        b'Internal Server Error: "/api/v1/namespaces/default/pods": the server is currently unable to handle the request\n'
    )
    assert (await server.send("GET", "/version", **JANE)).status == 200
    metrics = (await server.send("GET", "/metrics")).body.decode()
    assert 'apiserver_authorization_webhook_evaluations_fail_open_total{name="hook",result="error"} 2.0' in metrics


async def test_a_review_tells_what_failed(server, reviewer):
    reviewer.answer = lambda review: Response(503, {}, b"")
    spec = {"user": "jane", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    answer = await server.ask("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body)
    assert answer["status"] == {
        "allowed": False, "evaluationError": "the server is currently unable to handle the request",
    }  # fmt: skip
    assert reviewer.asked[0]["spec"]["resourceAttributes"]["version"] == "*"


async def test_what_cannot_be_listed_is_said_in_the_rules_review(server, reviewer):
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": "default"}}
    status = (await server.ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", body, **JANE))["status"]
    assert status["incomplete"] is True
    assert status["evaluationError"] == "webhook authorizer does not support user rule resolution"
    assert status["resourceRules"]


async def test_a_replaced_file_is_followed_and_a_bad_one_is_not(server, reviewer, file):
    reviewer.answer = lambda review: {"allowed": review["spec"]["user"] == "jane"}
    conditions = "[{expression: request.user == 'joe'}]"
    hook = webhook("hook", reviewer.kubeconfig)
    choosy = webhook("choosy", reviewer.kubeconfig, matchConditions=conditions, matchConditionSubjectAccessReviewVersion="v1")
    await follow(file, HEAD + choosy + RBAC, server)
    assert (await server.send("GET", PODS, **JANE)).status == 403
    assert not reviewer.asked

    for bad in (
        HEAD + choosy,
        HEAD + RBAC + hook.replace("2s", "99s"),
        "kind: [",
        HEAD + RBAC + "- {type: Node, name: node}\n",
    ):
        await follow(file, bad, server)
        assert (await server.send("GET", PODS, **JANE)).status == 403

    await follow(file, HEAD + hook + RBAC, server)
    assert (await server.send("GET", PODS, **JANE)).status == 200
    metrics = (await server.send("GET", "/metrics")).body.decode()
    head = "apiserver_authorization_config_controller_automatic_reloads_total"
    assert f'{head}{{apiserver_id_hash="",status="success"}} 2.0' in metrics
    assert f'{head}{{apiserver_id_hash="",status="failure"}} 4.0' in metrics
    assert 'apiserver_authorization_match_condition_exclusions_total{name="choosy",type="Webhook"} 5.0' in metrics
    assert 'apiserver_authorization_decisions_total{decision="allowed",name="hook",type="Webhook"} 1.0' in metrics


async def test_a_webhook_that_must_answer_denies_when_its_conditions_fail(server, reviewer, file):
    strict = webhook(
        "strict", reviewer.kubeconfig, failurePolicy="Deny", matchConditionSubjectAccessReviewVersion="v1",
        matchConditions="[{expression: request.nonResourceAttributes.path == '/x'}]",
    )  # fmt: skip
    await follow(file, HEAD + strict + RBAC, server)
    answer = await server.send("GET", PODS, **JANE)
    assert answer.status == 500
    assert b"no such key: nonResourceAttributes" in answer.body
    assert not reviewer.asked


async def test_two_webhooks_are_asked_in_their_order(server, reviewer, file):
    first = webhook("first", reviewer.kubeconfig, subjectAccessReviewVersion="v1beta1")
    await follow(file, HEAD + first + webhook("second", reviewer.kubeconfig) + RBAC, server)
    reviewer.answer = lambda review: {"allowed": review["apiVersion"].endswith("/v1")}
    assert (await server.send("GET", PODS, **JANE)).status == 200
    assert [review["apiVersion"] for review in reviewer.asked] == ["authorization.k8s.io/v1beta1", "authorization.k8s.io/v1"]
    assert reviewer.asked[0]["spec"]["group"] == ["cooks", "system:authenticated"]


async def test_audit_says_that_nothing_was_decided_where_the_webhook_failed(server, reviewer):
    events = []
    policy = parse({"kind": "Policy", "apiVersion": "audit.k8s.io/v1", "rules": [{"level": "Metadata"}]})
    server.api._auditor = Auditor(policy, listing(events), clock=SystemClock(), entropy=SystemEntropy())
    reviewer.answer = lambda review: Response(403, {}, b"")
    assert (await server.send("GET", PODS, **JANE)).status == 500
    annotations = events[-1]["annotations"]
    assert annotations["authorization.k8s.io/reason"] == "internal error"
    assert "authorization.k8s.io/decision" not in annotations
