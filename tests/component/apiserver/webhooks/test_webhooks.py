"""Admission webhooks: a real server over TLS is asked about what is written."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

from pybernetes.machinery.http.messages import Response
from pybernetes.machinery.resources import VALIDATING_WEBHOOK_CONFIGURATIONS as RESOURCE

MAPS = "/api/v1/namespaces/default/configmaps"
ALLOW = {"allowed": True}


def patch(*operations: Any) -> Any:
    encoded = base64.b64encode(json.dumps(list(operations)).encode()).decode()
    return {"allowed": True, "patchType": "JSONPatch", "patch": encoded}


def labelled(key: str) -> Any:
    """A hook that adds a label, once."""

    def answer(request: Any) -> Any:
        labels = request["object"]["metadata"].get("labels") or {}
        if key in labels:
            return ALLOW
        operations = [] if labels else [{"op": "add", "path": "/metadata/labels", "value": {}}]
        return patch(*operations, {"op": "add", "path": f"/metadata/labels/{key}", "value": "yes"})

    return answer


def config_map(name: str = "c", **metadata: Any) -> Any:
    return {"metadata": {"name": name, **metadata}, "data": {"k": "v"}}


async def test_a_mutating_hook_changes_what_is_stored(server: Any, hooks: Any, configure: Any) -> None:
    hooks.answers["/label"] = labelled("hooked")
    await configure("Mutating", hooks.webhook("/label"))
    made = await server.ask("POST", MAPS, config_map())
    assert made["metadata"]["labels"] == {"hooked": "yes"}
    assert (await server.ask("GET", f"{MAPS}/c"))["metadata"]["labels"] == {"hooked": "yes"}


async def test_hooks_are_measured(server: Any, hooks: Any, configure: Any) -> None:
    hooks.answers["/label"] = labelled("hooked")
    hook = hooks.webhook("/label")
    await configure("Mutating", hook)
    await server.ask("POST", MAPS, config_map())
    metrics = (await server.send("GET", "/metrics")).body.decode()
    labels = f'name="{hook["name"]}",operation="CREATE",rejected="false",type="admit"'
    assert f"apiserver_admission_webhook_admission_duration_seconds_count{{{labels}}} 1.0" in metrics


async def test_a_hook_is_told_what_it_must_know(server: Any, hooks: Any, configure: Any) -> None:
    hooks.answers["/look"] = lambda _: ALLOW
    await configure("Validating", hooks.webhook("/look"))
    await server.ask("POST", f"{MAPS}?dryRun=All&fieldManager=me", config_map())
    await server.ask("POST", MAPS, config_map())
    await server.ask("PUT", f"{MAPS}/c", config_map(labels={"a": "b"}))
    await server.ask("DELETE", f"{MAPS}/c", {"propagationPolicy": "Background"})
    tried, created, updated, deleted = hooks.of("/look")
    assert tried["dryRun"] is True and created["dryRun"] is False
    assert tried["options"] == {
        "kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "me", "dryRun": ["All"],
    }  # fmt: skip
    assert created["kind"] == created["requestKind"] == {"group": "", "version": "v1", "kind": "ConfigMap"}
    assert created["resource"] == {"group": "", "version": "v1", "resource": "configmaps"}
    assert (created["operation"], created["name"], created["namespace"]) == ("CREATE", "c", "default")
    assert created["userInfo"]["username"] == "admin" and "system:masters" in created["userInfo"]["groups"]
    assert created["object"]["kind"] == "ConfigMap" and created["object"]["data"] == {"k": "v"}
    assert created["oldObject"] is None
    assert updated["operation"] == "UPDATE" and "labels" not in updated["oldObject"]["metadata"]
    assert deleted["operation"] == "DELETE" and deleted["object"] is None
    assert deleted["oldObject"]["metadata"]["labels"] == {"a": "b"}
    assert deleted["options"]["propagationPolicy"] == "Background"


async def test_a_refusal_is_the_hooks_status(server: Any, hooks: Any, configure: Any) -> None:
    hooks.answers["/no"] = lambda _: {"allowed": False, "status": {"message": "not today", "code": 418, "reason": "Teapot"}}
    await configure("Validating", hooks.webhook("/no"))
    answer = await server.ask("POST", MAPS, config_map())
    assert answer["code"] == 418
    assert answer["reason"] == "Teapot"
    assert answer["message"] == 'admission webhook "no.hooks.example.com" denied the request: not today'
    hooks.answers["/no"] = lambda _: {"allowed": False}
    answer = await server.ask("POST", MAPS, config_map())
    assert answer["code"] == 400
    assert answer["message"] == 'admission webhook "no.hooks.example.com" denied the request without explanation'


async def test_warnings_of_hooks_reach_the_client(server: Any, hooks: Any, configure: Any) -> None:
    hooks.answers["/warn"] = lambda _: {"allowed": True, "warnings": ["mind the gap"]}
    await configure("Validating", hooks.webhook("/warn"))
    assert (await server.send("POST", MAPS, config_map())).headers["Warning"] == '299 - "mind the gap"'


async def test_a_hook_that_fails_refuses_or_is_ignored_as_its_policy_says(server: Any, hooks: Any, configure: Any) -> None:
    hooks.answers["/broken"] = lambda _: Response(500, {"Content-Type": "text/plain"}, b"oh no")
    await configure("Validating", hooks.webhook("/broken", failurePolicy="Fail"), name="a")
    answer = await server.ask("POST", MAPS, config_map())
    why = (
        'failed calling webhook "broken.hooks.example.com": failed to call webhook: '
        'an error on the server ("oh no") has prevented the request from succeeding'
    )
    assert (answer["code"], answer["reason"]) == (500, "InternalError")
    assert answer["message"] == f"Internal error occurred: {why}"
    assert answer["details"]["causes"] == [{"message": why}]
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/a"
    operations = [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]
    await server.ask("PATCH", path, operations, content_type="application/json-patch+json")
    assert (await server.send("POST", MAPS, config_map())).status == 201


async def test_a_slow_hook_times_out(server: Any, hooks: Any, configure: Any) -> None:
    async def slow(_: Any) -> Any:
        await asyncio.sleep(3)
        return ALLOW

    hooks.answers["/slow"] = slow
    await configure("Mutating", hooks.webhook("/slow", timeoutSeconds=1))
    answer = await server.ask("POST", MAPS, config_map())
    assert answer["message"] == (
        'Internal error occurred: failed calling webhook "slow.hooks.example.com": failed to call webhook: '
        f'Post "{hooks.url}/slow?timeout=1s": context deadline exceeded'
    )


async def test_nobody_there_and_nobody_trusted_are_told_apart(server: Any, hooks: Any, configure: Any) -> None:
    away = {"clientConfig": {"url": "https://127.0.0.1:1/x", "caBundle": hooks.ca_bundle}}
    await configure("Validating", hooks.webhook("/away", **away), name="a")
    answer = await server.ask("POST", MAPS, config_map())
    assert answer["message"].endswith(
        'Post "https://127.0.0.1:1/x?timeout=10s": dial tcp 127.0.0.1:1: connect: connection refused'
    )
    await server.ask("DELETE", "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/a")
    await configure("Validating", hooks.webhook("/x", clientConfig={"url": hooks.url + "/x"}), name="b")
    answer = await server.ask("POST", MAPS, config_map())
    assert answer["message"].endswith("tls: failed to verify certificate: x509: certificate signed by unknown authority")


async def test_connections_to_hooks_are_kept(server: Any, hooks: Any, configure: Any) -> None:
    hooks.answers["/look"] = lambda _: ALLOW
    await configure("Validating", hooks.webhook("/look"))
    for number in range(3):
        await server.ask("POST", MAPS, config_map(f"c{number}"))
    assert len(hooks.of("/look")) == 3
    assert len(hooks.peers) == 1


async def test_validating_hooks_are_asked_at_once(server: Any, hooks: Any, configure: Any) -> None:
    both = asyncio.Barrier(2)

    async def meet(_: Any) -> Any:
        async with asyncio.timeout(5):
            await both.wait()
        return ALLOW

    hooks.answers["/a"] = hooks.answers["/b"] = meet
    await configure("Validating", hooks.webhook("/a"), hooks.webhook("/b"))
    assert (await server.send("POST", MAPS, config_map())).status == 201


async def test_mutating_hooks_see_what_earlier_ones_did_and_are_reinvoked_if_they_ask_for_it(
    server: Any, hooks: Any, configure: Any
) -> None:
    hooks.answers["/first"] = lambda _: ALLOW
    hooks.answers["/second"] = labelled("second")
    hooks.answers["/once"] = lambda _: ALLOW
    await configure(
        "Mutating", hooks.webhook("/first", reinvocationPolicy="IfNeeded"), hooks.webhook("/once"), hooks.webhook("/second")
    )
    await server.ask("POST", MAPS, config_map())
    before, after = hooks.of("/first")
    assert "labels" not in before["object"]["metadata"]
    assert after["object"]["metadata"]["labels"] == {"second": "yes"}
    assert len(hooks.of("/once")) == len(hooks.of("/second")) == 1


async def test_a_hook_that_always_changes_something_is_asked_twice_at_most(server: Any, hooks: Any, configure: Any) -> None:
    def count(request: Any) -> Any:
        number = int(request["object"]["data"].get("n", "0"))
        return patch({"op": "add", "path": "/data/n", "value": str(number + 1)})

    hooks.answers["/count"] = count
    hooks.answers["/other"] = count
    policy = {"reinvocationPolicy": "IfNeeded"}
    await configure("Mutating", hooks.webhook("/count", **policy), hooks.webhook("/other", **policy))
    made = await server.ask("POST", MAPS, config_map())
    # The first because the second changed what it had seen; the second because the first then did the same.
    assert made["data"]["n"] in ("3", "4")


async def test_what_a_hook_adds_is_defaulted_and_checked(server: Any, hooks: Any, configure: Any) -> None:
    rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
    container = {"name": "sidecar", "image": "i", "madeUp": 1}
    hooks.answers["/sidecar"] = lambda _: patch({"op": "add", "path": "/spec/containers/-", "value": container})
    await configure("Mutating", hooks.webhook("/sidecar", rules=[rule]))
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    made = await server.ask("POST", "/api/v1/namespaces/default/pods", pod)
    sidecar = made["spec"]["containers"][1]
    assert sidecar["terminationMessagePath"] == "/dev/termination-log"
    assert "madeUp" not in sidecar
    # The service account plugin came before the hook; the second round gave the sidecar its token.
    assert [mount["mountPath"] for mount in sidecar["volumeMounts"]] == ["/var/run/secrets/kubernetes.io/serviceaccount"]
    hooks.answers["/sidecar"] = lambda _: patch({"op": "replace", "path": "/spec/containers", "value": "none"})
    answer = await server.ask("POST", "/api/v1/namespaces/default/pods", {**pod, "metadata": {"name": "q"}})
    assert (answer["code"], answer["reason"]) == (500, "InternalError")


async def test_a_patch_that_does_not_apply_is_an_internal_error(server: Any, hooks: Any, configure: Any) -> None:
    hooks.answers["/bad"] = lambda _: patch({"op": "remove", "path": "/metadata/labels/none"})
    await configure("Mutating", hooks.webhook("/bad"))
    answer = await server.ask("POST", MAPS, config_map())
    assert answer["message"] == (
        "Internal error occurred: remove operation does not apply: doc is missing path: /metadata/labels/none: missing value"
    )


async def test_a_hook_with_side_effects_is_not_asked_on_a_dry_run(server: Any, hooks: Any, configure: Any) -> None:
    hooks.answers["/look"] = lambda _: ALLOW
    rule = {"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
    await configure("Validating", hooks.webhook("/look", rules=[rule], sideEffects="NoneOnDryRun"))
    assert (await server.send("POST", f"{MAPS}?dryRun=All", config_map())).status == 201
    # v1 allows no others; objects from v1beta1 times may be stored.
    stored = server.api.reader.get(RESOURCE, "", "test")
    stored = {**stored, "webhooks": [{**stored["webhooks"][0], "sideEffects": "Some"}]}
    await server.api.writer.update(RESOURCE, stored)
    answer = await server.ask("POST", f"{MAPS}?dryRun=All", config_map())
    assert (answer["code"], answer["message"]) == (
        400, 'admission webhook "look.hooks.example.com" does not support dry run'
    )  # fmt: skip


async def test_hooks_are_never_asked_about_webhook_configurations(server: Any, hooks: Any, configure: Any) -> None:
    every = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}
    away = {"url": "https://127.0.0.1:1/x"}
    webhook = hooks.webhook("/all", rules=[every], clientConfig=away, namespaceSelector={})
    await configure("Validating", webhook)
    assert (await server.send("POST", MAPS, config_map())).status == 500
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/test"
    assert (await server.send("DELETE", path)).status == 200
    assert (await server.send("POST", MAPS, config_map())).status == 201


async def test_another_version_of_the_resource_is_converted_for_a_hook_that_knows_only_that(
    server: Any, hooks: Any, configure: Any
) -> None:
    path = "/spec/targetCPUUtilizationPercentage"
    hooks.answers["/v1"] = lambda _: patch({"op": "replace", "path": path, "value": 33})
    rule = {
        "operations": ["CREATE"], "apiGroups": ["autoscaling"], "apiVersions": ["v1"],
        "resources": ["horizontalpodautoscalers"],
    }  # fmt: skip
    await configure("Mutating", hooks.webhook("/v1", rules=[rule]))
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    metric = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}
    scaler = {"metadata": {"name": "h"}, "spec": {"scaleTargetRef": target, "maxReplicas": 3, "metrics": [metric]}}
    made = await server.ask("POST", "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers", scaler)
    (asked,) = hooks.of("/v1")
    assert asked["kind"]["version"] == "v1" and asked["requestKind"]["version"] == "v2"
    assert asked["object"]["apiVersion"] == "autoscaling/v1"
    assert asked["object"]["spec"]["targetCPUUtilizationPercentage"] == 50
    assert made["apiVersion"] == "autoscaling/v2"
    assert made["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 33


async def test_a_hook_of_the_old_review_version_is_asked_in_it(server: Any, hooks: Any, configure: Any) -> None:
    hooks.answers["/old"] = lambda _: {"uid": "", "allowed": False}
    await configure("Validating", hooks.webhook("/old", admissionReviewVersions=["v2", "v1beta1", "v1"]))
    assert (await server.send("POST", MAPS, config_map())).status == 400
    assert hooks.asked[0][1]["apiVersion"] == "admission.k8s.io/v1beta1"


async def test_conditions_decide_whether_a_hook_is_asked(server: Any, hooks: Any, configure: Any) -> None:
    hooks.answers["/look"] = lambda _: ALLOW
    conditions = [
        {"name": "not-me", "expression": "request.userInfo.username != 'nobody'"},
        {"name": "labelled", "expression": "'team' in object.metadata.?labels.orValue({})"},
    ]
    await configure("Validating", hooks.webhook("/look", matchConditions=conditions))
    await server.ask("POST", MAPS, config_map("a"))
    assert hooks.of("/look") == []
    await server.ask("POST", MAPS, config_map("b", labels={"team": "x"}))
    assert [asked["name"] for asked in hooks.of("/look")] == ["b"]


async def test_conditions_may_ask_what_the_user_is_allowed_to_do(server: Any, hooks: Any, configure: Any) -> None:
    """The example of the documentation: who may break the glass is not held up by the hook."""
    hooks.answers["/look"] = lambda _: ALLOW
    check = "authorizer.group('admissionregistration.k8s.io').resource('validatingwebhookconfigurations').name('test')"
    conditions = [{"name": "breakglass", "expression": f"!{check}.check('breakglass').allowed()"}]
    await configure("Validating", hooks.webhook("/look", matchConditions=conditions))
    await server.ask("POST", MAPS, config_map("admins"))
    assert hooks.of("/look") == []
    role = {"metadata": {"name": "maps"}, "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]}]}
    await server.ask("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", role)
    binding = {
        "metadata": {"name": "maps"},
        "roleRef": {"kind": "ClusterRole", "name": "maps", "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": [{"kind": "User", "name": "nobody", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    await server.ask("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
    answer = await server.send("POST", MAPS, config_map("others"), authorization="Bearer nobody")
    assert answer.status == 201
    assert [asked["name"] for asked in hooks.of("/look")] == ["others"]


async def test_conditions_that_fail_refuse_or_leave_the_hook_out(server: Any, hooks: Any, configure: Any) -> None:
    hooks.answers["/look"] = lambda _: ALLOW
    conditions = [{"name": "c", "expression": "object.data.none == 'x'"}]
    await configure("Validating", hooks.webhook("/look", matchConditions=conditions), name="a")
    answer = await server.ask("POST", MAPS, config_map())
    assert answer["message"] == (
        "configmaps \"c\" is forbidden: expression 'object.data.none == 'x'' resulted in error: no such key: none"
    )
    await server.ask("DELETE", "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/a")
    await configure("Validating", hooks.webhook("/look", matchConditions=conditions, failurePolicy="Ignore"), name="b")
    assert (await server.send("POST", MAPS, config_map())).status == 201
    assert hooks.of("/look") == []


async def test_a_condition_that_is_no_expression_is_invalid(server: Any, hooks: Any) -> None:
    webhook = hooks.webhook("/look", matchConditions=[{"name": "c", "expression": "object.("}])
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    answer = await server.ask("POST", path, {"metadata": {"name": "x"}, "webhooks": [webhook]})
    (cause,) = answer["details"]["causes"]
    assert cause["field"] == "webhooks[0].matchConditions[0].expression"
    assert "compilation failed" in cause["message"]


async def test_scaling_shows_hooks_a_scale(server: Any, hooks: Any, configure: Any) -> None:
    hooks.answers["/scale"] = lambda request: (
        patch({"op": "replace", "path": "/spec/replicas", "value": 4}) if request["object"]["spec"]["replicas"] > 4 else ALLOW
    )
    rule = {"operations": ["UPDATE"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments/scale"]}
    await configure("Mutating", hooks.webhook("/scale", rules=[rule]))
    labels = {"app": "a"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    path = "/apis/apps/v1/namespaces/default/deployments"
    await server.ask(
        "POST", path, {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": labels}, "template": template}}
    )
    merge = {"content_type": "application/merge-patch+json"}
    scaled = await server.ask("PATCH", f"{path}/d/scale", {"spec": {"replicas": 9}}, **merge)
    assert scaled["spec"]["replicas"] == 4
    (asked,) = hooks.of("/scale")
    assert asked["kind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    assert asked["subResource"] == "scale" and asked["resource"]["resource"] == "deployments"
    assert asked["oldObject"]["spec"]["replicas"] == 1


async def test_an_eviction_is_shown_as_such_and_not_as_a_deletion(server: Any, hooks: Any, configure: Any) -> None:
    hooks.answers["/evict"] = lambda _: {"allowed": False, "status": {"message": "stay", "code": 403}}
    rule = {"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods", "pods/eviction"]}
    pods = "/api/v1/namespaces/default/pods"
    await server.ask("POST", pods, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
    await configure("Validating", hooks.webhook("/evict", rules=[rule]))
    answer = await server.ask("POST", f"{pods}/p/eviction", {"metadata": {"name": "p"}})
    assert answer["message"] == 'admission webhook "evict.hooks.example.com" denied the request: stay'
    (asked,) = hooks.of("/evict")
    assert (asked["operation"], asked["subResource"], asked["kind"]["kind"]) == ("CREATE", "eviction", "Eviction")
    hooks.answers["/evict"] = lambda _: ALLOW
    assert (await server.send("POST", f"{pods}/p/eviction", {"metadata": {"name": "p"}})).status == 201
    assert [asked["operation"] for asked in hooks.of("/evict")] == ["CREATE", "CREATE"]
