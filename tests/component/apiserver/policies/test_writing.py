"""What is said of policies and bindings when they are written."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.component.apiserver.policies.conftest import GROUP, RULE, rules

VALIDATING = {
    "metadata": {"name": "p"},
    "spec": {
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}, "matchConstraints": rules(),
        "matchConditions": [{"name": "c", "expression": "true"}], "variables": [{"name": "v", "expression": "1"}],
        "validations": [{"expression": "variables.v == 1 && params != null", "messageExpression": "'x' + params.data.y"}],
        "auditAnnotations": [{"key": "k", "valueExpression": "'a'"}],
    },
}  # fmt: skip
MUTATING = {
    "metadata": {"name": "m"},
    "spec": {
        "matchConstraints": rules(), "reinvocationPolicy": "IfNeeded",
        "mutations": [
            {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{}"}},
            {"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: 'test', path: '/kind'}]"}},
        ],
    },
}  # fmt: skip


def changed(policy: Any, path: str, value: Any) -> Any:
    """A copy with one field changed (None: left out); numbers in the path are places in lists."""
    made = copy.deepcopy(policy)
    *above, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    at = made["spec"]
    for part in above:
        at = at[part]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return made


async def refusal(server: Any, plural: str, body: Any) -> list[tuple[str, str]]:
    answer = await server.ask("POST", f"{GROUP}/{plural}", body)
    if answer["kind"] != "Status":
        return []
    assert answer["code"] == 422, answer
    return [(cause["field"], cause["message"]) for cause in answer["details"]["causes"]]


async def test_what_is_right_is_taken(server: Any) -> None:
    assert await refusal(server, "validatingadmissionpolicies", VALIDATING) == []
    assert await refusal(server, "mutatingadmissionpolicies", MUTATING) == []


MARK = "\n | {}\n | {}^"


@pytest.mark.parametrize(
    ("path", "value", "field", "why"),
    [
        (
            "validations.0.expression", "object.a + 1", "validations[0].expression",
            'Invalid value: "object.a + 1": must evaluate to bool but got int',
        ),
        (
            "validations.0.expression", "nope == 1", "validations[0].expression",
            "Invalid value: \"nope == 1\": compilation failed: ERROR: <input>:1:1: undeclared reference to 'nope' "
            "(in container '')" + MARK.format("nope == 1", ""),
        ),
        ("validations.0.expression", " ", "validations[0].expression", "Required value: expression is not specified"),
        (
            "validations.0.messageExpression", "1", "validations[0].messageExpression",
            'Invalid value: "1": must evaluate to string but got int',
        ),
        (
            "validations.0.messageExpression", "authorizer.path('/').check('get').reason()", "validations[0].messageExpression",
            "undeclared reference to 'authorizer' (in container '')",
        ),
        (
            "validations.0.messageExpression", " ", "validations[0].messageExpression",
            'Invalid value: " ": must be non-empty if specified',
        ),
        (
            "validations.0.message", "a\nb", "validations[0].message",
            'Invalid value: "a\\nb": message must not contain line breaks',
        ),
        (
            "validations.0.reason", "NotFound", "validations[0].reason",
            'Unsupported value: "NotFound": supported values: "Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"',
        ),
        ("variables.0.name", "a-b", "variables[0].name", 'Invalid value: "a-b": name is not a valid CEL identifier'),
        ("variables.0.expression", "variables.v", "variables[0].expression", "undefined field 'v'"),
        (
            "auditAnnotations.0.valueExpression", "1", "auditAnnotations[0].valueExpression",
            'Invalid value: "1": must evaluate to one of [string null_type] but got int',
        ),
        ("auditAnnotations.0.key", "a/b", "auditAnnotations[0].key", 'Invalid value: "p/a/b": a valid label key'),
        (
            "matchConditions.0.expression", "variables.v == 1", "matchConditions[0].expression",
            "undeclared reference to 'variables' (in container '')",
        ),
        ("matchConditions.0.expression", "1", "matchConditions[0].expression", "must evaluate to bool but got int"),
        ("matchConstraints", None, "matchConstraints", "Required value"),
        ("matchConstraints.resourceRules", [], "matchConstraints.resourceRules", "Required value"),
        (
            "matchConstraints.resourceRules.0.resources", ["pods/*", "pods/exec"],
            "matchConstraints.resourceRules[0].resources[1]",
            "Invalid value: \"pods/exec\": if 'pods/*' is present, must not specify pods/exec",
        ),
        (
            "matchConstraints.resourceRules.0.resourceNames", ["a", "a"], "matchConstraints.resourceRules[0].resourceNames[1]",
            'Duplicate value: "a"',
        ),
        ("paramKind.apiVersion", "a/b/c", "paramKind.apiVersion", '"a/b/c": unexpected GroupVersion string: a/b/c'),
        ("paramKind.kind", "no!", "paramKind.kind", "may have mixed case, but should otherwise match"),
    ],
)  # fmt: skip
async def test_a_validating_policy_says_what_is_wrong(server: Any, path: str, value: Any, field: str, why: str) -> None:
    found = await refusal(server, "validatingadmissionpolicies", changed(VALIDATING, path, value))
    assert f"spec.{field}" in [name for name, _ in found]
    assert any(why in said for name, said in found if name == f"spec.{field}"), found


async def test_a_validating_policy_has_to_say_something(server: Any) -> None:
    policy = {"metadata": {"name": "p"}, "spec": {"matchConstraints": rules()}}
    sentence = "Required value: validations or auditAnnotations must contain at least one item"
    expected = [("spec.validations", sentence), ("spec.auditAnnotations", sentence)]
    assert await refusal(server, "validatingadmissionpolicies", policy) == expected


@pytest.mark.parametrize(
    ("path", "value", "field", "why"),
    [
        ("mutations", [], "mutations", "Required value: mutations must contain at least one item"),
        ("mutations.0.patchType", None, "mutations[0].patchType", "Required value"),
        (
            "mutations.0.patchType", "other", "mutations[0].patchType",
            'Unsupported value: "other": supported values: "ApplyConfiguration", "JSONPatch"',
        ),
        (
            "mutations.0.applyConfiguration", None, "mutations[0].applyConfiguration",
            "Required value: must be specified when patchType is ApplyConfiguration",
        ),
        (
            "mutations.0.jsonPatch", {"expression": "[]"}, "mutations[0].jsonPatch",
            'Invalid value: "{jsonPatch}": must not be specified when patchType is ApplyConfiguration',
        ),
        (
            "mutations.0.applyConfiguration.expression", "{'a': 1}", "mutations[0].applyConfiguration.expression",
            "must evaluate to Object but got map(string, int)",
        ),
        (
            "mutations.1.jsonPatch.expression", "['a']", "mutations[1].jsonPatch.expression",
            "must evaluate to list(JSONPatch) but got list(string)",
        ),
        (
            "mutations.1.jsonPatch.expression", "[JSONPatch{op: 1}]", "mutations[1].jsonPatch.expression",
            "expected type of field 'op' is 'string' but provided type is 'int'",
        ),
        ("reinvocationPolicy", None, "reinvocationPolicy", "Required value"),
        (
            "reinvocationPolicy", "Often", "reinvocationPolicy",
            'Unsupported value: "Often": supported values: "Never", "IfNeeded"',
        ),
        (
            "matchConstraints.resourceRules.0.operations", ["DELETE"], "matchConstraints.resourceRules.operations",
            'Unsupported value: "DELETE": supported values: "*", "CONNECT", "CREATE", "UPDATE"',
        ),
    ],
)  # fmt: skip
async def test_a_mutating_policy_says_what_is_wrong(server: Any, path: str, value: Any, field: str, why: str) -> None:
    found = await refusal(server, "mutatingadmissionpolicies", changed(MUTATING, path, value))
    assert any(name == f"spec.{field}" and why in said for name, said in found), found


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ({}, [("spec.paramRef", "Required value: one of name or selector must be specified"),
              ("spec.paramRef.parameterNotFoundAction", "Required value")]),
        (
            {"name": "a", "selector": {}, "parameterNotFoundAction": "Deny"},
            [("spec.paramRef.name", "Forbidden: name and selector are mutually exclusive"),
             ("spec.paramRef.selector", "Forbidden: name and selector are mutually exclusive")],
        ),
        (
            {"name": "a", "parameterNotFoundAction": "Maybe"},
            [("spec.paramRef.parameterNotFoundAction", 'Unsupported value: "Maybe": supported values: "Deny", "Allow"')],
        ),
    ],
)  # fmt: skip
async def test_a_reference_to_parameters_is_by_name_or_by_selector(server: Any, reference: Any, expected: Any) -> None:
    body = {"metadata": {"name": "b"}, "spec": {"policyName": "p", "paramRef": reference}}
    assert await refusal(server, "mutatingadmissionpolicybindings", body) == expected


async def test_a_stored_expression_is_not_judged_again(server: Any) -> None:
    """What was stored by a server with another checker must not keep its policy from being changed."""
    broken = copy.deepcopy(MUTATING)
    broken["spec"]["mutations"][0]["applyConfiguration"]["expression"] = "nope"  # type: ignore[index]
    broken["spec"] |= {"failurePolicy": "Fail"}  # type: ignore[operator]
    from pybernetes.machinery.resources import MUTATING_ADMISSION_POLICIES

    await server.api.writer.create(MUTATING_ADMISSION_POLICIES, broken)
    path = f"{GROUP}/mutatingadmissionpolicies/m"
    merge = {"content_type": "application/merge-patch+json"}
    answer = await server.ask("PATCH", path, {"spec": {"failurePolicy": "Ignore"}}, **merge)
    assert answer["spec"]["failurePolicy"] == "Ignore", answer
    more = [*broken["spec"]["mutations"], {"patchType": "JSONPatch", "jsonPatch": {"expression": "nope2"}}]  # type: ignore[index]
    answer = await server.ask("PATCH", path, {"spec": {"mutations": more}}, **merge)
    assert [cause["field"] for cause in answer["details"]["causes"]] == ["spec.mutations[2].jsonPatch.expression"]


async def test_who_binds_parameters_must_be_allowed_to_read_them(server: Any) -> None:
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    resources = ["validatingadmissionpolicies", "validatingadmissionpolicybindings"]
    role = {"metadata": {"name": "r"},
            "rules": [{"apiGroups": ["admissionregistration.k8s.io"], "resources": resources, "verbs": ["*"]}]}  # fmt: skip
    await server.ask("POST", f"{rbac}/clusterroles", role)
    subject = {"kind": "User", "name": "nobody", "apiGroup": "rbac.authorization.k8s.io"}
    reference = {"kind": "ClusterRole", "name": "r", "apiGroup": "rbac.authorization.k8s.io"}
    await server.ask(
        "POST", f"{rbac}/clusterrolebindings", {"metadata": {"name": "r"}, "roleRef": reference, "subjects": [subject]}
    )
    nobody = {"authorization": "Bearer nobody"}
    shown = "user &{nobody nobody [system:authenticated] map[]}"
    answer = await server.ask("POST", f"{GROUP}/validatingadmissionpolicies", VALIDATING, **nobody)
    assert [(cause["field"], cause["message"]) for cause in answer["details"]["causes"]] == [(
        "spec.paramKind",
        f'Forbidden: {shown} must have "get" permission on all objects of the referenced paramKind '
        "(kind=ConfigMap, apiVersion=v1)",
    )]  # fmt: skip
    assert await refusal(server, "validatingadmissionpolicies", VALIDATING) == []
    binding = {
        "metadata": {"name": "b"},
        "spec": {
            "policyName": "p", "validationActions": ["Deny"],
            "paramRef": {"name": "x", "namespace": "default", "parameterNotFoundAction": "Deny"},
        },
    }  # fmt: skip
    answer = await server.ask("POST", f"{GROUP}/validatingadmissionpolicybindings", binding, **nobody)
    (cause,) = answer["details"]["causes"]
    assert cause["message"] == f'Forbidden: {shown} does not have "get" permission on the object referenced by paramRef'
    role["rules"].append({"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"], "resourceNames": ["x"]})  # type: ignore[attr-defined]
    merge = {"content_type": "application/merge-patch+json"}
    await server.ask("PATCH", f"{rbac}/clusterroles/r", {"rules": role["rules"]}, **merge)
    answer = await server.ask("POST", f"{GROUP}/validatingadmissionpolicybindings", binding, **nobody)
    assert answer["kind"] == "ValidatingAdmissionPolicyBinding", answer


async def test_changes_of_the_spec_count(server: Any) -> None:
    created = await server.ask("POST", f"{GROUP}/validatingadmissionpolicies", VALIDATING)
    assert created["metadata"]["generation"] == 1 and created["status"] == {}
    path = f"{GROUP}/validatingadmissionpolicies/p"
    status = {"status": {"observedGeneration": 1, "typeChecking": {"expressionWarnings": [{"fieldRef": "", "warning": ""}]}}}
    merge = {"content_type": "application/merge-patch+json"}
    answer = await server.ask("PATCH", f"{path}/status", status, **merge)
    assert [cause["field"] for cause in answer["details"]["causes"]] == [
        "status.typeChecking.expressionWarnings[0].warning", "status.typeChecking.expressionWarnings[0].fieldRef"
    ]  # fmt: skip
    status["status"]["typeChecking"] = {}
    answer = await server.ask("PATCH", f"{path}/status", status, **merge)
    assert answer["metadata"]["generation"] == 1 and answer["status"] == {"observedGeneration": 1, "typeChecking": {}}
    answer = await server.ask("PATCH", path, {"spec": {"matchConstraints": rules({**RULE, "operations": ["*"]})}}, **merge)
    assert answer["metadata"]["generation"] == 2
