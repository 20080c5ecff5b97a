"""Parameters of policies: objects of any kind, built in or not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.component.apiserver.policies.conftest import CONFIG_MAPS

KIND = {"apiVersion": "example.com/v1", "kind": "Limit"}
LIMITED = {"expression": "size(object.data) <= params.spec.most", "messageExpression": "'at most ' + string(params.spec.most)"}


def definition(scope: str, *versions: str) -> dict[str, Any]:
    spec = {"type": "object", "properties": {"most": {"type": "integer"}}}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    return {
        "metadata": {"name": "limits.example.com"},
        "spec": {
            "group": "example.com", "scope": scope, "names": {"plural": "limits", "kind": "Limit"},
            "versions": [
                {"name": version, "served": True, "storage": version == versions[-1], "schema": schema} for version in versions
            ],
        },
    }  # fmt: skip


async def define(server: Any, scope: str = "Namespaced", *versions: str) -> str:
    """The path of the resource: over all namespaces if it is namespaced."""
    await server.ask(
        "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition(scope, *(versions or ("v1",)))
    )
    await server.api._custom.settle()
    return "/apis/example.com/v1"


async def limit(
    server: Any, most: int, name: str = "limit", namespace: str = "default", version: str = "v1", **labels: str
) -> None:
    below = f"/namespaces/{namespace}" if namespace else ""
    body = {"apiVersion": f"example.com/{version}", "kind": "Limit", "metadata": {"name": name, "labels": labels},
            "spec": {"most": most}}  # fmt: skip
    answer = await server.ask("POST", f"/apis/example.com/{version}{below}/limits", body)
    assert answer["kind"] == "Limit", answer


def by(**reference: Any) -> dict[str, Any]:
    return {"paramRef": {"parameterNotFoundAction": "Deny", **reference}}


def why(answer: Any) -> str:
    return str(answer.get("message", "allowed")).partition("denied request: ")[2]


async def test_custom_resources_are_parameters_and_changes_of_them_count_at_once(
    server: Any, validating: Any, write: Any
) -> None:
    await define(server)
    await limit(server, 1)
    await validating(LIMITED, paramKind=KIND, bindings=[by(name="limit")])
    assert why(await write(a="1", b="2")) == "at most 1"
    path = "/apis/example.com/v1/namespaces/default/limits/limit"
    await server.ask("PATCH", path, {"spec": {"most": 2}}, content_type="application/merge-patch+json")
    assert (await write(a="1", b="2"))["kind"] == "ConfigMap"
    await server.ask("DELETE", path)
    assert why(await write("d")) == (
        "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
    )


async def test_parameters_may_be_left_out(server: Any, validating: Any, write: Any) -> None:
    await define(server)
    await validating("false", paramKind=KIND, bindings=[{"paramRef": {"name": "x", "parameterNotFoundAction": "Allow"}}])
    assert (await write())["kind"] == "ConfigMap"


async def test_a_binding_without_a_reference_gives_null(validating: Any, write: Any) -> None:
    await validating(
        {"expression": "params != null", "message": "none"}, paramKind={"apiVersion": "v1", "kind": "ConfigMap"}, bindings=[{}]
    )
    assert why(await write()) == "none"


async def test_parameters_of_a_cluster_and_of_a_namespace(server: Any, validating: Any, write: Any) -> None:
    await define(server, "Cluster")
    await limit(server, 1, namespace="")
    await validating(LIMITED, paramKind=KIND, bindings=[by(name="limit"), by(name="limit", namespace="default")])
    assert why(await write(a="1", b="2")) == "at most 1"
    assert why(await write(a="1")) == (
        "failed to configure binding: paramRef.namespace must not be provided for a cluster-scoped `paramKind`"
    )


async def test_parameters_are_of_the_requests_namespace_unless_one_is_named(server: Any, validating: Any) -> None:
    await define(server)
    for namespace, most in (("one", 1), ("two", 2)):
        await server.ask("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
        await limit(server, most, namespace=namespace)
    await validating(LIMITED, paramKind=KIND, bindings=[by(name="limit")])
    body = {"metadata": {"name": "c"}, "data": {"a": "1", "b": "2"}}
    assert why(await server.ask("POST", "/api/v1/namespaces/one/configmaps", body)) == "at most 1"
    assert (await server.ask("POST", "/api/v1/namespaces/two/configmaps", body))["kind"] == "ConfigMap"


async def test_what_is_in_no_namespace_has_no_parameters_of_its_own(server: Any, validating: Any) -> None:
    rule = {"apiGroups": ["storage.k8s.io"], "apiVersions": ["v1"], "operations": ["*"], "resources": ["storageclasses"]}
    await validating(
        "true", matchConstraints={"resourceRules": [rule]}, paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
        bindings=[by(name="x")],
    )  # fmt: skip
    answer = await server.ask("POST", "/apis/storage.k8s.io/v1/storageclasses", {"metadata": {"name": "s"}, "provisioner": "x"})
    assert why(answer) == (
        "failed to configure binding: cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
    )


async def test_each_of_several_parameters_has_its_say(server: Any, validating: Any, write: Any) -> None:
    await define(server)
    await limit(server, 3, "many", team="a")
    await limit(server, 1, "few", team="a")
    await limit(server, 0, "none", team="b")
    await validating(LIMITED, paramKind=KIND, bindings=[by(selector={"matchLabels": {"team": "a"}})])
    assert why(await write(a="1", b="2")) == "at most 1"
    assert (await write(a="1"))["kind"] == "ConfigMap"


async def test_a_kind_that_nobody_serves_is_the_policys_failure_until_it_is_served(
    server: Any, validating: Any, write: Any
) -> None:
    await validating(LIMITED, paramKind=KIND, bindings=[by(name="limit")])
    assert why(await write()) == (
        "failed to configure policy: failed to find resource referenced by paramKind: 'example.com/v1, Kind=Limit'"
    )
    await define(server)
    await limit(server, 1)
    assert (await write(a="1"))["kind"] == "ConfigMap"


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_parameters_come_in_the_version_that_the_policy_names(
    server: Any, validating: Any, write: Any, version: str
) -> None:
    await define(server, "Namespaced", "v1", "v2")
    await limit(server, 1)
    says = {"expression": f"params.apiVersion != 'example.com/{version}'", "message": "it is"}
    kind = {"apiVersion": f"example.com/{version}", "kind": "Limit"}
    await validating(says, paramKind=kind, bindings=[by(name="limit")])
    assert why(await write()) == "it is"


async def test_built_in_kinds_are_parameters_too(server: Any, validating: Any, write: Any) -> None:
    await write("params", word="please")
    await validating(
        {"expression": "params.kind == 'ConfigMap' && object.data.say == params.data.word", "message": "say please"},
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"}, bindings=[by(name="params", namespace="default")],
    )  # fmt: skip
    assert why(await write(say="now")) == "say please"
    assert (await write(say="please"))["kind"] == "ConfigMap"
    assert (await server.ask("GET", f"{CONFIG_MAPS}/c"))["data"] == {"say": "please"}
