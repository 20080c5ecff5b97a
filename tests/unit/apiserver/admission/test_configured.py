"""Plugins that a file configures: what they decide, and which files they refuse."""

from __future__ import annotations

import json

import pytest

from pybernetes.apiserver.admission import (
    image_policy_webhook,
    pod_security_configuration,
    pod_toleration_restriction,
    quota_limits,
)
from pybernetes.apiserver.admission.configuration import read
from pybernetes.apiserver.admission.event_rate_limit import EventRateLimit, parse
from pybernetes.apiserver.admission.interface import AdmissionRequest, Operation
from pybernetes.apiserver.attributes import User
from pybernetes.apiserver.kubeconfig_webhook import WebhookFailed
from pybernetes.machinery import errors
from pybernetes.machinery.resources import (
    EVENTS,
    NAMESPACES,
    PODS,
    PRIORITY_CLASSES,
    RESOURCE_QUOTAS,
    RUNTIME_CLASSES,
    SECRETS,
    SERVICE_ACCOUNTS,
)

HEAD = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n"


def with_plugin(name, document):
    return pytest.mark.parametrize(("enabled", "documents"), [((name,), {name: document} if document else {})])


# The file


def test_a_plugins_document_is_in_the_file_or_beside_it(tmp_path):
    (tmp_path / "beside.yaml").write_text("{a: 1}")
    file = tmp_path / "admission.yaml"
    plugins = "- {name: One, path: beside.yaml}\n- name: Two\n  configuration: {b: 2}\n- {name: Three}\n- {name: One, path: no}"
    file.write_text(f"{HEAD}{plugins}\nunknown: field\n")
    assert read(str(file)) == {"One": {"a": 1}, "Two": {"b": 2}}
    file.write_text(HEAD + "- {name: One, path: gone}")
    with pytest.raises(ValueError, match=r"Couldn't open admission plugin configuration .*/gone: open .*: no such file"):
        read(str(file))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("kind: AdmissionConfiguration", "Object 'apiVersion' is missing in"),
        ("{kind: Other, apiVersion: v1}", 'no kind "Other" is registered for version "v1"'),
        ("{kind: AdmissionConfiguration, apiVersion: v2}", 'no kind "AdmissionConfiguration" is registered for version "v2"'),
        ("[]", "json: cannot unmarshal array"),
        (HEAD + "  x: y", "plugins is not a list of mappings"),
        (HEAD + "- {name: A, configuration: 5}", "the configuration of A is not a mapping"),
    ],
)
def test_files_that_are_none_are_refused(tmp_path, text, problem):
    (tmp_path / "f").write_text(text)
    with pytest.raises(ValueError, match=problem):
        read(str(tmp_path / "f"))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match=r'unable to read admission control configuration from ".*/f" \[open .*: no such file'):
        read(str(tmp_path / "f"))


def test_files_of_before_there_was_a_kind_are_the_plugins_own(tmp_path):
    (tmp_path / "f").write_text("podNodeSelectorPluginConfig: {ns: a=b}")
    assert read(str(tmp_path / "f")) == {"PodNodeSelector": {"podNodeSelectorPluginConfig": {"ns": "a=b"}}}


# EventRateLimit

RATE = {"kind": "Configuration", "apiVersion": "eventratelimit.admission.k8s.io/v1alpha1"}


def event(namespace="ns", user="joe", name="p", dry_run=False):
    involved = {"kind": "Pod", "namespace": namespace, "name": name}
    obj = {"metadata": {"name": "e", "namespace": namespace}, "source": {"component": "c"}, "involvedObject": involved}
    return AdmissionRequest(Operation.CREATE, EVENTS, "", namespace, "e", User(user), obj, None, dry_run=dry_run)


async def refused(plugin, request):
    try:
        await plugin.validate(request)
    except errors.TooManyRequests as error:
        return error.message
    return ""


@pytest.mark.parametrize(
    ("type_", "other", "key"),
    [
        ("Server", None, ""),
        ("Namespace", event(namespace="b"), "ns"),
        ("User", event(user="ann"), "joe"),
        ("SourceAndObject", event(name="q"), "cPodnsp"),
    ],
)
async def test_each_limit_has_a_bucket_per_key_that_fills_again(clock, type_, other, key):
    plugin = EventRateLimit(parse({**RATE, "limits": [{"type": type_, "qps": 1, "burst": 2}]}), clock)
    full = f"Too many requests: limit reached on type {type_} for key {key}"
    assert [await refused(plugin, event()) for _ in range(3)] == ["", "", full]
    assert await refused(plugin, event(dry_run=True)) == ""
    if other is not None:
        assert await refused(plugin, other) == ""
    clock.advance(1)
    assert [await refused(plugin, event()) for _ in range(2)] == ["", full]


