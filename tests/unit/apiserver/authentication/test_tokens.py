"""Service-account tokens: issued, verified, and dead with what they are bound to."""

import jwt
import pytest

from pybernetes.apiserver.authentication import Options, build
from pybernetes.apiserver.authentication.tokens import Issuer
from pybernetes.machinery import errors
from pybernetes.machinery.http.messages import Request
from pybernetes.machinery.resources import NODES, PODS, SECRETS, SERVICE_ACCOUNTS

ISSUER = "https://kubernetes.default.svc.cluster.local"


def pem(key):
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture(scope="module")
def keys():
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    return {
        "ES256": pem(ec.generate_private_key(ec.SECP256R1())),
        "RS256": pem(rsa.generate_private_key(65537, 2048)),
        "other": pem(ec.generate_private_key(ec.SECP256R1())),
    }


@pytest.fixture
def world(cluster, clock, entropy, tmp_path, keys):
    """A service account with a pod on a node, and a server that issues and verifies."""
    path = tmp_path / "sa.key"
    path.write_bytes(keys["ES256"])
    cluster.put(SERVICE_ACCOUNTS, {"metadata": {"name": "bot", "namespace": "ns"}})
    cluster.put(NODES, {"metadata": {"name": "a"}})
    cluster.put(SECRETS, {"metadata": {"name": "s", "namespace": "ns"}})
    cluster.put(PODS, {"metadata": {"name": "p", "namespace": "ns"}, "spec": {"nodeName": "a", "serviceAccountName": "bot"}})
    options = Options(service_account_issuer=(ISSUER,), service_account_signing_key_file=path)
    issuer = Issuer(options, reader=cluster, clock=clock, entropy=entropy)
    return issuer, build(options, reader=cluster, writer=cluster, clock=clock, entropy=entropy)


def asked(**spec):
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {}, "spec": spec}


def bound(kind, name, **more):
    return {"boundObjectRef": {"apiVersion": "v1", "kind": kind, "name": name, **more}}


def issue(issuer, namespace, name, request):
    return issuer.issue(issuer.completed(namespace, name, request)).answer


async def user_of(authenticator, token):
    return await authenticator.authenticate(Request("GET", "/", headers={"authorization": f"Bearer {token}"}))


async def test_a_token_of_an_account_is_that_account_for_an_hour(world, clock):
    issuer, authenticator = world
    answer = issue(issuer, "ns", "bot", asked())
    assert answer["spec"] == {"expirationSeconds": 3600, "audiences": [ISSUER]}
    assert answer["metadata"] == {
        "name": "bot", "namespace": "ns", "uid": "uid-of-bot", "creationTimestamp": "2026-11-21T10:00:00Z",
    }  # fmt: skip
    assert answer["status"]["expirationTimestamp"] == "2026-11-21T11:00:00Z"
    user = await user_of(authenticator, answer["status"]["token"])
    assert (user.name, user.uid) == ("system:serviceaccount:ns:bot", "uid-of-bot")
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated")
    assert list(user.extra) == ["authentication.kubernetes.io/credential-id"]
    clock.advance(3600 + 61)
    with pytest.raises(errors.Unauthorized):
        await user_of(authenticator, answer["status"]["token"])


async def test_a_token_of_a_pod_says_pod_and_node(world):
    issuer, authenticator = world
    token = issue(issuer, "ns", "bot", asked(**bound("Pod", "p", uid="uid-of-p")))["status"]["token"]
    claims = jwt.decode(token, options={"verify_signature": False})["kubernetes.io"]
    assert claims == {
        "namespace": "ns",
        "node": {"name": "a", "uid": "uid-of-a"},
        "pod": {"name": "p", "uid": "uid-of-p"},
        "serviceaccount": {"name": "bot", "uid": "uid-of-bot"},
    }
    extra = {key.partition("/")[2]: value for key, value in (await user_of(authenticator, token)).extra.items()}
    credential = extra.pop("credential-id")
    assert credential[0].startswith("JTI=")
    assert extra == {"node-name": ("a",), "node-uid": ("uid-of-a",), "pod-name": ("p",), "pod-uid": ("uid-of-p",)}


