"""Admission plugins that are off by default, turned on by flags."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import orjson
import pytest

from pybernetes.client import kubeconfig
from pybernetes.machinery.http.messages import Response
from tests.component.apiserver.processes.conftest import JOE

NAMESPACES, DEFAULT = "/api/v1/namespaces", "/api/v1/namespaces/default"
HEAD = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n"


def pod(name: str = "p", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "img:1"}], **spec}}


async def account(server: Any, namespace: str = "default") -> None:
    await server.ask("POST", f"{NAMESPACES}/{namespace}/serviceaccounts", {"metadata": {"name": "default"}})


async def grant(server: Any, *rules: dict[str, Any]) -> None:
    """To joe, everywhere."""
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    await server.ask("POST", f"{rbac}/clusterroles", {"metadata": {"name": "r"}, "rules": list(rules)})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "r"}
    subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "joe"}]
    binding = {"metadata": {"name": "b"}, "roleRef": reference, "subjects": subjects}
    assert (await server.send("POST", f"{rbac}/clusterrolebindings", binding))[0] == 201


async def test_plugins_without_configuration(start):
    server = await start(
        "--enable-admission-plugins",
        "AlwaysAdmit,AlwaysPullImages,DenyServiceExternalIPs,ExtendedResourceToleration,LimitPodHardAntiAffinityTopology,"
        "NamespaceAutoProvision,NamespaceExists,OwnerReferencesPermissionEnforcement,ClusterTrustBundleAttest",
    )
    await account(server)
    made = await server.ask("POST", f"{DEFAULT}/pods", pod(
        containers=[{"name": "c", "image": "img:1", "resources": {"limits": {"example.com/gpu": "1"}}}]
    ))  # fmt: skip
    assert made["spec"]["containers"][0]["imagePullPolicy"] == "Always"
    assert {"key": "example.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in made["spec"]["tolerations"]

    service = {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}], "externalIPs": ["10.1.1.1"]}}
    status, _ = await server.send("POST", f"{DEFAULT}/services", service)
    assert status == 403

    term = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}}
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    refused = await server.ask("POST", f"{DEFAULT}/pods", pod("q", affinity=affinity))
    assert "has TopologyKey zone but only key kubernetes.io/hostname is allowed" in refused["message"]

    status, _ = await server.send("POST", f"{NAMESPACES}/fresh/configmaps", {"metadata": {"name": "m"}})
    assert status == 201
    assert (await server.ask("GET", f"{NAMESPACES}/fresh"))["status"] == {"phase": "Active"}
    status, _ = await server.send("POST", f"{NAMESPACES}/other/configmaps?dryRun=All", {"metadata": {"name": "m"}})
    assert status == 404

    await grant(server, {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "delete"]})
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": made["metadata"]["uid"]}
    held = {"metadata": {"name": "held", "ownerReferences": [{**owner, "blockOwnerDeletion": True}]}}
    refused = await server.ask("POST", f"{DEFAULT}/configmaps", held, token=JOE)
    assert "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set" in refused["message"]
    free = {"metadata": {"name": "free", "ownerReferences": [owner]}}
    assert (await server.send("POST", f"{DEFAULT}/configmaps", free, token=JOE))[0] == 201


async def test_always_deny(start):
    server = await start("--enable-admission-plugins=AlwaysDeny")
    refused = await server.ask("POST", f"{DEFAULT}/configmaps", {"metadata": {"name": "m"}})
    assert (refused["code"], refused["message"]) == (
        403, 'configmaps "m" is forbidden: admission control is denying all modifications',
    )  # fmt: skip


async def test_plugins_that_a_file_configures(start, reviewer, tmp_path: Path):
    reviewer.answer = lambda review: (
        {"allowed": False, "reason": "unsigned"} if "bad" in str(review["spec"]) else {"allowed": True}
    )
    (tmp_path / "limits.yaml").write_text(
        "apiVersion: eventratelimit.admission.k8s.io/v1alpha1\nkind: Configuration\n"
        "limits: [{type: Namespace, qps: 1, burst: 2, cacheSize: 10}]\n"
    )
    (tmp_path / "admission.yaml").write_text(
        HEAD + "- {name: EventRateLimit, path: limits.yaml}\n"
        f"- name: ImagePolicyWebhook\n  configuration: {{imagePolicy: {{kubeConfigFile: {reviewer.kubeconfig}}}}}\n"
        "- name: PodNodeSelector\n  configuration: {podNodeSelectorPluginConfig: {clusterDefaultNodeSelector: disk=ssd}}\n"
        "- name: PodTolerationRestriction\n  configuration:\n"
        "    apiVersion: podtolerationrestriction.admission.k8s.io/v1alpha1\n    kind: Configuration\n"
        "    default: [{key: dedicated, operator: Exists}]\n"
    )
    server = await start(
        "--enable-admission-plugins=EventRateLimit,ImagePolicyWebhook,PodNodeSelector,PodTolerationRestriction",
        f"--admission-control-config-file={tmp_path / 'admission.yaml'}",
    )
    await account(server)
    made = await server.ask("POST", f"{DEFAULT}/pods", pod())
    assert made["spec"]["nodeSelector"] == {"disk": "ssd"}
    assert {"key": "dedicated", "operator": "Exists"} in made["spec"]["tolerations"]
    refused = await server.ask("POST", f"{DEFAULT}/pods", pod("q", containers=[{"name": "c", "image": "bad"}]))
    assert refused["message"] == 'pods "q" is forbidden: image policy webhook backend denied one or more images: unsigned'
    [asked, _] = reviewer.asked
    assert asked["spec"] == {"containers": [{"image": "img:1"}], "namespace": "default"}

    event = {"involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"}, "reason": "R", "type": "Normal"}
    answers = [
        await server.send("POST", f"{DEFAULT}/events", {**event, "metadata": {"name": f"e{number}"}}) for number in range(3)
    ]
    assert [status for status, _ in answers] == [201, 201, 429]
    assert b"limit reached on type Namespace for key default" in answers[2][1]


async def test_a_priority_that_takes_a_quota(start, tmp_path: Path):
    (tmp_path / "admission.yaml").write_text(
        HEAD + "- name: ResourceQuota\n  configuration:\n    apiVersion: apiserver.config.k8s.io/v1\n"
        "    kind: ResourceQuotaConfiguration\n    limitedResources:\n    - resource: pods\n"
        "      matchScopes: [{scopeName: PriorityClass, operator: In, values: [system-node-critical]}]\n"
    )
    server = await start(f"--admission-control-config-file={tmp_path / 'admission.yaml'}")
    await account(server)
    refused = await server.ask("POST", f"{DEFAULT}/pods", pod(priorityClassName="system-node-critical"))
    assert refused["message"] == "insufficient quota to match these scopes: [{PriorityClass In [system-node-critical]}]"
    assert (await server.send("POST", f"{DEFAULT}/pods", pod("q")))[0] == 201


async def test_pod_security_by_default_and_whom_it_exempts(start, tmp_path: Path):
    (tmp_path / "admission.yaml").write_text(
        HEAD + "- name: PodSecurity\n  configuration:\n    apiVersion: pod-security.admission.config.k8s.io/v1\n"
        "    kind: PodSecurityConfiguration\n    defaults: {enforce: baseline}\n    exemptions: {namespaces: [kube-system]}\n"
    )
    server = await start(f"--admission-control-config-file={tmp_path / 'admission.yaml'}")
    await account(server)
    await account(server, "kube-system")
    refused = await server.ask("POST", f"{DEFAULT}/pods", pod(hostNetwork=True))
    assert 'violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)' in refused["message"]
    assert (await server.send("POST", f"{NAMESPACES}/kube-system/pods", pod(hostNetwork=True)))[0] == 201


@pytest.mark.parametrize("phase", ["Validating", "Mutating"])
async def test_webhooks_are_shown_the_credentials_that_the_file_has_for_them(start, reviewer, tmp_path: Path, phase: str):
    reviewer.answer = lambda review: Response(
        200, {"Content-Type": "application/json"},
        orjson.dumps({**review, "response": {"uid": review["request"]["uid"], "allowed": True}}),
    )  # fmt: skip
    port = reviewer.http.port
    certificate = {"client-certificate": "client.crt", "client-key": "client.key"}
    users = [{"name": f"127.0.0.1:{port}", "user": {**certificate, "token": "s3cret"}}, {"name": "*", "user": {"token": "no"}}]
    kubeconfig.write(tmp_path / "users.kubeconfig", {"kind": "Config", "apiVersion": "v1", "users": users})
    (tmp_path / "admission.yaml").write_text(
        HEAD + f"- name: {phase}AdmissionWebhook\n  configuration:\n    apiVersion: apiserver.config.k8s.io/v1\n"
        f"    kind: WebhookAdmissionConfiguration\n    kubeConfigFile: {tmp_path / 'users.kubeconfig'}\n"
    )
    server = await start(f"--admission-control-config-file={tmp_path / 'admission.yaml'}")
    rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
    authority = base64.b64encode((tmp_path / "reviewer-ca.crt").read_bytes()).decode()
    hook = {
        "name": "a.example.com", "clientConfig": {"url": f"https://127.0.0.1:{port}/hook", "caBundle": authority},
        "rules": [rule], "admissionReviewVersions": ["v1"], "sideEffects": "None",
    }  # fmt: skip
    path = f"/apis/admissionregistration.k8s.io/v1/{phase.lower()}webhookconfigurations"
    assert (await server.send("POST", path, {"metadata": {"name": "h"}, "webhooks": [hook]}))[0] == 201
    assert (await server.send("POST", f"{DEFAULT}/configmaps", {"metadata": {"name": "m"}}))[0] == 201
    [asked] = reviewer.requests
    assert asked.headers["authorization"] == "Bearer s3cret"
    assert reviewer.certificates[0] is not None


@pytest.mark.parametrize(
    ("flag", "problem"),
    [
        ("--enable-admission-plugins=Nope", 'enable-admission-plugins plugin "Nope" is unknown'),
        (
            "--enable-admission-plugins=EventRateLimit",
            'init admission plugin "EventRateLimit": limits: Invalid value',
        ),
        ("--admission-control-config-file=/nowhere/f", 'unable to read admission control configuration from "/nowhere/f"'),
    ],
)
async def test_a_server_that_cannot_do_what_its_flags_say_does_not_start(start, flag, problem):
    with pytest.raises(RuntimeError) as ended:
        await start(flag)
    assert problem in str(ended.value) and "Traceback" not in str(ended.value)