async def test_a_bucket_that_is_pushed_out_is_full_when_it_comes_again(clock):
    limits = [{"type": "User", "qps": 1, "burst": 1, "cacheSize": 1}]
    plugin = EventRateLimit(parse({**RATE, "limits": limits}), clock)
    assert [await refused(plugin, event(user=name)) for name in ("a", "b", "a")] == ["", "", ""]


def test_limits_that_limit_nothing_are_refused():
    with pytest.raises(ValueError) as problem:
        parse({**RATE, "limits": [{"type": "Nope", "qps": 0, "burst": 1, "cacheSize": -1}]})
    assert str(problem.value) == (
        '[limits[0].type: Unsupported value: "Nope": supported values: "Namespace", "Server", "SourceAndObject", "User", '
        "limits[0].qps: Invalid value: 0: must be positive, limits[0].cacheSize: Invalid value: -1: must not be negative]"
    )
    for document in (None, RATE):
        with pytest.raises(ValueError, match="must not be empty"):
            parse(document)


# PodNodeSelector

SELECTORS = {"podNodeSelectorPluginConfig": {"clusterDefaultNodeSelector": "disk=ssd", "strict": "disk=ssd,zone=a"}}


@pytest.fixture
def namespace(cluster):
    def put(name="ns", **annotations):
        shown = {f"scheduler.alpha.kubernetes.io/{key.replace('_', '-')}": text for key, text in annotations.items()}
        cluster.put(NAMESPACES, {"metadata": {"name": name, "annotations": shown}, "status": {"phase": "Active"}})

    return put


@with_plugin("PodNodeSelector", SELECTORS)
async def test_a_namespaces_selector_is_its_pods_and_the_files_where_it_has_none(write, pod, namespace):
    assert (await write(PODS, pod({}, nodeSelector={"a": "b"}))).object["spec"]["nodeSelector"] == {"disk": "ssd", "a": "b"}
    namespace(node_selector="env=test")
    assert (await write(PODS, pod({}))).object["spec"]["nodeSelector"] == {"env": "test"}
    with pytest.raises(errors.Forbidden) as conflict:
        await write(PODS, pod({}, nodeSelector={"env": "prod"}))
    assert conflict.value.message == (
        'pods "p" is forbidden: pod node label selector conflicts with its namespace node label selector'
    )
    await write(PODS, pod({}, nodeSelector={"env": "prod"}), pod({}, nodeSelector={"env": "prod"}))


@pytest.mark.parametrize(
    ("enabled", "documents"),
    [(("PodNodeSelector",), {"PodNodeSelector": {"podNodeSelectorPluginConfig": {"ns": "disk=ssd,zone=a"}}})],
)
async def test_what_pods_may_select_at_all_is_limited_by_the_file(write, pod):
    await write(PODS, pod({}, nodeSelector={"zone": "a"}))
    with pytest.raises(errors.Forbidden, match="pod node label selector labels conflict with its namespace whitelist"):
        await write(PODS, pod({}, nodeSelector={"zone": "b"}))


@with_plugin("PodNodeSelector", None)
async def test_without_a_file_nothing_is_added_and_nonsense_is_an_error(write, pod, namespace):
    assert "nodeSelector" not in (await write(PODS, pod({}))).object["spec"]
    namespace(node_selector="env")
    with pytest.raises(errors.StatusError) as wrong:
        await write(PODS, pod({}))
    assert (wrong.value.message, wrong.value.code) == ("invalid selector: [env]", 500)


# PodTolerationRestriction

DOCUMENT = {
    "kind": "Configuration", "apiVersion": "podtolerationrestriction.admission.k8s.io/v1alpha1",
    "default": [{"key": "d", "operator": "Exists", "effect": "NoSchedule"}],
    "whitelist": [{"key": "d", "operator": "Exists"}, {"key": "node.kubernetes.io/memory-pressure", "operator": "Exists"},
                  {"operator": "Exists", "effect": "NoExecute"}],
}  # fmt: skip
MINE = {"key": "m", "operator": "Equal", "value": "1", "effect": "NoSchedule"}
CONFLICT = "pod tolerations (possibly merged with namespace default tolerations) conflict with its namespace whitelist"


