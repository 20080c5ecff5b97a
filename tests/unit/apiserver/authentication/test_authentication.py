"""Credentials become users, in upstream's order, or 401."""

import base64
import hashlib

import pytest

from pybernetes.apiserver.attributes import User
from pybernetes.apiserver.authentication import Options, build
from pybernetes.apiserver.authentication.reviews import self_subject_review, token_review
from pybernetes.apiserver.authentication.x509 import read
from pybernetes.machinery import errors
from pybernetes.machinery.http.messages import Memo, Request
from pybernetes.machinery.resources import SECRETS

TOKEN = "abcdef.0123456789abcdef"


def request(token="", **headers):
    if token:
        headers["authorization"] = f"Bearer {token}"
    return Request("GET", "/", headers=headers)


def encoded(data):
    return {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}


def bootstrap_secret(**changes):
    data = {
        "token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true",
        "expiration": "2026-11-22T10:00:00Z", "auth-extra-groups": "system:bootstrappers:workers",
    }  # fmt: skip
    metadata = {"name": "bootstrap-token-abcdef", "namespace": "kube-system"}
    return {"metadata": metadata, "type": "bootstrap.kubernetes.io/token", "data": encoded({**data, **changes})}


@pytest.fixture
def certificate():
    from datetime import UTC, datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    def make(*attributes):
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(getattr(NameOID, oid), value) for oid, value in attributes])
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        builder = builder.not_valid_before(datetime(2026, 1, 1, tzinfo=UTC)).not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
        return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

    return make


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "tokens.csv"
    path.write_text('secret,joe,uid-1,"dev,ops"\nplain,ann,uid-2\n')
    return path


@pytest.fixture
def authenticator(cluster, clock, entropy, token_file):
    options = Options(token_auth_file=token_file, enable_bootstrap_token_auth=True)
    return build(options, reader=cluster, writer=cluster, clock=clock, entropy=entropy)


async def test_a_certificate_names_user_and_groups_and_goes_before_a_token(authenticator, certificate):
    der = certificate(("COMMON_NAME", "kubernetes-admin"), ("ORGANIZATION_NAME", "system:masters"))
    for _ in range(2):
        user = await authenticator.authenticate(
            Request("GET", "/", headers={"authorization": "Bearer wrong"}, peer_certificate=der)
        )
        assert (user.name, user.groups) == ("kubernetes-admin", ("system:masters", "system:authenticated"))
        credential = f"X509SHA256={hashlib.sha256(der).hexdigest()}"
        assert user.extra == {"authentication.kubernetes.io/credential-id": (credential,)}


def test_a_certificate_without_a_name_is_nobodys(certificate):
    assert read(certificate(("ORGANIZATION_NAME", "dev"))).user is None


async def test_tokens_of_the_file_are_known_by_exact_text(authenticator):
    assert await authenticator.authenticate(request("secret")) == User("joe", "uid-1", ("dev", "ops", "system:authenticated"))
    assert (await authenticator.authenticate(request("plain"))).groups == ("system:authenticated",)
    with pytest.raises(errors.Unauthorized) as refused:
        await authenticator.authenticate(request("secre"))
    assert refused.value.status == {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "Unauthorized",
        "reason": "Unauthorized", "code": 401,
    }  # fmt: skip


async def test_only_what_nothing_can_take_back_is_kept_between_requests(authenticator, cluster):
    lasting, passing = (
        Request("GET", "/", headers={"authorization": f"Bearer {each}"}, memo=Memo()) for each in ("secret", TOKEN)
    )
    cluster.put(SECRETS, bootstrap_secret())
    first = await authenticator.authenticate(lasting)
    assert await authenticator.authenticate(lasting) is first
    assert (await authenticator.authenticate(passing)).name == "system:bootstrap:abcdef"
    cluster.put(SECRETS, bootstrap_secret(**{"usage-bootstrap-authentication": "false"}))
    with pytest.raises(errors.Unauthorized):
        await authenticator.authenticate(passing)


def test_a_token_file_with_a_short_line_is_refused(tmp_path, cluster, clock, entropy):
    path = tmp_path / "tokens.csv"
    path.write_text("secret,joe\n")
    with pytest.raises(ValueError, match="found 2 columns"):
        build(Options(token_auth_file=path), reader=cluster, writer=cluster, clock=clock, entropy=entropy)


async def test_without_credentials_one_is_anonymous_unless_that_is_off(authenticator, cluster, clock, entropy):
    nobody = User("system:anonymous", groups=("system:unauthenticated",))
    assert await authenticator.authenticate(request()) == nobody
    assert await authenticator.authenticate(request(authorization="Basic eDp5")) == nobody
    closed = build(Options(anonymous_auth=False), reader=cluster, writer=cluster, clock=clock, entropy=entropy)
    with pytest.raises(errors.Unauthorized):
        await closed.authenticate(request())


async def test_a_browser_sends_its_token_as_a_subprotocol(authenticator):
    offered = "base64url.bearer.authorization.k8s.io." + base64.urlsafe_b64encode(b"secret").decode().rstrip("=")
    headers = {"upgrade": "websocket", "sec-websocket-protocol": f"v5.channel.k8s.io, {offered}"}
    assert (await authenticator.authenticate(request(**headers))).name == "joe"


async def test_a_bootstrap_token_is_its_secrets_user(authenticator, cluster, clock):
    cluster.put(SECRETS, bootstrap_secret())
    user = await authenticator.authenticate(request(TOKEN))
    assert user.name == "system:bootstrap:abcdef"
    assert user.groups == ("system:bootstrappers", "system:bootstrappers:workers", "system:authenticated")
    clock.advance(25 * 3600)
    with pytest.raises(errors.Unauthorized):
        await authenticator.authenticate(request(TOKEN))


@pytest.mark.parametrize(
    "change",
    [
        {"token-secret": "fedcba9876543210"},
        {"usage-bootstrap-authentication": "false"},
        {"expiration": "whenever"},
        {"auth-extra-groups": "system:masters"},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_a_bootstrap_secret_that_does_not_vouch_lets_nobody_in(authenticator, cluster, change):
    cluster.put(SECRETS, bootstrap_secret(**change))
    with pytest.raises(errors.Unauthorized):
        await authenticator.authenticate(request(TOKEN))


async def test_a_secret_of_another_type_is_no_bootstrap_token(authenticator, cluster):
    cluster.put(SECRETS, {**bootstrap_secret(), "type": "Opaque"})
    with pytest.raises(errors.Unauthorized):
        await authenticator.authenticate(request(TOKEN))


async def test_a_token_review_tells_whose_a_token_is_or_why_not(authenticator):
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": "secret"}}
    assert (await token_review(asked, authenticator))["status"] == {
        "authenticated": True,
        "user": {"username": "joe", "uid": "uid-1", "groups": ["dev", "ops", "system:authenticated"]},
    }
    status = (await token_review({**asked, "spec": {"token": "x"}}, authenticator))["status"]
    assert status == {"user": {}, "error": "invalid bearer token"}
    with pytest.raises(errors.BadRequest, match="token is required"):
        await token_review({**asked, "spec": {}}, authenticator)


def test_one_may_ask_who_one_is(clock):
    user = User("joe", "u1", ("g",), {"reason": ("x",)})
    answer = self_subject_review({"kind": "SelfSubjectReview", "metadata": {}}, user, clock)
    assert answer["metadata"] == {"creationTimestamp": "2026-11-21T10:00:00Z"}
    info = {"username": "joe", "uid": "u1", "groups": ["g"], "extra": {"reason": ["x"]}}
    assert answer["status"] == {"userInfo": info}
