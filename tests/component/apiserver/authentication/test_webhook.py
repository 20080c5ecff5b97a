"""Tokens are known by a real webhook over TLS, which a kubeconfig names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pybernetes.apiserver.authentication import WebhookOptions
from pybernetes.apiserver.kubeconfig_webhook import KubeconfigWebhook
from pybernetes.client import kubeconfig
from pybernetes.machinery import pki
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.machinery.http.messages import Request, Response

from .conftest import REVIEWS, Serve

JANE = {"username": "jane", "uid": "42", "groups": ["dev"], "extra": {"acme.com/team": ["a", "b"]}}


class Webhook:
    """Answers as `answer` says, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.queries: list[str] = []
        self.status: Any = {"authenticated": True, "user": JANE}
        self.failures: list[Response] = []  # given first
        self.certificates: list[bytes | None] = []

    async def handle(self, request: Request) -> Response:
        review = json.loads(request.body)
        self.asked.append(review)
        self.queries.append(f"{request.method} {request.path}?{request.query}")
        self.certificates.append(request.peer_certificate)
        if self.failures:
            return self.failures.pop(0)
        answer = {"kind": "TokenReview", "apiVersion": review["apiVersion"], "status": self.status}
        return Response(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())


@pytest.fixture
def webhook() -> Webhook:
    return Webhook()


@pytest.fixture
async def authentication(webhook: Webhook, authority: pki.Authority, serve: Serve, tmp_path: Path) -> dict[str, Any]:
    http = await serve(webhook.handle, tmp_path / "services.crt")
    pair = authority.issue("apiserver", now=SystemClock().now())
    config = kubeconfig.build(
        server=f"https://127.0.0.1:{http.port}/authenticate", certificate_authority=authority.certificate_pem,
        client_certificate=pair.certificate_pem, client_key=pair.key_pem,
    )  # fmt: skip
    kubeconfig.write(tmp_path / "webhook.conf", config)
    return {"webhook": WebhookOptions(tmp_path / "webhook.conf", "v1", cache_ttl_s=60), "api_audiences": ("api", "other")}


async def test_a_webhook_says_whose_a_token_is_and_is_asked_once(webhook: Webhook, who: Any) -> None:
    for _ in range(2):
        assert await who("opaque") == {**JANE, "groups": ["dev", "system:authenticated"]}
    assert webhook.asked == [
        {
            "kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "metadata": {},
            "spec": {"token": "opaque", "audiences": ["api", "other"]}, "status": {"user": {}},
        }
    ]  # fmt: skip
    assert webhook.queries == ["POST /authenticate?timeout=30s"]
    assert webhook.certificates != [None]


async def test_tokens_that_the_server_knows_are_not_told_to_the_webhook(webhook: Webhook, who: Any) -> None:
    assert (await who("test-admin"))["username"] == "admin"
    assert webhook.asked == []


async def test_an_unknown_token_is_remembered_and_a_wrong_one_is_not(webhook: Webhook, who: Any) -> None:
    webhook.status = {"authenticated": False}
    assert [await who("unknown"), await who("unknown")] == [None, None]
    assert len(webhook.asked) == 1
    webhook.status = {"authenticated": False, "error": "it has expired"}
    assert [await who("wrong"), await who("wrong")] == [None, None]
    assert len(webhook.asked) == 3


async def test_a_token_is_for_the_audiences_that_the_webhook_says(webhook: Webhook, server: Any) -> None:
    async def status(*audiences: str) -> Any:
        spec = {"token": f"for {audiences}", "audiences": list(audiences)}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        return (await server.ask("POST", REVIEWS, body))["status"]

    webhook.status = {"authenticated": True, "user": JANE, "audiences": ["vault"]}
    assert (await status("vault", "x"))["audiences"] == ["vault"]
    assert await status("x") == {"user": {}, "error": "invalid bearer token"}
    webhook.status = {"authenticated": True, "user": JANE}  # says nothing: it is for the API server
    assert (await status("other", "y"))["audiences"] == ["other"]
    assert await status("y") == {"user": {}, "error": "invalid bearer token"}


async def test_a_failure_inside_the_webhook_is_tried_again(webhook: Webhook, who: Any) -> None:
    webhook.failures = [Response(500, {}, b"oops"), Response(429, {}, b"busy")]
    assert (await who("opaque"))["username"] == "jane"
    assert len(webhook.asked) == 3


async def test_an_answer_that_is_none_says_so_in_a_review_and_is_401_else(webhook: Webhook, server: Any, who: Any) -> None:
    webhook.failures = [Response(404, {}, b"gone")]
    assert await who("opaque") is None
    webhook.failures = [Response(403, {"Content-Type": "text/plain"}, b"no entry")]
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": "opaque"}}
    status = (await server.ask("POST", REVIEWS, body))["status"]
    assert status == {"user": {}, "error": "[invalid bearer token, no entry]"}
    webhook.status = {"authenticated": True, "user": {"username": ["jane"]}}
    status = (await server.ask("POST", REVIEWS, body))["status"]
    assert "status.user.username of the answer is no str" in status["error"]


async def test_a_webhook_may_be_all_of_a_server(
    webhook: Webhook, authority: pki.Authority, serve: Serve, tmp_path: Path
) -> None:
    http = await serve(webhook.handle)
    config = kubeconfig.build(server=f"https://127.0.0.1:{http.port}", certificate_authority=authority.certificate_pem)
    kubeconfig.write(tmp_path / "root.conf", config)
    client = KubeconfigWebhook(str(tmp_path / "root.conf"), clock=SystemClock(), entropy=SystemEntropy())
    try:
        await client.post({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1"})
    finally:
        await client.close()
    assert webhook.queries == ["POST /?timeout=30s"]
