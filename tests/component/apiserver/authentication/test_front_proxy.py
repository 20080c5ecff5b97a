"""Front proxies and users come to one TLS port, each with certificates of an authority of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pybernetes.apiserver.authentication import RequestHeaderOptions
from pybernetes.client.transport import ConnectionFailed
from pybernetes.machinery import pki
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.http.messages import Request

from .conftest import WHO_AM_I, Serve, ask, client_context

NAMED = {"x-remote-user": "jane", "x-remote-uid": "7"}


@pytest.fixture
def authorities(tmp_path: Path) -> dict[str, pki.Authority]:
    # Of one name, as it may happen: which of them has signed is told by their keys.
    made = {name: pki.Authority.create("kubernetes", SystemClock().now()) for name in ("users", "proxies", "strangers")}
    for name, authority in made.items():
        (tmp_path / f"{name}.crt").write_bytes(authority.certificate_pem)
    return made


@pytest.fixture
def authentication(authorities: Any, tmp_path: Path) -> dict[str, Any]:
    proxies = RequestHeaderOptions(
        tmp_path / "proxies.crt", ("front",), ("X-Remote-User",), ("X-Remote-Uid",), ("X-Remote-Group",), ("X-Remote-Extra-",)
    )
    return {"client_ca_file": tmp_path / "users.crt", "request_header": proxies}


@pytest.fixture
async def who_by(server: Any, serve: Serve, authorities: Any, tmp_path: Path) -> Any:
    http = await serve(server.api.handle, tmp_path / "users.crt", tmp_path / "proxies.crt")

    async def who_by(authority: str, name: str, *organizations: str, lines: Any = (), **headers: str) -> Any:
        """Whom the server takes a client for that presents such a certificate and sends such headers."""
        pair = authorities[authority].issue(name, organizations, now=SystemClock().now()) if authority else None
        body = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}).encode()
        sent = {"content-type": "application/json", **{key.replace("_", "-"): value for key, value in headers.items()}}
        request = Request("POST", WHO_AM_I, "", sent, body, more_headers=tuple(lines))
        response = await ask(http.port, client_context(tmp_path, pair), request)
        answer = json.loads(response.body)  # type: ignore[arg-type]
        return answer["status"]["userInfo"] if response.status == 201 else response.status

    return who_by


async def test_a_front_proxy_names_a_user_and_each_group_on_a_line(who_by: Any) -> None:
    lines = [("X-Remote-Group", "CN=dev,OU=x"), ("X-Remote-Group", "ops"), ("X-Remote-Extra-Scopes", "a")]
    assert await who_by("proxies", "front", lines=lines, **NAMED) == {
        "username": "jane", "uid": "7", "groups": ["CN=dev,OU=x", "ops", "system:authenticated"], "extra": {"scopes": ["a"]},
    }  # fmt: skip


async def test_each_authority_counts_for_its_own_purpose_only(who_by: Any) -> None:
    user = await who_by("users", "front", "dev", **NAMED)
    assert (user["username"], user["groups"]) == ("front", ["dev", "system:authenticated"])
    assert await who_by("proxies", "front", "system:masters") == 401
    assert await who_by("proxies", "back", **NAMED) == 401


async def test_a_front_proxy_may_pass_on_a_users_token(who_by: Any) -> None:
    assert (await who_by("proxies", "front", authorization="Bearer test-admin"))["username"] == "admin"


async def test_an_authority_that_nobody_trusts_fails_the_handshake(who_by: Any) -> None:
    with pytest.raises(ConnectionFailed):
        await who_by("strangers", "front", **NAMED)


async def test_headers_alone_name_nobody(who_by: Any) -> None:
    assert await who_by("", "", **NAMED) == 403  # system:anonymous may not ask
