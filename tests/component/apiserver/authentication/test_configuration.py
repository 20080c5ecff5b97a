"""Issuers by an AuthenticationConfiguration: several, elsewhere discovered, mapped by expressions; followed while it runs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pybernetes.apiserver.authentication import jwt_issuers
from pybernetes.machinery import pki
from pybernetes.machinery.http.messages import Response

from .conftest import Serve, until
from .provider import Provider


@pytest.fixture
async def providers(serve: Serve) -> AsyncIterator[tuple[Provider, Provider]]:
    made = Provider(), Provider()
    for provider in made:
        provider.http = await serve(provider.handle)
    # The second is found elsewhere, by way of a redirect, and its issuer is no place at all.
    second = made[1]
    discovery = {"issuer": "https://nowhere.example.com", "jwks_uri": f"{second.url}/keys"}
    second.documents["/elsewhere"] = lambda: Response(302, {"Location": "/found"})
    second.documents["/found"] = lambda: second.answer(discovery)
    yield made


@pytest.fixture
def entries(providers: tuple[Provider, Provider], authority: pki.Authority) -> list[Any]:
    first, second = providers
    pem = authority.certificate_pem.decode()
    return [
        {
            "issuer": {"url": first.url, "certificateAuthority": pem, "audiences": ["kubernetes"]},
            "claimMappings": {"username": {"claim": "sub", "prefix": "one:"}},
        },
        {
            "issuer": {
                "url": "https://nowhere.example.com", "discoveryURL": f"{second.url}/elsewhere", "certificateAuthority": pem,
                "audiences": ["kubernetes", "console"], "audienceMatchPolicy": "MatchAny",
            },
            "claimMappings": {
                "username": {"expression": "'two:' + claims.sub"},
                "groups": {"expression": "claims.roles.split(',')"},
                "uid": {"claim": "oid"},
                "extra": [{"key": "example.com/tenant", "valueExpression": "claims.tenant"}],
            },
            "claimValidationRules": [{"expression": "claims.exp - claims.iat <= 3600", "message": "it may live for an hour"}],
            "userValidationRules": [
                {"expression": "!user.groups.exists(group, group.startsWith('system:'))", "message": "no system groups"}
            ],
        },
    ]  # fmt: skip


def write(path: Path, entries: list[Any], **fields: Any) -> None:
    document = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration", "jwt": entries, **fields}
    path.write_text(json.dumps(document))


@pytest.fixture
def authentication(entries: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(jwt_issuers, "RECHECK_PERIOD_S", 0.05)
    write(tmp_path / "authn.json", entries, anonymous={"enabled": True, "conditions": [{"path": "/livez"}]})
    return {"authentication_config": tmp_path / "authn.json"}


def second_token(provider: Provider, **claims: Any) -> str:
    said = {"iss": "https://nowhere.example.com", "aud": ["console"], "roles": "dev,ops", "oid": "42", "tenant": ["a", ""]}
    return provider.token(**{**said, **claims})


async def test_several_issuers_are_trusted_each_as_it_is_said(providers: Any, who: Any) -> None:
    first, second = providers

    async def are_known() -> bool:
        return bool(await who(first.token()) and await who(second_token(second)))

    await until(are_known)
    assert (await who(first.token()))["username"] == "one:jane"
    assert await who(second_token(second)) == {
        "username": "two:jane", "uid": "42", "groups": ["dev", "ops", "system:authenticated"],
        "extra": {"example.com/tenant": ["a"]},
    }  # fmt: skip
    assert await who(second_token(second, iat=0)) is None
    assert await who(second_token(second, roles="dev,system:masters")) is None
    assert await who(first.token(iss="https://nowhere.example.com", aud="console")) is None  # signed by the wrong one


async def test_anonymous_requests_are_for_the_paths_that_are_said(server: Any) -> None:
    assert (await server.send("GET", "/livez", authorization="")).status == 200
    assert (await server.send("GET", "/readyz", authorization="")).status == 401


async def test_the_file_is_followed_where_it_makes_sense(
    server: Any, providers: Any, entries: Any, who: Any, tmp_path: Path
) -> None:
    first, _ = providers
    anonymous = {"enabled": True, "conditions": [{"path": "/livez"}]}

    async def named(name: str) -> bool:
        user = await who(first.token())
        return user is not None and user["username"] == name

    async def has_reloaded(status: str, times: int) -> bool:
        name = "apiserver_authentication_config_controller_automatic_reloads_total"
        shown = (await server.send("GET", "/metrics")).body.decode()
        return f'{name}{{apiserver_id_hash="",status="{status}"}} {times}.0' in shown

    await until(lambda: named("one:jane"))
    entries[0]["claimMappings"]["username"]["prefix"] = "uno:"
    entries[0]["issuer"]["audiences"] = []
    write(tmp_path / "authn.json", entries, anonymous=anonymous)  # an audience is missing: nothing changes
    await until(lambda: has_reloaded("failure", 1))
    assert await named("one:jane")
    entries[0]["issuer"]["audiences"] = ["kubernetes"]
    write(tmp_path / "authn.json", entries, anonymous={"enabled": False})  # that cannot change
    await until(lambda: has_reloaded("failure", 2))
    assert await named("one:jane")
    write(tmp_path / "authn.json", entries, anonymous=anonymous)
    await until(lambda: named("uno:jane"))
    write(tmp_path / "authn.json", [], anonymous=anonymous)

    async def is_nobody() -> bool:
        return await who(first.token()) is None

    await until(is_nobody)
    assert await has_reloaded("success", 2)
    shown = (await server.send("GET", "/metrics")).body.decode()
    assert 'apiserver_authentication_jwt_authenticator_latency_seconds_count{jwt_issuer_hash="sha256:' in shown
