"""Tokens of Secrets are good for as long as Secret and account say so."""

import base64

import jwt
import pytest

from pybernetes.apiserver.attributes import User
from pybernetes.apiserver.authentication import Options, build
from pybernetes.machinery import errors, pki
from pybernetes.machinery.resources import SECRETS, SERVICE_ACCOUNTS
from pybernetes.machinery.signing_keys import read_signing_key

PREFIX = "kubernetes.io/serviceaccount/"
CLAIMS = {
    "iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:ns:bot", PREFIX + "namespace": "ns",
    PREFIX + "secret.name": "s", PREFIX + "service-account.name": "bot", PREFIX + "service-account.uid": "u1",
}  # fmt: skip


@pytest.fixture
def key(tmp_path):
    pki.write_private(tmp_path / "sa.key", pki.new_key_pem())
    return read_signing_key(tmp_path / "sa.key")


@pytest.fixture
def sign(key):
    def sign(**changes):
        return jwt.encode({**CLAIMS, **changes}, key.key, algorithm="ES256", headers={"kid": key.public.id})

    return sign


@pytest.fixture
def hold(cluster):
    def hold(token, **metadata):
        data = {"token": base64.b64encode(token.encode()).decode()}
        cluster.put(SECRETS, {"metadata": {"name": "s", "namespace": "ns", **metadata}, "data": data})

    return hold


@pytest.fixture
def review(cluster, clock, entropy, tmp_path, key):
    cluster.put(SERVICE_ACCOUNTS, {"metadata": {"name": "bot", "namespace": "ns", "uid": "u1"}})
    options = Options(service_account_issuer=("https://api",), service_account_key_file=(tmp_path / "sa.key",))
    return build(options, reader=cluster, writer=cluster, clock=clock, entropy=entropy).authenticate_token


async def problem(review, token, *audiences):
    with pytest.raises(errors.Unauthorized) as refused:
        await review(token, audiences)
    return refused.value.message.removeprefix("[invalid bearer token, ").removesuffix("]")


async def test_a_token_that_its_secret_holds_is_its_accounts(review, sign, hold):
    token = sign()
    hold(token)
    groups = ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated")
    for _ in range(2):
        assert (await review(token))[:2] == (User("system:serviceaccount:ns:bot", "u1", groups), ("https://api",))


async def test_a_secret_tells_when_its_token_was_last_used(review, sign, hold, cluster, clock):
    token = sign()
    hold(token, labels={"mine": "x"})
    await review(token)
    await review(token)
    assert cluster.writes == [("update", "secrets", "s")]
    labels = cluster.get(SECRETS, "ns", "s")["metadata"]["labels"]
    assert labels == {"mine": "x", "kubernetes.io/legacy-token-last-used": "2026-11-21"}
    clock.advance(24 * 3600)
    await review(token)
    assert len(cluster.writes) == 2


async def test_a_token_ends_with_secret_and_account(review, sign, hold, cluster):
    token = sign()
    assert await problem(review, token) == "Token has been invalidated"
    hold(sign(x="newer"))
    assert await problem(review, token) == "Token does not match server's copy"
    hold(token, deletionTimestamp="2026-11-21T10:00:00Z")
    assert await problem(review, token) == "Token has been invalidated"
    hold(token, labels={"kubernetes.io/legacy-token-invalid-since": "2026-11-21"})
    assert "the token in secret ns/s for service account ns/bot has been marked invalid." in await problem(review, token)
    hold(token)
    cluster.put(SERVICE_ACCOUNTS, {"metadata": {"name": "bot", "namespace": "ns", "uid": "u2"}})
    assert await problem(review, token) == "ServiceAccount UID (u2) does not match claim (u1)"
    await cluster.delete(SERVICE_ACCOUNTS, "ns", "bot")
    assert await problem(review, token) == 'serviceaccounts "bot" not found'


async def test_a_token_is_for_the_api_server_alone(review, sign, hold):
    token = sign()
    hold(token)
    assert await problem(review, token, "vault") == (
        'token audiences ["https://api"] is invalid for the target audiences ["vault"]'
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sub": ""}, "sub claim is missing"),
        ({PREFIX + "secret.name": ""}, "secretName claim is missing"),
        ({"sub": "system:serviceaccount:ns:root"}, "sub claim is invalid"),
    ],
)
async def test_a_token_must_say_whose_it_is(review, sign, hold, changes, said):
    token = sign(**changes)
    hold(token)
    assert await problem(review, token) == said


async def test_a_token_of_another_key_is_none(review, hold):
    forged = jwt.encode(CLAIMS, pki_key(), algorithm="ES256", headers={"kid": "other"})
    hold(forged)
    assert await problem(review, forged) == "invalid signature, no keys found"


def pki_key():
    return pki.new_key_pem().decode()
