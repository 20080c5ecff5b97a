"""The webhook authorizer: what it keeps, for how long, and what a failure means."""

import pytest

from pybernetes.apiserver.attributes import RequestInfo, User
from pybernetes.apiserver.authorization import webhook as module
from pybernetes.apiserver.authorization.configuration import Webhook
from pybernetes.apiserver.authorization.interface import Decision
from pybernetes.apiserver.authorization.metrics import Metrics
from pybernetes.apiserver.authorization.webhook import WebhookAuthorizer
from pybernetes.apiserver.kubeconfig_webhook import WebhookFailed

JANE = User("jane")


class Remote:
    def __init__(self):
        self.status = {"allowed": True}
        self.failure = None
        self.asked = []

    async def post(self, review, observe):
        self.asked.append(review)
        observe(self.failure, 0.1)
        if self.failure is not None:
            raise self.failure
        return {**review, "status": self.status}

    async def close(self): ...


@pytest.fixture
def remote():
    return Remote()


@pytest.fixture
def make(remote, clock):
    def make(**fields):
        config = Webhook("/x", authorized_ttl_s=60, unauthorized_ttl_s=10, **fields)
        return WebhookAuthorizer("hook", config, remote, clock=clock, metrics=Metrics())

    return make


def get(path):
    return RequestInfo("get", path)


async def test_an_answer_is_kept_as_long_as_its_kind_is(make, remote, clock):
    authorizer = make()
    for status, ttl_s in (({"allowed": True}, 60), ({"allowed": False}, 10), ({"allowed": False, "denied": True}, 10)):
        remote.status, path = status, f"/{ttl_s}{status}"
        remote.asked.clear()
        first = await authorizer.authorize(JANE, get(path))
        clock.advance(ttl_s - 1)
        remote.status = {"allowed": not status["allowed"]}
        assert await authorizer.authorize(JANE, get(path)) == first
        assert len(remote.asked) == 1
        clock.advance(2)
        assert await authorizer.authorize(JANE, get(path)) != first
        assert len(remote.asked) == 2


async def test_questions_that_differ_in_anything_are_other_questions(make, remote):
    authorizer = make()
    pods = RequestInfo("list", "", True, resource="pods")
    narrowed = RequestInfo("list", "", True, resource="pods", field_selector="spec.nodeName=a")
    users = (JANE, User("jane", "7"), User("jane", groups=("cooks",)), User("jane", extra={"scope": ("a",)}))
    for _ in range(2):
        for user in users:
            for info in (pods, narrowed):
                await authorizer.authorize(user, info)
    assert len(remote.asked) == 2 * len(users)


async def test_what_need_not_be_kept_is_asked_again(make, remote, monkeypatch):
    authorizer = make()
    for _ in range(2):
        await authorizer.authorize(JANE, get("/" + "x" * 10_000))
    assert len(remote.asked) == 2
    monkeypatch.setattr(module, "KEPT_MAX", 2)
    authorizer = make()
    remote.asked.clear()
    for path in ("/a", "/b", "/a", "/c", "/a", "/b"):  # /b is the longest unused when /c comes
        await authorizer.authorize(JANE, get(path))
    assert [review["spec"]["nonResourceAttributes"]["path"] for review in remote.asked] == ["/a", "/b", "/c", "/b"]


@pytest.mark.parametrize(("denies", "decision"), [(True, Decision.DENY), (False, Decision.NO_OPINION)])
async def test_a_failure_is_what_the_configuration_says_and_not_kept(make, remote, denies, decision):
    authorizer = make(denies_on_failure=denies)
    remote.failure = WebhookFailed("no answer", timed_out=True)
    assert await authorizer.authorize(JANE, get("/x")) == (decision, "", "no answer")
    remote.failure = None
    assert (await authorizer.authorize(JANE, get("/x"))).decision is Decision.ALLOW


def test_its_rules_cannot_be_listed(make):
    assert make().rules_for(JANE, "ns") == ((), True, "webhook authorizer does not support user rule resolution")
