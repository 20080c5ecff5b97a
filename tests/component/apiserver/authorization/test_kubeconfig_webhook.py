"""Calls to a webhook that a kubeconfig names, over TLS."""

from __future__ import annotations

import asyncio
import json
import shutil

import pytest
from cryptography import x509

from pybernetes.apiserver.kubeconfig_webhook import Backoff, KubeconfigWebhook, WebhookFailed
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.machinery.http.messages import Response

REVIEW = {"kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "spec": {"user": "x"}}


@pytest.fixture
async def webhook(reviewer):
    made = KubeconfigWebhook(
        str(reviewer.kubeconfig), clock=SystemClock(), entropy=SystemEntropy(), timeout_s=0.5,
        backoff=Backoff(first_delay_s=0.001),
    )  # fmt: skip
    yield made
    await made.close()


async def test_the_review_is_posted_to_the_servers_own_path_with_the_kubeconfigs_certificate(reviewer, webhook):
    answer = await webhook.post(REVIEW)
    assert answer["status"] == {"allowed": True}
    request = reviewer.requests[0]
    assert (request.method, request.path, request.query) == ("POST", "/authorize", "timeout=500ms")
    assert reviewer.asked == [REVIEW]
    assert _common_name(reviewer.certificates[0]) == "first"


async def test_a_replaced_client_certificate_is_shown_by_further_connections(reviewer, webhook):
    await webhook.post(REVIEW)
    for part in ("crt", "key"):
        shutil.copy(reviewer.directory / f"second.{part}", reviewer.directory / f"client.{part}")
    reviewer.answer = lambda review: asyncio.sleep(0.05, {"allowed": True})
    await asyncio.gather(webhook.post(REVIEW), webhook.post(REVIEW))  # the second needs a connection of its own
    assert {_common_name(found) for found in reviewer.certificates} == {"first", "second"}


@pytest.mark.parametrize("status", [429, 500, 504])
async def test_a_server_in_trouble_for_a_moment_is_asked_again_five_times_at_most(reviewer, webhook, status):
    answers = [Response(status, {}, b""), Response(status, {}, b"")]
    reviewer.answer = lambda review: answers.pop() if answers else {"allowed": False}
    assert (await webhook.post(REVIEW))["status"] == {"allowed": False}
    assert len(reviewer.asked) == 3

    reviewer.answer = lambda review: Response(status, {}, b"")
    seen = []
    with pytest.raises(WebhookFailed):
        await webhook.post(REVIEW, lambda failure, seconds: seen.append((failure.transient, failure.timed_out)))
    assert seen == [(True, status == 504)] * 5


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (Response(403, {"Content-Type": "text/plain"}, b"go away"), "go away"),
        (Response(503, {}, b""), "the server is currently unable to handle the request"),
        (Response(200, {}, b"{nope"), "couldn't get version/kind; json parse error: invalid character 'n' looking for"),
        (Response(200, {}, b"[]"), "couldn't get version/kind; json parse error"),
        (Response(200, {}, json.dumps({**REVIEW, "apiVersion": "authorization.k8s.io/v1beta1"}).encode()),
         r"converting \(v1beta1.SubjectAccessReview\) to \(v1.SubjectAccessReview\): unknown conversion"),
        (Response(200, {}, json.dumps({"kind": "Status", "apiVersion": "v1", "message": "not today"}).encode()), "not today"),
    ],
)  # fmt: skip
async def test_what_is_no_review_fails_at_once_and_says_why(reviewer, webhook, answer, problem):
    reviewer.answer = lambda review: answer
    with pytest.raises(WebhookFailed, match=problem):
        await webhook.post(REVIEW)
    assert len(reviewer.asked) == 1


async def test_a_silent_server_is_given_up_after_the_timeout(reviewer, webhook):
    reviewer.answer = lambda review: asyncio.sleep(5, {"allowed": True})
    with pytest.raises(WebhookFailed, match=r"/authorize\?timeout=500ms\": context deadline exceeded") as failure:
        await webhook.post(REVIEW)
    assert failure.value.timed_out
    assert len(reviewer.asked) == 1


async def test_a_server_that_is_away_is_said_to_refuse_connections(reviewer, webhook):
    await reviewer.http.stop(0)
    with pytest.raises(WebhookFailed, match=r'Post "https://127.0.0.1:\d+/authorize.*connect: connection refused'):
        await webhook.post(REVIEW)


def _common_name(der: bytes | None) -> str:
    assert der is not None
    return str(x509.load_der_x509_certificate(der).subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)
