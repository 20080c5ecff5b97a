"""The chain that a file describes, while the file changes."""

import json

import pytest

from pybernetes.apiserver.attributes import RequestInfo, User
from pybernetes.apiserver.authorization import Chain, Options
from pybernetes.apiserver.authorization import chain as module
from pybernetes.apiserver.authorization.configuration import ConfigurationError, of_modes
from pybernetes.apiserver.authorization.interface import Decision

JOE, VERSION = User("joe"), RequestInfo("get", "/version")


@pytest.fixture
def file(tmp_path):
    return tmp_path / "authorization.json"


@pytest.fixture
def kubeconfig(tmp_path):
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps({"clusters": [{"name": "a", "cluster": {"server": "http://127.0.0.1:9"}}]}))
    return path


@pytest.fixture
def put(file, kubeconfig):
    def put(*types, timeout="1s"):
        info = {"type": "KubeConfigFile", "kubeConfigFile": str(kubeconfig)}
        webhook = {
            "timeout": timeout, "subjectAccessReviewVersion": "v1", "failurePolicy": "NoOpinion", "connectionInfo": info,
        }  # fmt: skip
        authorizers = [{"type": kind, "name": kind.lower()} for kind in types]
        for authorizer in authorizers:
            if authorizer["type"] == "Webhook":
                authorizer["webhook"] = webhook
        head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthorizationConfiguration"}
        file.write_text(json.dumps({**head, "authorizers": authorizers}))

    return put


@pytest.fixture
def start(cluster, clock, entropy, file):
    return lambda: Chain(Options(file=str(file)), cluster, clock=clock, entropy=entropy)


async def decision(chain):
    return (await chain.authorize(JOE, VERSION)).decision


async def test_what_is_good_is_taken_over_and_what_is_not_changes_nothing(put, start, file):
    put("AlwaysDeny")
    chain = start()
    put("AlwaysDeny", "AlwaysAllow")
    chain.look()
    assert await decision(chain) is Decision.ALLOW
    for bad in ("", "[", "{}", '{"kind": 5}'):
        file.write_text(bad)
        chain.look()
        assert await decision(chain) is Decision.ALLOW
    file.unlink()
    chain.look()
    assert await decision(chain) is Decision.ALLOW
    put("AlwaysAllow")  # what the server started with must stay
    chain.look()
    put("AlwaysDeny", "RBAC")  # and what needs a start is not there without
    chain.look()
    assert await decision(chain) is Decision.ALLOW
    assert chain.metrics.reloads.count == 8
    put("AlwaysDeny")
    chain.look()
    assert await decision(chain) is Decision.NO_OPINION


async def test_a_rewritten_file_of_the_same_meaning_is_no_reload(put, start, file):
    put("AlwaysDeny")
    chain = start()
    file.write_text(json.dumps(json.loads(file.read_text()), indent=1))
    chain.look()
    assert chain.metrics.reloads.count == 0


async def test_a_webhook_that_is_gone_is_closed_when_nobody_asks_it_any_more(put, start, clock, monkeypatch):
    put("Webhook")
    chain = start()
    closed = []

    async def close():
        closed.append(clock.monotonic())

    monkeypatch.setattr(chain._webhooks[0], "close", close)
    put("Webhook", timeout="2s")
    chain.look()
    assert len(chain._webhooks) == 1

    class Enough(Exception):
        pass

    async def sleep(delay_s):
        clock.advance(delay_s)
        if closed:
            raise Enough

    began = clock.monotonic()
    monkeypatch.setattr(clock, "sleep", sleep)
    with pytest.raises(Enough):
        await chain.run()
    assert closed[0] - began >= module.FAREWELL_S
    await chain.close()


def test_a_start_with_files_that_are_of_no_use_fails(put, start, file, kubeconfig, cluster, clock, entropy):
    put("Webhook")
    kubeconfig.write_text("[]")
    with pytest.raises(ConfigurationError, match="it is not a mapping"):
        start()
    file.unlink()
    with pytest.raises(FileNotFoundError):
        start()
    with pytest.raises(FileNotFoundError):
        Chain(Options(of_modes(("ABAC",)), policy_file="/nowhere"), cluster, clock=clock, entropy=entropy)
    with pytest.raises(ConfigurationError, match="at least one authorization mode"):
        Chain(Options(()), cluster, clock=clock, entropy=entropy)


async def test_without_a_file_there_is_nothing_to_follow(authorizing):
    await authorizing("AlwaysAllow").run()
