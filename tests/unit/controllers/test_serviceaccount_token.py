"""Secrets for tokens of service accounts are filled, and end with their account."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import jwt
import pytest

from pybernetes.controllers import serviceaccount_token
from pybernetes.controllers.actions import Delete, Update
from pybernetes.controllers.controller import Context
from pybernetes.controllers.options import Options
from pybernetes.controllers.serviceaccount_token import ACCOUNT_NAME, ACCOUNT_UID, TYPE, Snapshot, reconcile
from pybernetes.machinery import pki
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SeededEntropy
from pybernetes.machinery.errors import NotFound
from pybernetes.machinery.resources import SECRETS, SERVICE_ACCOUNTS

ACCOUNT = {"metadata": {"name": "bot", "namespace": "ns", "uid": "u1"}}


def secret(data: Any = None, **annotations: str) -> dict[str, Any]:
    metadata = {"name": "s", "namespace": "ns", "uid": "s1", "annotations": {ACCOUNT_NAME: "bot", **annotations}}
    return {"metadata": metadata, "type": TYPE, **({"data": data} if data is not None else {})}


def decoded(data: Any) -> dict[str, str]:
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def test_an_empty_secret_gets_token_namespace_and_authority() -> None:
    (action,) = reconcile(Snapshot(secret(), ACCOUNT, "t.o.k", "PEM"))
    assert isinstance(action, Update)
    assert decoded(action.obj["data"]) == {"ca.crt": "PEM", "namespace": "ns", "token": "t.o.k"}
    assert action.obj["metadata"]["annotations"] == {ACCOUNT_NAME: "bot", ACCOUNT_UID: "u1"}
    assert reconcile(Snapshot(action.obj, ACCOUNT, "", "PEM")) == []


def test_what_is_there_stays_and_a_new_authority_comes_in() -> None:
    full = {"token": "b2xk", "namespace": "bXk=", "ca.crt": "b2xk", "mine": "eA=="}
    (action,) = reconcile(Snapshot(secret(full), ACCOUNT, "", "NEW"))
    assert isinstance(action, Update)
    assert decoded(action.obj["data"]) == {"token": "old", "namespace": "my", "ca.crt": "NEW", "mine": "x"}


def test_a_secret_goes_with_its_account() -> None:
    (action,) = reconcile(Snapshot(secret(), None))
    assert isinstance(action, Delete) and action.uid == "s1"


class Server:
    """What the caches show, and what the server says if asked."""

    def __init__(self, *objects: Any, account: Any = None) -> None:
        self.objects = {(each["metadata"]["name"]): each for each in objects}
        self.account = account
        self.caches = {SECRETS: self, SERVICE_ACCOUNTS: self}
        self.client = self

    def get(self, *names: Any) -> Any:
        if names[0] is not SERVICE_ACCOUNTS:
            return self.objects.get(names[1])
        return self._ask()

    async def _ask(self) -> Any:
        if self.account is None:
            raise NotFound("no such account")
        return self.account


@pytest.fixture
def observe(tmp_path: Path) -> Any:
    pki.write_private(tmp_path / "sa.key", pki.new_key_pem())
    options = Options(service_account_private_key_file=str(tmp_path / "sa.key"))
    controller = serviceaccount_token.controller(Context(options, SystemClock(), SeededEntropy(1)))
    assert controller is not None

    def look(server: Server) -> Any:
        return asyncio.run(controller.observe(server, "ns/s"))  # type: ignore[arg-type]

    return look


def test_a_token_names_secret_and_account(observe: Any) -> None:
    seen = observe(Server(secret(), ACCOUNT))
    assert jwt.decode(seen.token, options={"verify_signature": False}) == {
        "iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:ns:bot",
        "kubernetes.io/serviceaccount/namespace": "ns", "kubernetes.io/serviceaccount/secret.name": "s",
        "kubernetes.io/serviceaccount/service-account.name": "bot",
        "kubernetes.io/serviceaccount/service-account.uid": "u1",
    }  # fmt: skip


def test_the_server_is_asked_before_an_account_counts_as_gone(observe: Any) -> None:
    assert observe(Server(secret(), account=ACCOUNT)).account == ACCOUNT
    assert observe(Server(secret())).account is None
    namesake = {"metadata": {**ACCOUNT["metadata"], "uid": "u2"}}
    assert observe(Server(secret(**{ACCOUNT_UID: "u1"}), namesake, account=namesake)).account is None


def test_other_secrets_are_left_alone(observe: Any) -> None:
    assert observe(Server({**secret(), "type": "Opaque"}, ACCOUNT)) is None


def test_without_a_key_there_is_no_such_controller() -> None:
    assert serviceaccount_token.controller(Context(Options(), SystemClock(), SeededEntropy(1))) is None
