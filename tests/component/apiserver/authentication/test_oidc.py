"""Tokens of a real OpenID Connect provider over TLS, configured by flags."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from pybernetes.apiserver.authentication import OidcOptions
from pybernetes.machinery import pki
from pybernetes.machinery.http.messages import Response

from .conftest import REVIEWS, Serve, until
from .provider import Provider


@pytest.fixture
async def provider(serve: Serve) -> Provider:
    made = Provider()
    made.http = await serve(made.handle)
    return made


@pytest.fixture
def authentication(provider: Provider, authority: pki.Authority, tmp_path: Path) -> dict[str, Any]:
    oidc = OidcOptions(
        provider.url, "kubernetes", tmp_path / "services.crt", groups_claim="groups", groups_prefix="oidc:",
        required_claim={"hd": "example.com"}, signing_algs=("RS256", "ES256"),
    )  # fmt: skip
    return {"oidc": oidc}


@pytest.fixture
def why(server: Any) -> Any:
    """What a TokenReview says against a token."""

    async def why(token: str) -> str:
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        error: str = (await server.ask("POST", REVIEWS, body))["status"]["error"]
        return error.removeprefix("[invalid bearer token, ").removesuffix("]")

    return why


@pytest.fixture
async def discovered(provider: Provider, who: Any) -> None:
    await until(lambda: _knows(who, provider))


async def _knows(who: Any, provider: Provider) -> bool:
    return await who(provider.token(hd="example.com")) is not None


async def test_an_id_token_names_a_user_of_the_issuer(provider: Provider, who: Any, discovered: None) -> None:
    token = provider.token(hd="example.com", groups=["dev", "ops"])
    groups = ["oidc:dev", "oidc:ops", "system:authenticated"]
    assert await who(token) == {"username": f"{provider.url}#jane", "groups": groups}
    alone = provider.token(hd="example.com", groups="dev")
    assert (await who(alone))["groups"] == ["oidc:dev", "system:authenticated"]


@pytest.mark.usefixtures("discovered")
async def test_a_token_that_is_not_in_order_is_refused_and_a_review_says_why(provider: Provider, why: Any, who: Any) -> None:
    hours_ago = int(time.time()) - 7200
    good = {"hd": "example.com"}
    stranger = rsa.generate_private_key(65537, 2048)
    assert "oidc: verify token: oidc: token is expired" in await why(provider.token(exp=hours_ago, **good))
    assert "before the nbf (not before) time" in await why(provider.token(nbf=int(time.time()) + 3600, **good))
    assert await why(provider.token(aud="other", **good)) == (
        'oidc: verify token: oidc: expected audience in ["kubernetes"] got ["other"]'
    )
    assert await why(provider.token(signed_by=stranger, **good)) == (
        "oidc: verify token: failed to verify signature: failed to verify id token signature"
    )
    assert "unsupported algorithm" in await why(provider.token(algorithm="RS512", **good))
    unsigned = jwt.encode({"iss": provider.url, "aud": "kubernetes", "exp": 1 << 40, "sub": "root", **good}, "", "none")
    assert "unsupported algorithm" in await why(unsigned)
    assert await why(provider.token()) == "oidc: required claim hd not present in ID token"
    assert "value does not match. Got = evil.com, want = example.com" in await why(provider.token(hd="evil.com"))
    assert await why(provider.token(sub=None, **good)) == 'oidc: parse username claims "sub": claim not present'
    assert await why(provider.token(iss="https://elsewhere", **good)) == "invalid bearer token"
    assert await who(provider.token(hd="evil.com")) is None


async def test_new_keys_are_fetched_for_a_token_that_needs_them(provider: Provider, who: Any, discovered: None) -> None:
    before = provider.asked.count("/keys")
    provider.add_key("second", "ES256")
    del provider.keys["first"]

    async def is_known() -> bool:
        return await who(provider.token("second", "ES256", hd="example.com")) is not None

    await until(is_known, limit_s=5)
    fetched = provider.asked.count("/keys")
    assert fetched == before + 1
    forged = rsa.generate_private_key(65537, 2048)
    for number in range(20):  # made-up keys do not send the server to the issuer each time
        assert await who(provider.token(f"made-up-{number}", signed_by=forged, hd="example.com")) is None
    assert provider.asked.count("/keys") <= fetched + 2


async def test_an_issuer_that_is_down_stops_nobody_else(provider: Provider, who: Any, why: Any) -> None:
    provider.documents["/.well-known/openid-configuration"] = lambda: Response(503, {}, b"later")
    assert (await who("test-admin"))["username"] == "admin"


async def test_keys_that_are_too_many_bytes_are_not_read(provider: Provider, why: Any, discovered: None) -> None:
    provider.documents["/keys"] = lambda: Response(200, {}, b" " * (2 << 20))
    provider.add_key("second")

    async def is_refused() -> bool:
        return "the answer is larger than" in await why(provider.token("second", hd="example.com"))

    await until(is_refused, limit_s=5)


@pytest.mark.usefixtures("discovered")
async def test_groups_may_be_asked_for_elsewhere(provider: Provider, serve: Serve, who: Any, why: Any) -> None:
    other = Provider()
    other.http = await serve(other.handle)
    other.documents["/groups"] = lambda: Response(200, {}, other.token(groups=["far", "away"]).encode())
    elsewhere = {
        "_claim_names": {"groups": "there"},
        "_claim_sources": {"there": {"endpoint": f"{other.url}/groups", "access_token": "letmein"}},
    }
    user = await who(provider.token(hd="example.com", **elsewhere))
    assert user["groups"] == ["oidc:far", "oidc:away", "system:authenticated"]
    assert other.headers[0]["authorization"] == "Bearer letmein"
    # What the token says itself counts, and is not asked for.
    assert (await who(provider.token(hd="example.com", groups=["here"], **elsewhere)))["groups"][0] == "oidc:here"
    other.documents["/groups"] = lambda: Response(200, {}, other.token(aud="console", groups=["x"]).encode())
    refused = provider.token(hd="example.com", n=1, **elsewhere)
    assert "verify distributed claim token: oidc: expected audience" in await why(refused)
    other.documents["/groups"] = lambda: Response(403, {}, b"no")
    refused = provider.token(hd="example.com", n=2, **elsewhere)
    assert 'while getting distributed claim "groups": 403 Forbidden: no' in await why(refused)
    assert await why(provider.token(hd="example.com", _claim_names={"groups": "there"})) == (
        "oidc: could not expand distributed claims: oidc: no claim sources"
    )