def scheduling(request):
    return [found for found in request.object["spec"]["tolerations"] if found.get("effect") != "NoExecute"]


@with_plugin("PodTolerationRestriction", DOCUMENT)
async def test_a_namespaces_tolerations_are_its_pods_and_the_files_where_it_has_none(write, pod, namespace):
    assert scheduling(await write(PODS, pod({}))) == DOCUMENT["default"]
    with pytest.raises(errors.StatusError) as refused:
        await write(PODS, pod({}, tolerations=[MINE]))
    assert (refused.value.message, refused.value.code, refused.value.reason) == (CONFLICT, 500, "")
    namespace(defaultTolerations="", tolerationsWhitelist=json.dumps([MINE, {"operator": "Exists", "effect": "NoExecute"}]))
    assert scheduling(await write(PODS, pod({}, tolerations=[MINE]))) == [MINE]
    namespace(defaultTolerations=json.dumps([MINE]), tolerationsWhitelist="")
    assert scheduling(await write(PODS, pod({}, tolerations=[{"key": "x", "operator": "Exists"}]))) == [
        {"key": "x", "operator": "Exists"}, MINE,
    ]  # fmt: skip


@with_plugin("PodTolerationRestriction", None)
async def test_a_pod_with_requests_tolerates_nodes_short_of_memory(write, pod):
    asking = pod({"resources": {"requests": {"memory": "1Mi"}}})
    assert scheduling(await write(PODS, asking)) == [
        {"key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule"}
    ]
    assert scheduling(await write(PODS, pod({}))) == []


@pytest.mark.parametrize(
    ("wide", "narrow", "covered"),
    [
        ({"operator": "Exists"}, MINE, True),
        ({"key": "m", "operator": "Exists"}, MINE, True),
        ({"key": "m", "operator": "Exists", "effect": "NoExecute"}, MINE, False),
        ({"key": "m", "value": "1"}, MINE, True),
        ({"key": "m", "value": "2"}, MINE, False),
        ({"key": "n", "operator": "Exists"}, MINE, False),
        ({"operator": "Equal", "value": "1"}, MINE, False),
        ({"key": "m", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5},
         {"key": "m", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 4}, True),
        ({"key": "m", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5},
         {"key": "m", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "m", "operator": "Nope"}, MINE, False),
    ],
)  # fmt: skip
def test_which_toleration_covers_which(wide, narrow, covered):
    assert pod_toleration_restriction.covers(wide, narrow) is covered


def test_merging_keeps_the_widest_in_order_and_of_equal_ones_the_first():
    everything = {"operator": "Exists"}
    other = {"key": "o", "operator": "Exists"}
    assert pod_toleration_restriction.merged([MINE, other, MINE, dict(other)]) == [MINE, other]
    assert pod_toleration_restriction.merged([MINE, everything, other]) == [everything]


# ImagePolicyWebhook


class Remote:
    def __init__(self):
        self.asked = []
        self.answer = {"allowed": True}

    async def post(self, review):
        self.asked.append(review)
        if isinstance(self.answer, Exception):
            raise self.answer
        return {**review, "status": self.answer}

    async def close(self):
        pass


@pytest.fixture
def reviewing(clock, pod):
    """Makes the plugin and what asks it about a pod; gives both and the webhook."""

    def make(**fields):
        document = {"imagePolicy": {"kubeConfigFile": "k", "allowTTL": 10, "denyTTL": 5, **fields}}
        remote = Remote()
        plugin = image_policy_webhook.ImagePolicyWebhook(image_policy_webhook.parse(document), remote, clock)

        async def review(obj=None, subresource="", operation=Operation.CREATE):
            request = AdmissionRequest(operation, PODS, subresource, "ns", "p", User("joe"), obj or pod({}), None)
            await plugin.validate(request)
            return request

        return review, remote

    return make


async def test_the_webhook_is_told_the_images_and_the_annotations_for_it(reviewing, pod):
    review, remote = reviewing()
    shown = {"a.image-policy.k8s.io/ticket": "1", "other": "2"}
    new = pod({}, {"image": "b"}, metadata={"annotations": shown}, initContainers=[{"image": "i"}])
    remote.answer = {"allowed": True, "auditAnnotations": {"key": "value"}}
    request = await review(new)
    [asked] = remote.asked
    assert (asked["kind"], asked["apiVersion"]) == ("ImageReview", "imagepolicy.k8s.io/v1alpha1")
    assert asked["spec"] == {
        "containers": [{"image": "img:1"}, {"image": "b"}, {"image": "i"}], "namespace": "ns",
        "annotations": {"a.image-policy.k8s.io/ticket": "1"},
    }  # fmt: skip
    assert request.audit_annotations == {"imagepolicywebhook.image-policy.k8s.io/key": "value"}
    new["spec"]["ephemeralContainers"] = [{"image": "debug"}]
    await review(new, "ephemeralcontainers", Operation.UPDATE)
    assert remote.asked[1]["spec"]["containers"] == [{"image": "debug"}]
    await review(new, "status", Operation.UPDATE)
    assert len(remote.asked) == 2


