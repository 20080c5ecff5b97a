"""Policies see an object in the version that they match; where it cannot be converted, their failure policies decide."""

from __future__ import annotations

from typing import Any

import pytest

from tests.component.apiserver.policies.conftest import rules

THINGS = "/apis/example.com/v1/things"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NAME = "things.example.com"
IN_V2 = rules({"apiGroups": ["example.com"], "apiVersions": ["v2"], "operations": ["*"], "resources": ["things"]})


@pytest.fixture
async def things(server: Any) -> None:
    """Served as v1, which is stored, and as v2, which nobody converts to."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    hook = {"conversionReviewVersions": ["v1"], "clientConfig": {"url": "https://127.0.0.1:1/convert"}}
    definition = {
        "metadata": {"name": NAME},
        "spec": {
            "group": "example.com", "scope": "Cluster", "names": {"plural": "things", "kind": "Thing"},
            "conversion": {"strategy": "Webhook", "webhook": hook},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": schema},
                {"name": "v2", "served": True, "storage": False, "schema": schema},
            ],
        },
    }  # fmt: skip
    await server.ask("POST", DEFINITIONS, definition)
    await server.api._custom.settle()


async def create(server: Any) -> Any:
    return await server.ask("POST", THINGS, {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"}})


@pytest.mark.parametrize("failure", ["Fail", "Ignore"])
@pytest.mark.parametrize("kind", ["ValidatingAdmissionPolicy", "policy"])
async def test_an_object_that_cannot_be_converted_is_the_affair_of_the_failure_policy(
    server: Any, things: None, mutating: Any, validating: Any, failure: str, kind: str
) -> None:
    if kind == "policy":
        await mutating("Object{spec: Object.spec{a: 1}}", name="p", matchConstraints=IN_V2, failurePolicy=failure)
    else:
        await validating("false", matchConstraints=IN_V2, failurePolicy=failure)
    answer = await create(server)
    if failure == "Ignore":
        assert answer["kind"] == "Thing", answer
        assert "spec" not in answer
    else:
        assert "failed to convert object version: conversion for example.com/v1, Kind=Thing failed" in answer["message"]
        assert f"{kind} 'p' with binding" in answer["message"]


async def test_a_version_that_is_served_later_is_an_equivalent_one_at_once(server: Any, things: None, validating: Any) -> None:
    definition = await server.ask("GET", f"{DEFINITIONS}/{NAME}")
    definition["spec"]["conversion"] = {"strategy": "None"}
    definition["spec"]["versions"][1]["served"] = False
    await server.ask("PUT", f"{DEFINITIONS}/{NAME}", definition)
    await server.api._custom.settle()
    await validating("false", matchConstraints=IN_V2)
    assert (await create(server))["kind"] == "Thing"
    await server.ask("DELETE", f"{THINGS}/t")
    definition = await server.ask("GET", f"{DEFINITIONS}/{NAME}")
    definition["spec"]["versions"][1]["served"] = True
    await server.ask("PUT", f"{DEFINITIONS}/{NAME}", definition)
    await server.api._custom.settle()
    assert (await create(server))["code"] == 422
