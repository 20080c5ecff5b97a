"""MutatingAdmissionPolicies change what is written."""

from __future__ import annotations

from typing import Any

import pytest

from tests.component.apiserver.policies.conftest import CONFIG_MAPS, GROUP, RULE, rules

LABEL = "Object{metadata: Object.metadata{labels: {'made': 'by-policy'}}}"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


def deployment(*containers: Any, **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "d", **metadata},
        "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": list(containers) or [{"name": "c", "image": "i"}]},
            },
        },
    }


FOR_DEPLOYMENTS = {
    "matchConstraints": rules(
        {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["deployments"]}
    )
}


async def test_an_apply_configuration_is_merged_into_the_object(server: Any, mutating: Any) -> None:
    """Conformance: MutatingAdmissionPolicy should mutate a Deployment (and with annotations)."""
    await mutating(
        "Object{metadata: Object.metadata{annotations: {'mutated-by': 'admission-policy'}}, spec: Object.spec{replicas: 3}}",
        **FOR_DEPLOYMENTS,
    )
    answer = await server.ask("POST", DEPLOYMENTS, deployment(annotations={"own": "1"}))
    assert answer["metadata"]["annotations"] == {"own": "1", "mutated-by": "admission-policy"}
    assert answer["spec"]["replicas"] == 3
    assert await server.ask("GET", f"{DEPLOYMENTS}/d") == answer


async def test_items_of_lists_are_merged_by_their_keys_and_defaulted(server: Any, mutating: Any) -> None:
    await mutating(
        """Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{
             containers: object.spec.template.spec.containers.filter(c, !has(c.env)).map(c,
               Object.spec.template.spec.containers{
                 name: c.name, env: [Object.spec.template.spec.containers.env{name: "A", value: "b"}]}) +
               [Object.spec.template.spec.containers{name: "extra", image: "e"}]}}}}""",
        **FOR_DEPLOYMENTS,
    )
    given = [{"name": "c", "image": "i"}, {"name": "d", "image": "j", "env": [{"name": "X", "value": "y"}]}]
    answer = await server.ask("POST", DEPLOYMENTS, deployment(*given))
    found = {each["name"]: each for each in answer["spec"]["template"]["spec"]["containers"]}
    assert found["c"]["image"] == "i" and found["c"]["env"] == [{"name": "A", "value": "b"}]
    assert found["d"]["env"] == [{"name": "X", "value": "y"}]
    assert found["extra"]["imagePullPolicy"] == "Always"  # a default


async def test_a_json_patch_is_applied(mutating: Any, write: Any) -> None:
    await mutating(
        """[JSONPatch{op: "test", path: "/metadata/name", value: object.metadata.name},
            JSONPatch{op: "add", path: "/metadata/labels", value: {"a": "b"}},
            JSONPatch{op: "add", path: "/metadata/annotations", value: {}},
            JSONPatch{op: "add", path: "/metadata/annotations/" + jsonpatch.escapeKey("x/y"), value: "w"},
            JSONPatch{op: "move", from: "/data/from", path: "/data/to"}] +
           (object.data.exists(k, k == "gone") ? [JSONPatch{op: "remove", path: "/data/gone"}] : [])"""
    )
    answer = await write(**{"from": "1", "gone": "2"})
    assert answer["metadata"]["labels"] == {"a": "b"} and answer["metadata"]["annotations"] == {"x/y": "w"}
    assert answer["data"] == {"to": "1"}
    assert (await write("d", **{"from": "1"}))["data"] == {"to": "1"}


async def test_a_test_that_finds_otherwise_changes_nothing(mutating: Any, write: Any) -> None:
    await mutating('[JSONPatch{op: "add", path: "/data/a", value: "2"}, JSONPatch{op: "test", path: "/data/b", value: "x"}]')
    assert (await write(a="1", b="y"))["data"] == {"a": "1", "b": "y"}


async def test_mutations_follow_each_other_and_so_do_policies(mutating: Any, write: Any) -> None:
    await mutating(
        "Object{data: Object.data{a: '1'}}", '[JSONPatch{op: "add", path: "/data/b", value: object.data.a + variables.c}]',
        variables=[{"name": "c", "expression": "'-' + object.data.a"}],
    )  # fmt: skip
    await mutating('[JSONPatch{op: "add", path: "/data/z", value: object.data.b}]', name="n")
    assert (await write(own="x"))["data"] == {"own": "x", "a": "1", "b": "1-1", "z": "1-1"}


