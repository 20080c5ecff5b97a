"""Bodies that are asked for once and not stored: reviews, token requests, evictions, bindings, options of a deletion."""

from __future__ import annotations

from typing import Any

import pytest

CORE = "/api/v1/namespaces/default"
ACCESS = "/apis/authorization.k8s.io/v1"
TOKEN = f"{CORE}/serviceaccounts/default/token"
EVICTION = {"apiVersion": "policy/v1", "kind": "Eviction"}


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("DELETE", f"{CORE}/configmaps/c", {"preconditions": "x"}),
        ("DELETE", f"{CORE}/configmaps/c", {"gracePeriodSeconds": "x"}),
        ("POST", f"{CORE}/pods/p/eviction", {**EVICTION, "metadata": "x"}),
        ("POST", f"{CORE}/pods/p/binding", {"target": 5}),
        ("POST", TOKEN, {"spec": {"expirationSeconds": "x"}}),
        ("POST", f"{ACCESS}/selfsubjectaccessreviews", {"spec": {"resourceAttributes": "x"}}),
        ("POST", f"{ACCESS}/subjectaccessreviews", {"spec": 5}),
        ("POST", f"{ACCESS}/selfsubjectrulesreviews", {"spec": 5}),
        ("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": 5}}),
    ],
)
async def test_a_field_of_the_wrong_type_is_a_bad_request(server: Any, method: str, target: str, body: Any) -> None:
    answer = await server.ask(method, target, body)
    assert (answer["code"], answer["reason"]) == (400, "BadRequest"), answer
    assert "json: cannot unmarshal" in answer["message"]


async def test_null_is_the_same_as_nothing(server: Any) -> None:
    """kubectl 1.24 writes `expirationSeconds: null` where it wants the default."""
    spec = {"expirationSeconds": None, "audiences": None, "boundObjectRef": None}
    answer = await server.ask("POST", TOKEN, {"metadata": None, "spec": spec, "status": None})
    assert answer["spec"]["expirationSeconds"] == 3600
    await server.ask("POST", f"{CORE}/configmaps", {"metadata": {"name": "c"}})
    options = {"gracePeriodSeconds": None, "preconditions": None, "propagationPolicy": None, "dryRun": None}
    assert (await server.ask("DELETE", f"{CORE}/configmaps/c", options))["status"] == "Success"