@pytest.mark.parametrize(
    ("reference", "resource", "namespace", "name"),
    [
        ({}, SERVICE_ACCOUNTS, "ns", "bot"),
        (bound("Pod", "p"), PODS, "ns", "p"),
        (bound("Secret", "s"), SECRETS, "ns", "s"),
        (bound("Node", "a"), NODES, "", "a"),
    ],
    ids=["account", "pod", "secret", "node"],
)
async def test_a_token_dies_with_what_it_is_bound_to(world, cluster, reference, resource, namespace, name):
    issuer, authenticator = world
    token = issue(issuer, "ns", "bot", asked(**reference))["status"]["token"]
    await user_of(authenticator, token)
    found = cluster.get(resource, namespace, name)
    await cluster.delete(resource, namespace, name)
    with pytest.raises(errors.Unauthorized):
        await user_of(authenticator, token)
    # A namesake born later is somebody else.
    cluster.put(resource, {**found, "metadata": {**found["metadata"], "uid": "another"}})
    with pytest.raises(errors.Unauthorized):
        await user_of(authenticator, token)


async def test_a_terminating_pod_may_use_its_token_for_a_moment_more(world, cluster, clock):
    issuer, authenticator = world
    token = issue(issuer, "ns", "bot", asked(**bound("Pod", "p")))["status"]["token"]
    cluster.get(PODS, "ns", "p")["metadata"]["deletionTimestamp"] = "2026-11-21T10:00:00Z"
    clock.advance(59)
    await user_of(authenticator, token)
    clock.advance(2)
    with pytest.raises(errors.Unauthorized):
        await user_of(authenticator, token)