async def test_answers_are_kept_each_for_its_time(reviewing, clock):
    review, remote = reviewing()
    for _ in range(2):
        await review()
    assert len(remote.asked) == 1
    clock.advance(11)
    remote.answer = {"allowed": False, "reason": "unsigned"}
    for _ in range(2):
        with pytest.raises(errors.Forbidden) as denied:
            await review()
    assert denied.value.message == ('pods "p" is forbidden: image policy webhook backend denied one or more images: unsigned')
    assert len(remote.asked) == 2
    clock.advance(6)
    remote.answer = {}
    with pytest.raises(errors.Forbidden, match="one or more images rejected by webhook backend"):
        await review()


@pytest.mark.parametrize("ttl", [-1])
async def test_answers_that_are_not_to_be_kept_are_not(reviewing, ttl):
    review, remote = reviewing(allowTTL=ttl)
    for _ in range(2):
        await review()
    assert len(remote.asked) == 2


async def test_a_webhook_that_does_not_answer_is_a_refusal_unless_the_file_says_otherwise(reviewing):
    review, remote = reviewing()
    remote.answer = WebhookFailed("no route")
    with pytest.raises(errors.Forbidden, match='pods "p" is forbidden: no route'):
        await review()
    review, remote = reviewing(defaultAllow=True)
    remote.answer = WebhookFailed("no route")
    request = await review()
    assert request.object["metadata"]["annotations"] == {"alpha.image-policy.k8s.io/failed-open": "true"}
    assert request.audit_annotations == {"imagepolicywebhook.image-policy.k8s.io/failed-open": "true"}


def test_times_out_of_range_are_refused_and_the_rest_has_defaults():
    found = image_policy_webhook.parse({"imagePolicy": {"kubeConfigFile": "k"}})
    assert (found.allow_ttl_s, found.deny_ttl_s, found.retry_backoff_s, found.default_allow) == (300, 30, 0.5, False)
    with pytest.raises(ValueError, match="valid value is between 1s and 30m0s, got 1h0m0s"):
        image_policy_webhook.parse({"imagePolicy": {"allowTTL": 3600}})
    with pytest.raises(ValueError, match="there must be an imagePolicy"):
        image_policy_webhook.parse(None)


# ResourceQuota

LIMITED = {
    "kind": "ResourceQuotaConfiguration", "apiVersion": "apiserver.config.k8s.io/v1",
    "limitedResources": [
        {"resource": "pods", "matchContains": ["requests.memory", "gpu"]},
        {"resource": "pods", "matchScopes": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high", "top"]}]},
        {"resource": "secrets", "matchContains": ["secrets"]},
    ],
}  # fmt: skip


@pytest.fixture
def quota(cluster):
    def put(hard, **spec):
        used = dict.fromkeys(hard, "0")
        status = {"hard": hard, "used": used}
        cluster.put(RESOURCE_QUOTAS, {"metadata": {"name": "q", "namespace": "ns"}, "spec": spec, "status": status})

    return put


@with_plugin("ResourceQuota", LIMITED)
async def test_what_is_limited_takes_a_quota(write, pod, quota):
    asking = pod({"resources": {"requests": {"memory": "1Gi", "a.io/gpu": "1", "cpu": "1"}}})
    with pytest.raises(errors.Forbidden) as refused:
        await write(PODS, asking)
    assert refused.value.message == ('pods "p" is forbidden: insufficient quota to consume: requests.a.io/gpu,requests.memory')
    await write(PODS, pod({"resources": {"requests": {"cpu": "1"}}}))
    with pytest.raises(errors.Forbidden, match="insufficient quota to consume: count/secrets,secrets"):
        await write(SECRETS, {"metadata": {"name": "s", "namespace": "ns"}})
    await write(SECRETS, {"metadata": {"name": "s", "namespace": "ns"}}, {"metadata": {"name": "s", "namespace": "ns"}})
    quota({"requests.memory": "4Gi", "requests.a.io/gpu": "2"})
    await write(PODS, asking)


@with_plugin("ResourceQuota", LIMITED)
async def test_a_limited_priority_takes_a_quota_that_speaks_of_it(write, pod, quota, cluster):
    cluster.put(PRIORITY_CLASSES, {"metadata": {"name": "high"}, "value": 1000})
    quota({"pods": "5"})
    with pytest.raises(errors.StatusError) as refused:
        await write(PODS, pod({}, priorityClassName="high"))
    assert (refused.value.message, refused.value.code) == (
        "insufficient quota to match these scopes: [{PriorityClass In [high top]}]", 500,
    )  # fmt: skip
    selector = {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}
    quota({"pods": "5"}, scopeSelector=selector)
    await write(PODS, pod({}, priorityClassName="high"))
    await write(PODS, pod({}))


def test_a_limit_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"limitedResources\[0\]\.resource: Required value"):
        quota_limits.parse({**LIMITED, "limitedResources": [{}]})
    with pytest.raises(ValueError, match='no kind "Other" is registered for version'):
        quota_limits.parse({**LIMITED, "kind": "Other"})


