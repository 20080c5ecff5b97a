"""ValidatingAdmissionPolicies hold writes against their expressions."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from pybernetes.apiserver.audit import policy as audit
from tests.component.apiserver.audit_events import listing
from tests.component.apiserver.policies.conftest import CONFIG_MAPS, GROUP, RULE, rules

EVENTS: list[Any] = []


@pytest.fixture
def configuration(tmp_path: Any) -> dict[str, Any]:
    EVENTS.clear()
    (tmp_path / "policy.yaml").write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n")
    return {"audit_policy": audit.load(tmp_path / "policy.yaml"), "audit_backends": listing(EVENTS)}


def annotations(verb: str = "create") -> dict[str, str]:
    """Of the last such write of a ConfigMap."""
    found = [
        event for event in EVENTS
        if event["stage"] == "ResponseComplete" and event["verb"] == verb and event["objectRef"]["resource"] == "configmaps"
    ]  # fmt: skip
    made: dict[str, str] = found[-1].get("annotations", {})
    return made


def denied(answer: Any, why: str, binding: str = "b0") -> None:
    through = f" with binding '{binding}'" if binding else ""
    assert answer.get("message") == (
        f"configmaps \"c\" is forbidden: ValidatingAdmissionPolicy 'p'{through} denied request: {why}"
    ), answer


async def test_a_policy_takes_effect_at_once_and_ends_at_once(server: Any, validating: Any, write: Any) -> None:
    await validating("object.data.a == 'x'")
    denied(await write(a="y"), "failed expression: object.data.a == 'x'")
    assert (await write("ok", a="x"))["kind"] == "ConfigMap"
    change = {"spec": {"validations": [{"expression": "object.data.a == 'y'", "message": "no"}]}}
    path = f"{GROUP}/validatingadmissionpolicies/p"
    await server.ask("PATCH", path, change, content_type="application/merge-patch+json")
    denied(await write(a="x"), "no")
    await server.ask("DELETE", f"{GROUP}/validatingadmissionpolicybindings/b0")
    assert (await write(a="x"))["kind"] == "ConfigMap"


@pytest.mark.parametrize(
    ("reason", "code"), [("Forbidden", 403), ("Unauthorized", 401), ("RequestEntityTooLarge", 413), ("Invalid", 422)]
)
async def test_a_validation_chooses_its_reason(validating: Any, write: Any, reason: str, code: int) -> None:
    await validating({"expression": "false", "message": " no ", "reason": reason})
    answer = await write()
    denied(answer, "no")
    assert (answer["reason"], answer["code"]) == (reason, code)
    assert answer["details"]["causes"] == [{"message": "ValidatingAdmissionPolicy 'p' with binding 'b0' denied request: no"}]


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("'got ' + object.data.a", "got x"),
        ("'' + object.data.nothing", "plain"),
        ("' '", "plain"),
        ("'a\\nb'", "plain"),
        ("object.data.a + object.data.a.replace('x', '" + "y" * 6000 + "')", "plain"),
    ],
)
async def test_a_message_may_be_an_expression_and_falls_back_to_the_plain_one(
    validating: Any, write: Any, expression: str, said: str
) -> None:
    await validating({"expression": "false", "message": "plain", "messageExpression": expression})
    denied(await write(a="x"), said)


async def test_what_fails_is_the_affair_of_the_failure_policy(server: Any, validating: Any, write: Any) -> None:
    await validating("object.data.nothing == 'x'")
    denied(await write(), "expression 'object.data.nothing == 'x'' resulted in error: no such key: data")
    change = {"spec": {"failurePolicy": "Ignore"}}
    path = f"{GROUP}/validatingadmissionpolicies/p"
    await server.ask("PATCH", path, change, content_type="application/merge-patch+json")
    assert (await write())["kind"] == "ConfigMap"


async def test_an_expression_that_costs_too_much_is_ended(validating: Any, write: Any) -> None:
    long = {f"k{i}": "x" for i in range(300)}
    every = "object.data.all(a, object.data.all(b, object.data.all(c, size(a + b + c) > 0)))"
    await validating(every)
    denied(await write(**long), f"expression '{every}' resulted in error: operation cancelled: actual cost limit exceeded")


async def test_warnings_and_annotations_are_other_answers_to_a_failure(server: Any, validating: Any) -> None:
    bindings = [{"validationActions": ["Warn", "Audit"]}]
    validation = {"expression": "false", "message": "no"}
    await validating("true", validation, bindings=bindings)
    answer = await server.send("POST", CONFIG_MAPS, {"metadata": {"name": "c"}})
    assert answer.status == 201
    assert "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b0': no" in answer.headers["Warning"]
    (failure,) = json.loads(annotations()["validation.policy.admission.k8s.io/validation_failure"])
    assert failure == {
        "message": "no", "policy": "p", "binding": "b0", "expressionIndex": 1, "validationActions": ["Warn", "Audit"]
    }  # fmt: skip


async def test_policies_annotate_the_audit_log(server: Any, validating: Any, write: Any) -> None:
    await write("params", labels={"for": "p"}, say="one")
    await write("more", labels={"for": "p"}, say="two")
    await validating(
        auditAnnotations=[
            {"key": "said", "valueExpression": "string(params.data.say)"},
            {"key": "quiet", "valueExpression": "params.data.say == 'never' ? 'x' : ''"},
        ],
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
        bindings=[{"paramRef": {"selector": {"matchLabels": {"for": "p"}}, "parameterNotFoundAction": "Deny"}}],
    )
    assert (await write())["kind"] == "ConfigMap"
    assert annotations()["p/said"] == "two, one"  # in the order of the parameters' names
    assert "p/quiet" not in annotations()
    change = {"spec": {"auditAnnotations": [{"key": "k", "valueExpression": "string(params.data.nothing)"}]}}
    path = f"{GROUP}/validatingadmissionpolicies/p"
    await server.ask("PATCH", path, change, content_type="application/merge-patch+json")
    denied(await write(), "expression 'string(params.data.nothing)' resulted in error: no such key: nothing")


async def test_conditions_come_before_validations(validating: Any, write: Any) -> None:
    conditions = [{"name": "chosen", "expression": "request.name.startsWith('c')"}]
    await validating("false", matchConditions=conditions)
    denied(await write(), "failed expression: false")
    assert (await write("other"))["kind"] == "ConfigMap"


async def test_conditions_that_fail_deny(validating: Any, write: Any) -> None:
    await validating("true", matchConditions=[{"name": "broken", "expression": "object.data.nothing == ''"}])
    denied(await write(a="x"), "expression 'object.data.nothing == ''' resulted in error: no such key: nothing")


async def test_variables_build_upon_each_other(validating: Any, write: Any) -> None:
    await validating(
        {"expression": "variables.long", "messageExpression": "'too short: ' + string(variables.size)"},
        variables=[
            {"name": "size", "expression": "size(object.data.a)"},
            {"name": "long", "expression": "variables.size > 3"},
        ],
    )
    denied(await write(a="abc"), "too short: 3")
    assert (await write(a="abcd"))["kind"] == "ConfigMap"


async def test_expressions_see_the_old_object_the_request_and_the_namespace(server: Any, validating: Any, write: Any) -> None:
    await validating(
        "request.operation == 'CREATE' ? oldObject == null : oldObject.data.a == object.data.a",
        "request.userInfo.username == 'admin' && 'system:masters' in request.userInfo.groups",
        "request.kind.kind == 'ConfigMap' && request.resource.resource == 'configmaps'",
        "namespaceObject.metadata.name == request.namespace && namespaceObject.status.phase == 'Active'",
        "request.dryRun == (request.name == 'dry')",
    )
    assert (await write(a="1"))["kind"] == "ConfigMap"
    assert (await write("dry", query="?dryRun=All", a="1"))["kind"] == "ConfigMap"
    merge = {"content_type": "application/merge-patch+json"}
    denied(
        await server.ask("PATCH", f"{CONFIG_MAPS}/c", {"data": {"a": "2"}}, **merge),
        "failed expression: request.operation == 'CREATE' ? oldObject == null : oldObject.data.a == object.data.a",
    )


async def test_deletions_and_subresources_are_judged_too(server: Any, validating: Any, write: Any) -> None:
    rule = {**RULE, "operations": ["DELETE"]}
    scale = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["deployments/scale"]}
    await validating(
        {"expression": "object == null ? has(oldObject.data) : object.spec.replicas < 5", "message": "no"},
        matchConstraints=rules(rule, scale),
    )
    await write("kept")
    await write("gone", a="x")
    answer = await server.ask("DELETE", f"{CONFIG_MAPS}/kept")
    assert answer["message"].endswith("denied request: no")
    assert (await server.ask("DELETE", f"{CONFIG_MAPS}/gone"))["status"] == "Success"
    deployment = {
        "metadata": {"name": "d"},
        "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        },
    }
    path = "/apis/apps/v1/namespaces/default/deployments"
    await server.ask("POST", path, deployment)
    merge = {"content_type": "application/merge-patch+json"}
    answer = await server.ask("PATCH", f"{path}/d/scale", {"spec": {"replicas": 5}}, **merge)
    assert answer["message"].endswith("denied request: no"), answer
    assert (await server.ask("PATCH", f"{path}/d/scale", {"spec": {"replicas": 4}}, **merge))["spec"]["replicas"] == 4


async def test_a_policy_that_matches_by_another_version_sees_that_version(server: Any, validating: Any) -> None:
    rule = {"apiGroups": ["autoscaling"], "apiVersions": ["v1"], "operations": ["*"], "resources": ["*"]}
    checks = "object.apiVersion == 'autoscaling/v1' && object.spec.targetCPUUtilizationPercentage < 90"
    await validating({"expression": checks, "message": "no"}, matchConstraints=rules(rule))
    autoscaler = {
        "metadata": {"name": "h"},
        "spec": {
            "maxReplicas": 2, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
            "metrics": [
                {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 95}}}
            ],
        },
    }  # fmt: skip
    path = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
    assert (await server.ask("POST", path, autoscaler))["message"].endswith("denied request: no")
    autoscaler["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] = 50  # type: ignore[index]
    assert (await server.ask("POST", path, autoscaler))["apiVersion"] == "autoscaling/v2"


async def test_bindings_narrow_what_a_policy_matches(server: Any, validating: Any, write: Any) -> None:
    here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}}}
    chosen = {"objectSelector": {"matchLabels": {"app": "a"}}}
    named = rules({**RULE, "resourceNames": ["named"]})
    await validating("false", bindings=[{"matchResources": {**here, **chosen}}, {"matchResources": named}])
    assert (await write("free"))["kind"] == "ConfigMap"
    denied(await write(labels={"app": "a"}), "failed expression: false")
    assert "binding 'b1'" in (await write("named"))["message"]
    body = {"metadata": {"name": "c", "labels": {"app": "a"}}}
    await server.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "else"}})
    assert (await server.ask("POST", "/api/v1/namespaces/else/configmaps", body))["kind"] == "ConfigMap"


async def test_excluded_resources_are_left_alone(validating: Any, write: Any) -> None:
    matching = {**rules(), "excludeResourceRules": [{**RULE, "resourceNames": ["free"]}]}
    await validating("false", matchConstraints=matching)
    assert (await write("free"))["kind"] == "ConfigMap"
    denied(await write(), "failed expression: false")


async def test_policies_cannot_be_locked_in_by_policies(server: Any, validating: Any) -> None:
    everything = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"]}
    await validating("false", matchConstraints=rules(everything))
    answer = await server.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "n"}})
    assert "ValidatingAdmissionPolicy 'p' with binding 'b0' denied request" in answer["message"]
    assert (await server.ask("DELETE", f"{GROUP}/validatingadmissionpolicies/p"))["status"] == "Success"
    assert (await server.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "n"}}))["kind"] == "Namespace"


# The authorizer


async def test_policies_ask_what_their_user_may_do(server: Any, validating: Any, write: Any) -> None:
    may = "authorizer.group('').resource('configmaps').namespace('default').name(object.data.of).check('use')"
    await validating(
        {"expression": f"{may}.allowed() && !{may}.errored()", "message": "may not use"},
        matchConditions=[{"name": "humans", "expression": "authorizer.requestResource.check('create').allowed()"}],
    )
    role = {"metadata": {"name": "r"}, "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]}]}
    use = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["use"], "resourceNames": ["mine"]}
    role["rules"].append(use)  # type: ignore[attr-defined]
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    await server.ask("POST", f"{rbac}/namespaces/default/roles", role)
    binding = {
        "metadata": {"name": "r"}, "roleRef": {"kind": "Role", "name": "r", "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": [{"kind": "User", "name": "nobody", "apiGroup": "rbac.authorization.k8s.io"}],
    }  # fmt: skip
    await server.ask("POST", f"{rbac}/namespaces/default/rolebindings", binding)
    nobody = {"authorization": "Bearer nobody"}
    denied(await write(headers=nobody, of="yours"), "may not use")
    assert (await write(headers=nobody, of="mine"))["kind"] == "ConfigMap"
    assert (await write("admins", of="all"))["kind"] == "ConfigMap"


async def test_verdicts_may_take_their_time(server: Any, validating: Any, write: Any, monkeypatch: Any) -> None:
    """An authorizer that has to wait holds up the request, not the server; it is asked once for each question."""
    authorizer = server.api._authorizer
    ask, asked = authorizer.authorize, []

    async def slowly(user: Any, info: Any) -> Any:
        if info.verb == "ponder":
            asked.append(info.name)
            await asyncio.sleep(0.01)
        return await ask(user, info)

    monkeypatch.setattr(authorizer, "authorize", slowly)
    check = "authorizer.group('').resource('configmaps').name('{}').check('ponder').allowed()"
    one, two = check.format("one"), check.format("two")
    await validating(f"{one} && {two}", f"[1, 2].all(x, {one})", variables=[{"name": "v", "expression": two}])
    assert (await write())["kind"] == "ConfigMap"
    assert asked == ["one", "two"]