async def test_conditions_and_bindings_choose(mutating: Any, write: Any) -> None:
    here = {"matchResources": {"objectSelector": {"matchLabels": {"app": "a"}}}}
    await mutating(LABEL, binding=here, matchConditions=[{"name": "n", "expression": "object.metadata.name.startsWith('c')"}])
    assert (await write(labels={"app": "a"}))["metadata"]["labels"] == {"app": "a", "made": "by-policy"}
    assert (await write("d", labels={"app": "a"}))["metadata"]["labels"] == {"app": "a"}
    assert "labels" not in (await write("c2"))["metadata"]


async def test_parameters_are_for_mutations_too(mutating: Any, write: Any) -> None:
    await write("params", word="please")
    reference = {"name": "params", "parameterNotFoundAction": "Deny"}
    await mutating(
        "Object{data: Object.data{say: params.data.word}}", paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
        binding={"paramRef": reference},
    )  # fmt: skip
    assert (await write())["data"] == {"say": "please"}


async def test_what_is_changed_is_validated_like_what_is_written(server: Any, mutating: Any) -> None:
    await mutating("Object{spec: Object.spec{replicas: -1}}", **FOR_DEPLOYMENTS)
    answer = await server.ask("POST", DEPLOYMENTS, deployment())
    assert answer["code"] == 422 and "spec.replicas: Invalid value: -1" in answer["message"]


@pytest.mark.parametrize(
    ("mutation", "why"),
    [
        (
            "Object{spec: Object.spec{nope: 1}}",
            "error applying patch: failed to convert patch object to typed object: .spec: field not declared in schema",
        ),
        (
            "Object{data: Object.wrong{a: '1'}}",
            'type mismatch: unexpected type name "Object.wrong", expected "Object.data", '
            "which matches field name path from root Object type",
        ),
        ("Object{data: {'a': object.data.nothing}}", None),
        ('[JSONPatch{op: "remove", path: "/data/nothing"}]', "JSONPath: error in remove for path: '/data/nothing': "
         "Unable to remove nonexistent key: nothing: missing value"),
        ('[JSONPatch{op: "nope", path: "/data/nothing"}]', "JSONPath: Unexpected kind: nope"),
    ],
)  # fmt: skip
async def test_what_fails_is_the_affair_of_the_failure_policy(
    server: Any, mutating: Any, write: Any, mutation: str, why: str | None
) -> None:
    await mutating(mutation)
    answer = await write(a="1")
    why = why or f"expression '{mutation}' resulted in error: no such key: nothing"
    assert answer["message"] == f"policy 'm' with binding 'm' denied request: {why}"
    assert (answer["reason"], answer["code"]) == ("Invalid", 403)
    assert answer["details"] == {"name": "c", "kind": "configmaps", "causes": [{"message": answer["message"]}]}
    change = {"spec": {"failurePolicy": "Ignore"}}
    path = f"{GROUP}/mutatingadmissionpolicies/m"
    await server.ask("PATCH", path, change, content_type="application/merge-patch+json")
    assert (await write(a="1"))["data"] == {"a": "1"}


async def test_whole_lists_are_not_replaced_by_accident(server: Any, mutating: Any) -> None:
    command = "Object.spec.template.spec.containers{name: 'c', command: ['x']}"
    inner = f"Object.spec.template.spec{{containers: [{command}]}}"
    await mutating(f"Object{{spec: Object.spec{{template: Object.spec.template{{spec: {inner}}}}}}}", **FOR_DEPLOYMENTS)
    answer = await server.ask("POST", DEPLOYMENTS, deployment())
    assert answer["message"].endswith(
        "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: "
        ".spec.template.spec.containers[0].command"
    )


async def test_a_patch_may_not_invent_fields(mutating: Any, write: Any) -> None:
    await mutating('[JSONPatch{op: "add", path: "/nope", value: 1}]')
    answer = await write()
    assert answer["code"] == 500 and 'unknown field "nope"' in answer["message"]