# PodSecurity


POD_SECURITY = {
    "kind": "PodSecurityConfiguration", "apiVersion": "pod-security.admission.config.k8s.io/v1",
    "defaults": {"enforce": "baseline", "audit": "restricted", "audit-version": "v1.30"},
    "exemptions": {"usernames": ["ann"], "runtimeClasses": ["vm"], "namespaces": ["system"]},
}  # fmt: skip
PRIVILEGED = {"securityContext": {"privileged": True}}


@with_plugin("PodSecurity", POD_SECURITY)
async def test_namespaces_without_labels_are_held_to_the_defaults(write, pod, cluster):
    with pytest.raises(errors.Forbidden, match='violates PodSecurity "baseline:latest": privileged'):
        await write(PODS, pod(PRIVILEGED))
    request = await write(PODS, pod({}))
    assert (
        request.warnings == [] and request.audit_annotations["pod-security.kubernetes.io/enforce-policy"] == "baseline:latest"
    )
    said = request.audit_annotations["pod-security.kubernetes.io/audit-violations"]
    assert said.startswith('would violate PodSecurity "restricted:v1.30": allowPrivilegeEscalation')
    labels = {"pod-security.kubernetes.io/enforce": "privileged"}
    cluster.put(NAMESPACES, {"metadata": {"name": "ns", "labels": labels}, "status": {"phase": "Active"}})
    await write(PODS, pod(PRIVILEGED))


@with_plugin("PodSecurity", POD_SECURITY)
async def test_users_runtime_classes_and_namespaces_may_be_exempt(write, pod, cluster):
    exempt = "pod-security.kubernetes.io/exempt"
    ann = User("ann", groups=("system:authenticated",))
    assert (await write(PODS, pod(PRIVILEGED), user=ann)).audit_annotations[exempt] == "user"
    cluster.put(RUNTIME_CLASSES, {"metadata": {"name": "vm"}, "handler": "h"})
    assert (await write(PODS, pod(PRIVILEGED, runtimeClassName="vm"))).audit_annotations[exempt] == "runtimeClass"
    cluster.put(NAMESPACES, {"metadata": {"name": "system"}, "status": {"phase": "Active"}})
    cluster.put(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": "system"}})
    there = pod(PRIVILEGED, metadata={"namespace": "system"})
    assert (await write(PODS, there)).audit_annotations[exempt] == "namespace"


def test_what_pod_security_cannot_be_told():
    document = {
        **POD_SECURITY, "defaults": {"enforce": "strict", "warn-version": "1.2"},
        "exemptions": {"namespaces": ["a", "a", "B"], "usernames": [""]},
    }  # fmt: skip
    with pytest.raises(ValueError) as problem:
        pod_security_configuration.of(document)
    for part in (
        'defaults.enforce: Invalid value: "strict": must be one of privileged, baseline, restricted',
        'defaults.warn-version: Invalid value: "1.2": must be "latest" or "v1.x"',
        'exemptions.namespaces[1]: Duplicate value: "a"', 'exemptions.namespaces[2]: Invalid value: "B"',
        "exemptions.usernames[0]: Required value",
    ):  # fmt: skip
        assert part in str(problem.value)
    with pytest.raises(ValueError, match='no kind "PodSecurityConfiguration" is registered for version "v1"'):
        pod_security_configuration.of({**POD_SECURITY, "apiVersion": "v1"})