async def test_the_lifetime_that_admission_asks_for_is_extended_quietly(world, clock):
    issuer, authenticator = world
    answer = issue(issuer, "ns", "bot", asked(expirationSeconds=3607, **bound("Pod", "p")))
    assert answer["status"]["expirationTimestamp"] == "2026-11-21T11:00:07Z"
    claims = jwt.decode(answer["status"]["token"], options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 365 * 24 * 3600
    assert claims["kubernetes.io"]["warnafter"] - claims["iat"] == 3607
    clock.advance(2 * 3600)
    await user_of(authenticator, answer["status"]["token"])


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        (asked(expirationSeconds=5), errors.Invalid,
         'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 5: '
         "may not specify a duration less than 10 minutes"),
        (asked(**bound("Pod", "gone")), errors.NotFound, 'pods "gone" not found'),
        (asked(**bound("Pod", "p", uid="old")), errors.Conflict, "does not match the UID in record"),
        (asked(**bound("ConfigMap", "c")), errors.BadRequest, "cannot bind token to object of type /v1, Kind=ConfigMap"),
        ({**asked(), "metadata": {"name": "x"}}, errors.Invalid,
         'TokenRequest.authentication.k8s.io "bot" is invalid: metadata.name: Invalid value: "x": '
         "must match the service account name if specified"),
        ({**asked(), "metadata": {"namespace": "x"}}, errors.BadRequest, "the namespace of the provided object does not match"),
        ({**asked(), "metadata": {"uid": "x"}}, errors.Conflict,
         'Operation cannot be fulfilled on TokenRequest.authentication.k8s.io "bot": the UID in the token request (x) does not '
         "match the UID of the service account (uid-of-bot)"),
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_met_is_refused(world, spec, error, message):
    with pytest.raises(error) as refused:
        issue(world[0], "ns", "bot", spec)
    assert message in refused.value.message


def test_a_token_is_bound_only_to_a_pod_of_its_account(world, cluster):
    cluster.put(SERVICE_ACCOUNTS, {"metadata": {"name": "thief", "namespace": "ns"}})
    with pytest.raises(errors.BadRequest, match="to pod running with different serviceaccount name"):
        issue(world[0], "ns", "thief", asked(**bound("Pod", "p")))
    with pytest.raises(errors.NotFound, match='serviceaccounts "nobody" not found'):
        issue(world[0], "ns", "nobody", asked())


async def test_a_token_for_another_audience_is_for_that_one_alone(world):
    issuer, authenticator = world
    token = issue(issuer, "ns", "bot", asked(audiences=["vault"]))["status"]["token"]
    with pytest.raises(errors.Unauthorized):
        await user_of(authenticator, token)
    assert (await authenticator.authenticate_token(token, ("vault", "x"))).audiences == ("vault",)
    with pytest.raises(errors.Unauthorized, match='token audiences \\["vault"\\] is invalid'):
        await authenticator.authenticate_token(token, ("x",))


async def test_a_forged_or_altered_token_lets_nobody_in(world, keys):
    issuer, authenticator = world
    token = issue(issuer, "ns", "bot", asked())["status"]["token"]
    head, payload, signature = token.split(".")
    claims = jwt.decode(token, options={"verify_signature": False})
    key_id = jwt.get_unverified_header(token)["kid"]
    forgeries = [
        f"{head}.{payload}.{signature[:-4]}AAAA",
        jwt.encode(claims, keys["other"], algorithm="ES256", headers={"kid": key_id}),
        jwt.encode(claims, keys["other"], algorithm="ES256"),
        jwt.encode(claims, "", algorithm="none", headers={"kid": key_id}),
        jwt.encode({**claims, "iss": "https://elsewhere"}, keys["ES256"], algorithm="ES256", headers={"kid": key_id}),
        "a.b.c",
        "..",
    ]
    for forged in forgeries:
        with pytest.raises(errors.Unauthorized):
            await user_of(authenticator, forged)


async def test_rsa_keys_sign_too_and_old_keys_go_on_verifying(world, keys, cluster, clock, entropy, tmp_path):
    old = issue(world[0], "ns", "bot", asked())["status"]["token"]
    path, previous = tmp_path / "rsa.key", tmp_path / "sa.key"
    path.write_bytes(keys["RS256"])
    options = Options(
        service_account_issuer=(ISSUER,), service_account_signing_key_file=path, service_account_key_file=(previous,)
    )
    issuer = Issuer(options, reader=cluster, clock=clock, entropy=entropy)
    authenticator = build(options, reader=cluster, writer=cluster, clock=clock, entropy=entropy)
    for token in (old, issue(issuer, "ns", "bot", asked())["status"]["token"]):
        assert (await user_of(authenticator, token)).name == "system:serviceaccount:ns:bot"
    assert [key["kty"] for key in issuer.jwks()["keys"]] == ["RSA", "EC"]
    configuration = issuer.openid_configuration()
    assert configuration["jwks_uri"] == f"{ISSUER}/openid/v1/jwks"
    assert configuration["id_token_signing_alg_values_supported"] == ["ES256", "RS256"]


def test_published_keys_verify_a_token(world):
    issuer, _ = world
    token = issue(issuer, "ns", "bot", asked())["status"]["token"]
    key = next(key for key in jwt.PyJWKSet.from_dict(issuer.jwks()).keys)
    assert key.key_id == jwt.get_unverified_header(token)["kid"]
    options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
    assert jwt.decode(token, key.key, algorithms=["ES256"], audience=ISSUER, options=options)["iss"] == ISSUER


def test_a_token_that_is_shortened_warns(world, cluster, clock, entropy, tmp_path):
    options = Options(
        service_account_issuer=(ISSUER,), service_account_signing_key_file=tmp_path / "sa.key",
        service_account_max_token_expiration_s=7200,
    )  # fmt: skip
    issuer = Issuer(options, reader=cluster, clock=clock, entropy=entropy)
    issued = issuer.issue(issuer.completed("ns", "bot", asked(expirationSeconds=9000)))
    assert issued.warnings == ["requested expiration of 9000 seconds shortened to 7200 seconds"]
    assert issued.answer["spec"]["expirationSeconds"] == 7200
    claims = jwt.decode(issued.answer["status"]["token"], options={"verify_signature": False})
    assert issued.credential_id == f"JTI={claims['jti']}"
    assert issuer.issue(issuer.completed("ns", "bot", asked())).warnings == []