async def test_custom_resources_are_changed_by_their_schema(server: Any, mutating: Any) -> None:
    spec = {
        "type": "object",
        "properties": {
            "size": {"type": "integer"}, "color": {"type": "string", "default": "red"},
            "parts": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        },
    }  # fmt: skip
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    body = {
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }  # fmt: skip
    await server.ask("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", body)
    await server.api._custom.settle()
    rule = {"apiGroups": ["example.com"], "apiVersions": ["*"], "operations": ["*"], "resources": ["things"]}
    await mutating("Object{spec: Object.spec{size: 1, parts: ['b']}}", matchConstraints=rules(rule))
    thing = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": {"parts": ["a"]}}
    answer = await server.ask("POST", "/apis/example.com/v1/namespaces/default/things", thing)
    assert answer["spec"] == {"parts": ["a", "b"], "size": 1, "color": "red"}


async def test_policies_come_before_webhooks_and_before_the_validating_ones(
    server: Any, mutating: Any, validating: Any, write: Any
) -> None:
    await mutating(LABEL)
    await validating("'made' in object.metadata.labels")
    assert (await write())["kind"] == "ConfigMap"


@pytest.mark.parametrize(("again", "said"), [("IfNeeded", "xx"), ("Never", "x")])
async def test_a_policy_is_asked_again_only_if_it_wants_to_be(mutating: Any, write: Any, again: str, said: str) -> None:
    """A later policy changed the object: a second round, for those that asked for it and whose object changed since."""
    await mutating(
        '[JSONPatch{op: "add", path: "/data/said", value: (has(object.data.said) ? object.data.said : "") + "x"}]',
        name="a", reinvocationPolicy=again, matchConditions=[{"name": "n", "expression": "size(object.data) < 9"}],
    )  # fmt: skip
    await mutating("Object{data: Object.data{late: '1'}}", name="b")
    assert (await write(a="1"))["data"] == {"a": "1", "said": said, "late": "1"}


async def test_deletions_are_not_mutated_and_policies_are_not_either(server: Any, mutating: Any, write: Any) -> None:
    everything = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"], "resources": ["*"]}
    await write("before")
    await mutating(LABEL, matchConstraints=rules(everything, RULE))
    await mutating(LABEL, name="other")
    policy = await server.ask("GET", f"{GROUP}/mutatingadmissionpolicies/other")
    assert "labels" not in policy["metadata"]
    assert (await server.ask("DELETE", f"{CONFIG_MAPS}/before"))["status"] == "Success"


async def test_nobody_owns_what_policies_add(mutating: Any, write: Any) -> None:
    await mutating(LABEL)
    answer = await write(own="1")
    fields = [entry["fieldsV1"] for entry in answer["metadata"]["managedFields"]]
    assert fields == [{"f:data": {".": {}, "f:own": {}}}]


OTHER_NAMESPACE = "the namespace of the provided object does not match the namespace sent on the request"
IMMUTABLE = 'ConfigMap "old" is invalid: metadata.{}: Invalid value: "{}": field is immutable'


@pytest.mark.parametrize(
    ("field", "value", "made", "why_not"),
    [
        ("namespace", "other", OTHER_NAMESPACE, OTHER_NAMESPACE), ("name", "other", None, IMMUTABLE.format("name", "other")),
        ("uid", "mine", None, IMMUTABLE.format("uid", "mine")), ("creationTimestamp", "2020-01-01T00:00:00Z", None, None),
        ("deletionTimestamp", "2020-01-01T00:00:00Z", None, IMMUTABLE.format("deletionTimestamp", "2020-01-01T00:00:00Z")),
        ("generation", 77, None, None), ("resourceVersion", "1", None, None),
    ],
)  # fmt: skip
async def test_what_the_server_says_of_an_object_is_not_for_policies_to_say(
    server: Any, mutating: Any, write: Any, field: str, value: Any, made: str | None, why_not: str | None
) -> None:
    before = await write("old")
    await mutating(f'[JSONPatch{{op: "add", path: "/metadata/{field}", value: {value!r}}}]')
    answer = await write("new")
    if made is not None:
        assert (answer["code"], answer["message"]) == (400, made)
    elif field == "name":
        assert (await server.ask("GET", f"{CONFIG_MAPS}/other"))["metadata"]["uid"] == answer["metadata"]["uid"]
    else:
        assert answer["metadata"].get(field) != value
    answer = await server.ask("PUT", f"{CONFIG_MAPS}/old", {"metadata": {"name": "old"}, "data": {"a": "b"}})
    if why_not is None:
        assert (answer["metadata"].get(field), answer["data"]) == (before["metadata"].get(field), {"a": "b"}) or (
            field == "resourceVersion"
        )
    else:
        assert answer["message"].startswith(why_not), answer
