"""Plugins that are off by default: none is there unless it is asked for, and what each decides."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pybernetes.apiserver.admission import build
from pybernetes.apiserver.admission.chain import OFF_BY_DEFAULT, PLUGINS
from pybernetes.apiserver.admission.interface import Operation
from pybernetes.machinery import errors
from pybernetes.machinery.resources import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CONFIG_MAPS,
    DEPLOYMENTS,
    NAMESPACES,
    PODS,
    SERVICE_ACCOUNTS,
    SERVICES,
)


def enabling(*names):
    return pytest.mark.parametrize("enabled", [names], ids=[",".join(names)])


def tolerations_of(request):
    """Without those that every pod has."""
    return [found for found in request.object["spec"]["tolerations"] if found.get("effect") != "NoExecute"]


def test_what_is_off_is_not_in_the_chain_and_what_is_on_is_in_upstreams_place(chain, cluster, clock, entropy):
    assert not OFF_BY_DEFAULT & {plugin.name for plugin in chain.plugins}
    simple = OFF_BY_DEFAULT - {"EventRateLimit", "ImagePolicyWebhook"}  # these are nothing without configuration
    every = build(cluster, cluster, authorizer=None, clock=clock, entropy=entropy, enable=sorted(simple))
    names = [plugin.name for plugin in every.plugins]
    assert simple <= set(names) and names == [name for name in PLUGINS if name in names]
    assert names[:4] == ["AlwaysAdmit", "NamespaceAutoProvision", "NamespaceLifecycle", "NamespaceExists"]
    assert names[-2:] == ["ResourceQuota", "AlwaysDeny"]


def test_no_module_of_theirs_is_loaded_before_it_is_asked_for():
    shown = "import sys, pybernetes.apiserver.app; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True).stdout.split()
    folder = "pybernetes.apiserver.admission."
    assert folder + "optional" in loaded
    for name in (
        "always",
        "always_pull_images",
        "event_rate_limit",
        "image_policy_webhook",
        "pod_node_selector",
        "configuration",
    ):
        assert folder + name not in loaded


def test_a_plugin_is_either_on_or_off(cluster, clock, entropy):
    with pytest.raises(ValueError) as refused:
        build(
            cluster, cluster, authorizer=None, clock=clock, entropy=entropy,
            enable=["AlwaysAdmit", "Nope"], disable=["AlwaysAdmit", "Neither"],
        )  # fmt: skip
    assert str(refused.value) == (
        '[enable-admission-plugins plugin "Nope" is unknown, disable-admission-plugins plugin "Neither" is unknown, '
        "[AlwaysAdmit] in enable-admission-plugins and disable-admission-plugins overlapped]"
    )


@enabling("AlwaysAdmit", "AlwaysDeny")
async def test_always_deny_denies_what_always_admit_admitted(write):
    with pytest.raises(errors.Forbidden) as refused:
        await write(CONFIG_MAPS, {"metadata": {"name": "c", "namespace": "ns"}})
    assert refused.value.message == 'configmaps "c" is forbidden: admission control is denying all modifications'


@enabling("AlwaysPullImages")
async def test_every_image_of_a_new_pod_is_pulled_always(write, pod):
    volumes = [{"name": "v", "image": {"reference": "r"}}, {"name": "e", "emptyDir": {}}]
    new = pod({"imagePullPolicy": "Never"}, initContainers=[{"name": "i", "image": "init", "resources": {}}], volumes=volumes)
    spec = (await write(PODS, new)).object["spec"]
    assert spec["containers"][0]["imagePullPolicy"] == spec["initContainers"][0]["imagePullPolicy"] == "Always"
    assert spec["volumes"][0]["image"]["pullPolicy"] == "Always"


@enabling("AlwaysPullImages")
async def test_a_pod_from_before_stays_as_it_is_until_it_gets_another_image(write, pod):
    old = pod({"imagePullPolicy": "Never"})
    same = pod({"imagePullPolicy": "Never"}, metadata={"labels": {"a": "b"}})
    assert (await write(PODS, same, old)).object["spec"]["containers"][0]["imagePullPolicy"] == "Never"
    other = pod({"imagePullPolicy": "Never", "image": "img:2"})
    assert (await write(PODS, other, old)).object["spec"]["containers"][0]["imagePullPolicy"] == "Always"


@enabling("AlwaysPullImages")
async def test_who_changes_the_pull_policy_afterwards_is_refused(chain, write, pod):
    request = await write(PODS, pod({}))
    request.object["spec"]["containers"][0]["imagePullPolicy"] = "IfNotPresent"
    with pytest.raises(errors.Forbidden) as refused:
        await chain.validate(request)
    assert refused.value.message == (
        'pods "p" is forbidden: spec.containers[0].imagePullPolicy: Unsupported value: "IfNotPresent": '
        'supported values: "Always"'
    )


@enabling("DenyServiceExternalIPs")
async def test_a_service_takes_no_further_external_address(write):
    def service(*addresses):
        return {"metadata": {"name": "s", "namespace": "ns"}, "spec": {"externalIPs": list(addresses)}}

    await write(SERVICES, service())
    await write(SERVICES, service("10.0.0.1"), service("10.0.0.2", "10.0.0.1"))
    for new, old in ((service("10.0.0.1"), None), (service("10.0.0.1", "10.0.0.3"), service("10.0.0.1"))):
        with pytest.raises(errors.Forbidden) as refused:
            await write(SERVICES, new, old)
        assert refused.value.message == 'services "s" is forbidden: Use of external IPs is denied by admission control'


@enabling("LimitPodHardAntiAffinityTopology")
async def test_a_pod_keeps_others_off_its_node_but_not_off_its_zone(write, pod):
    def apart(key):
        term = {"topologyKey": key, "labelSelector": {}}
        return pod({}, affinity={"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}})

    await write(PODS, apart("kubernetes.io/hostname"))
    with pytest.raises(errors.Forbidden) as refused:
        await write(PODS, apart("zone"))
    assert refused.value.message == (
        'pods "p" is forbidden: affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey zone but only key '
        "kubernetes.io/hostname is allowed"
    )


@enabling("NamespaceAutoProvision")
async def test_a_namespace_comes_with_the_first_object_in_it(write, cluster):
    there = {"metadata": {"name": "c", "namespace": "new"}}
    with pytest.raises(errors.NotFound):
        await write(CONFIG_MAPS, there, dry_run=True)
    await write(CONFIG_MAPS, there)
    made = cluster.get(NAMESPACES, "", "new")
    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": "new"}
    assert made["spec"] == {"finalizers": ["kubernetes"]} and made["status"] == {"phase": "Active"}
    await write(CONFIG_MAPS, there)
    with pytest.raises(errors.Forbidden, match="a lowercase RFC 1123 label"):
        await write(CONFIG_MAPS, {"metadata": {"name": "c", "namespace": "No"}})


@enabling("NamespaceExists")
async def test_nothing_is_written_where_there_is_no_namespace(chain, write, cluster):
    there = {"metadata": {"name": "c", "namespace": "ns"}}
    request = await write(CONFIG_MAPS, there)
    await cluster.delete(NAMESPACES, "", "ns")
    with pytest.raises(errors.NotFound):
        await chain.validate(request)
    with pytest.raises(errors.NotFound):
        await write(CONFIG_MAPS, None, there, operation=Operation.DELETE)
    await write(NAMESPACES, {"metadata": {"name": "other"}})


@enabling("ExtendedResourceToleration")
async def test_a_pod_tolerates_the_taints_of_the_devices_it_asks_for(write, pod):
    def asking(**requests):
        return {"resources": {"requests": {name.replace("__", "/"): "1" for name in requests}}}

    timed = {"key": "a.io/gpu", "operator": "Exists", "effect": "NoSchedule", "tolerationSeconds": 5}
    new = pod({"resources": {"requests": {"z.io/nic": "1", "cpu": "1"}}}, tolerations=[timed])
    new["spec"]["initContainers"] = [{"name": "i", "image": "i", "resources": {"requests": {"a.io/gpu": "1"}}}]
    assert tolerations_of(await write(PODS, new)) == [
        {"key": "a.io/gpu", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "z.io/nic", "operator": "Exists", "effect": "NoSchedule"},
    ]
    assert tolerations_of(await write(PODS, pod({"resources": {"requests": {"cpu": "1"}}}))) == []


# OwnerReferencesPermissionEnforcement


def owned(**reference):
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": "u", **reference}
    return {"metadata": {"name": "c", "namespace": "ns", "ownerReferences": [owner]}}


@pytest.fixture
def allow(cluster):
    def put(name, group, resource, verb):
        rule = {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
        cluster.put(CLUSTER_ROLES, {"metadata": {"name": name}, "rules": [rule]})
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
        subjects = [{"kind": "User", "name": "joe"}]
        cluster.put(CLUSTER_ROLE_BINDINGS, {"metadata": {"name": name}, "roleRef": reference, "subjects": subjects})

    return put


@enabling("OwnerReferencesPermissionEnforcement")
async def test_who_gives_an_object_an_owner_must_be_allowed_to_delete_it(write, allow):
    plain = {"metadata": {"name": "c", "namespace": "ns"}}
    await write(CONFIG_MAPS, plain)
    await write(CONFIG_MAPS, owned(), owned())
    for old in (None, plain):
        with pytest.raises(errors.Forbidden) as refused:
            await write(CONFIG_MAPS, owned(), old)
        assert refused.value.message == (
            'configmaps "c" is forbidden: cannot set an ownerRef on a resource you can\'t delete: , <nil>'
        )
    allow("deleter", "", "configmaps", "delete")
    await write(CONFIG_MAPS, owned())


@enabling("OwnerReferencesPermissionEnforcement")
async def test_who_holds_up_an_owners_deletion_must_be_allowed_to_set_its_finalizers(write, allow):
    allow("deleter", "", "configmaps", "delete")
    await write(CONFIG_MAPS, owned(name="e", blockOwnerDeletion=True), owned(blockOwnerDeletion=True))
    for old in (None, owned()):
        with pytest.raises(errors.Forbidden) as refused:
            await write(CONFIG_MAPS, owned(blockOwnerDeletion=True), old)
        assert refused.value.message == (
            'configmaps "c" is forbidden: cannot set blockOwnerDeletion if an ownerReference refers to a resource you can\'t '
            "set finalizers on: , <nil>"
        )
    with pytest.raises(errors.Forbidden) as refused:
        await write(CONFIG_MAPS, owned(blockOwnerDeletion=True, kind="Thing"))
    assert refused.value.message.endswith(
        'cannot find RESTMapping for APIVersion apps/v1 Kind Thing: no matches for kind "Thing" in version "apps/v1"'
    )
    allow("finalizer", DEPLOYMENTS.group, "deployments/finalizers", "update")
    await write(CONFIG_MAPS, owned(blockOwnerDeletion=True))


@enabling("OwnerReferencesPermissionEnforcement")
async def test_the_status_of_pods_is_not_looked_at(write, pod):
    await write(PODS, pod({}, metadata=owned()["metadata"]), pod({}), subresource="status")


@pytest.fixture(autouse=True)
def default_account(cluster):
    cluster.put(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": "ns"}})
