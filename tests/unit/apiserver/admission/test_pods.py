"""What becomes of a pod on its way in: account, priority, tolerations, runtime, topology."""

import pytest

from pybernetes.machinery import errors
from pybernetes.machinery.resources import (
    NODES,
    PODS,
    PRIORITY_CLASSES,
    RUNTIME_CLASSES,
    SERVICE_ACCOUNTS,
)

MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


async def test_a_plain_pod_gets_all_that_upstream_gives_it(write, pod):
    spec = (await write(PODS, pod())).object["spec"]
    volume = spec["volumes"][0]["name"]
    assert volume.startswith("kube-api-access-")
    assert len(volume) == len("kube-api-access-") + 5
    namespace = {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}, "path": "namespace"}
    not_ready = {"effect": "NoExecute", "key": "node.kubernetes.io/not-ready", "operator": "Exists", "tolerationSeconds": 300}
    assert spec == {
        "containers": [{
            "name": "c", "image": "img:1", "resources": {},
            "volumeMounts": [{"mountPath": MOUNT, "name": volume, "readOnly": True}],
        }],
        "volumes": [{"name": volume, "projected": {"defaultMode": 420, "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"items": [{"key": "ca.crt", "path": "ca.crt"}], "name": "kube-root-ca.crt"}},
            {"downwardAPI": {"items": [namespace]}},
        ]}}],
        "serviceAccountName": "default", "serviceAccount": "default",
        "priority": 0, "preemptionPolicy": "PreemptLowerPriority",
        "tolerations": [not_ready, {**not_ready, "key": "node.kubernetes.io/unreachable"}],
    }  # fmt: skip


@pytest.mark.parametrize(("of_account", "of_pod", "mounted"), [(None, None, True), (False, None, False), (False, True, True),
                                                             (True, False, False)])  # fmt: skip
async def test_the_pods_word_on_its_token_goes_before_the_accounts(write, pod, cluster, of_account, of_pod, mounted):
    account = {"metadata": {"name": "a", "namespace": "ns"}, "imagePullSecrets": [{"name": "ps"}]}
    if of_account is not None:
        account["automountServiceAccountToken"] = of_account
    cluster.put(SERVICE_ACCOUNTS, account)
    own = {} if of_pod is None else {"automountServiceAccountToken": of_pod}
    spec = (await write(PODS, pod(serviceAccountName="a", **own))).object["spec"]
    assert ("volumes" in spec) is mounted
    assert spec["imagePullSecrets"] == [{"name": "ps"}]
    assert spec["serviceAccount"] == "a"


async def test_a_mount_of_ones_own_at_the_place_is_left_alone(write, pod):
    mount = {"mountPath": MOUNT, "name": "v"}
    spec = (await write(PODS, pod({"volumeMounts": [mount]}, volumes=[{"emptyDir": {}, "name": "v"}]))).object["spec"]
    assert spec["volumes"] == [{"emptyDir": {}, "name": "v"}]
    assert spec["containers"][0]["volumeMounts"] == [mount]


async def test_a_pod_of_no_account_is_refused(write, pod):
    with pytest.raises(errors.Forbidden) as refused:
        await write(PODS, pod(serviceAccountName="nope"))
    assert refused.value.message == (
        'pods "p" is forbidden: error looking up service account ns/nope: serviceaccount "nope" not found'
    )


async def test_a_new_namespaces_default_account_is_waited_for(write, pod, cluster, clock):
    account = cluster.get(SERVICE_ACCOUNTS, "ns", "default")
    await cluster.delete(SERVICE_ACCOUNTS, "ns", "default")
    slept = clock.sleep

    async def sleep(delay_s):
        await slept(delay_s)
        cluster.put(SERVICE_ACCOUNTS, account)

    clock.sleep = sleep
    assert (await write(PODS, pod())).object["spec"]["serviceAccountName"] == "default"


async def test_an_account_may_hold_its_pods_to_its_secrets(write, pod, cluster):
    strict = {"kubernetes.io/enforce-mountable-secrets": "true"}
    metadata = {"name": "a", "namespace": "ns", "annotations": strict}
    cluster.put(SERVICE_ACCOUNTS, {"metadata": metadata, "secrets": [{"name": "mine"}]})
    await write(PODS, pod(serviceAccountName="a", volumes=[{"name": "v", "secret": {"secretName": "mine"}}]))
    with pytest.raises(errors.Forbidden, match="does not reference that secret"):
        await write(PODS, pod(serviceAccountName="a", volumes=[{"name": "v", "secret": {"secretName": "other"}}]))


async def test_a_mirror_pod_may_not_have_what_only_the_api_gives(write, pod):
    mirror = {"annotations": {"kubernetes.io/config.mirror": "x"}}
    assert "serviceAccountName" not in (await write(PODS, pod(metadata=mirror))).object["spec"]
    with pytest.raises(errors.Forbidden, match="a mirror pod may not reference service accounts"):
        await write(PODS, pod(metadata=mirror, serviceAccountName="default"))


async def test_the_class_decides_the_priority(write, pod, cluster):
    cluster.put(PRIORITY_CLASSES, {"metadata": {"name": "high"}, "value": 77, "preemptionPolicy": "Never"})
    spec = (await write(PODS, pod(priorityClassName="high"))).object["spec"]
    assert (spec["priority"], spec["preemptionPolicy"]) == (77, "Never")
    for chosen, computed in (({"priorityClassName": "high"}, 77), ({}, 0)):
        with pytest.raises(errors.Forbidden) as refused:
            await write(PODS, pod(priority=5, **chosen))
        assert refused.value.message == (
            'pods "p" is forbidden: the integer value of priority (5) must not be provided in pod spec; '
            f"priority admission controller computed {computed} from the given PriorityClass name"
        )
    with pytest.raises(errors.Forbidden, match="no PriorityClass with name nope was found"):
        await write(PODS, pod(priorityClassName="nope"))


async def test_there_is_one_default_class_and_pods_without_class_get_it(write, pod, cluster):
    first = {"metadata": {"name": "first"}, "value": 5, "globalDefault": True}
    cluster.put(PRIORITY_CLASSES, first)
    spec = (await write(PODS, pod())).object["spec"]
    assert (spec["priority"], spec["priorityClassName"]) == (5, "first")
    with pytest.raises(errors.Forbidden, match="PriorityClass first is already marked as default"):
        await write(PRIORITY_CLASSES, {"metadata": {"name": "second"}, "value": 6, "globalDefault": True})
    await write(PRIORITY_CLASSES, {**first, "description": "x"}, first)


async def test_an_update_keeps_the_priority_whatever_became_of_the_class(write, pod):
    old = pod(priority=9, preemptionPolicy="Never", priorityClassName="gone")
    spec = (await write(PODS, pod(priorityClassName="gone"), old)).object["spec"]
    assert (spec["priority"], spec["preemptionPolicy"]) == (9, "Never")


async def test_tolerations_of_ones_own_are_kept(write, pod):
    own = [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}]
    tolerations = (await write(PODS, pod(tolerations=own))).object["spec"]["tolerations"]
    assert tolerations[0] == own[0]
    assert [found["key"] for found in tolerations[1:]] == ["node.kubernetes.io/unreachable"]
    assert (await write(PODS, pod(tolerations=[{"operator": "Exists"}]))).object["spec"]["tolerations"] == (
        [{"operator": "Exists"}]
    )


async def test_a_runtime_class_brings_overhead_and_nodes(write, pod, cluster):
    cluster.put(RUNTIME_CLASSES, {
        "metadata": {"name": "vm"}, "handler": "vm", "overhead": {"podFixed": {"cpu": "250m"}},
        "scheduling": {"nodeSelector": {"vm": "yes"}, "tolerations": [{"key": "vm", "operator": "Exists"}]},
    })  # fmt: skip
    spec = (await write(PODS, pod(runtimeClassName="vm"))).object["spec"]
    assert (spec["overhead"], spec["nodeSelector"]) == ({"cpu": "250m"}, {"vm": "yes"})
    assert {"key": "vm", "operator": "Exists"} in spec["tolerations"]
    with pytest.raises(errors.Forbidden, match=r"conflict: runtimeClass\.scheduling\.nodeSelector"):
        await write(PODS, pod(runtimeClassName="vm", nodeSelector={"vm": "no"}))
    with pytest.raises(errors.Forbidden, match="Pod's Overhead doesn't match"):
        await write(PODS, pod(runtimeClassName="vm", overhead={"cpu": "1"}))
    with pytest.raises(errors.Forbidden, match='pod rejected: RuntimeClass "nope" not found'):
        await write(PODS, pod(runtimeClassName="nope"))
    with pytest.raises(errors.Forbidden, match="Pod Overhead set without corresponding RuntimeClass"):
        await write(PODS, pod(overhead={"cpu": "1"}))


async def test_a_bound_pod_learns_its_nodes_zone(write, cluster):
    labels = {"topology.kubernetes.io/zone": "z", "topology.kubernetes.io/region": "r", "other": "o"}
    cluster.put(NODES, {"metadata": {"name": "a", "labels": labels}})
    binding = {"metadata": {"name": "p", "namespace": "ns"}, "target": {"kind": "Node", "name": "a"}}
    bound = (await write(PODS, binding, subresource="binding")).object
    assert bound["metadata"]["labels"] == {"topology.kubernetes.io/zone": "z", "topology.kubernetes.io/region": "r"}


# PodResizeValidator


def resized(pod, cpu, memory="1Gi"):
    return pod({"resources": {"requests": {"cpu": cpu, "memory": memory}}}, nodeName="n")


@pytest.fixture
def node(cluster):
    def put(**labels):
        shown = {f"kubernetes.io/{key}": value for key, value in labels.items()}
        status = {"allocatable": {"cpu": "1500m", "memory": "2Gi"}}
        cluster.put(NODES, {"metadata": {"name": "n", "labels": shown}, "status": status})

    return put


async def test_a_pod_grows_to_what_its_node_has_and_no_further(write, pod, node):
    with pytest.raises(errors.Forbidden, match='pods "p" is forbidden: node "n" not found'):
        await write(PODS, resized(pod, "1"), resized(pod, "2"), subresource="resize")
    node(os="linux")
    await write(PODS, resized(pod, "1500m", "2Gi"), resized(pod, "1"), subresource="resize")
    with pytest.raises(errors.Forbidden) as refused:
        await write(PODS, resized(pod, "1501m", "3Gi"), resized(pod, "1"), subresource="resize")
    assert refused.value.message == (
        'pods "p" is forbidden: Node didn\'t have enough allocatable resources: cpu, requested: 1501, allocatable: 1500; '
        "memory, requested: 3221225472, allocatable: 2147483648"
    )
    assert [cause["reason"] for cause in refused.value.details["causes"]] == ["NodeCapacity"]
    # What is so already may stay so, and other writes are none of its business.
    await write(PODS, resized(pod, "9"), resized(pod, "9"), subresource="resize")
    await write(PODS, resized(pod, "9"), resized(pod, "1"), subresource="status")


async def test_pods_are_resized_on_linux_only(write, pod, node):
    node(os="windows")
    with pytest.raises(errors.Forbidden) as refused:
        await write(PODS, resized(pod, "1"), resized(pod, "500m"), subresource="resize")
    assert refused.value.message.endswith('pod resize is only supported on linux nodes, node "n" is "windows"')
    assert [cause["reason"] for cause in refused.value.details["causes"]] == ["UnsupportedPlatform"]
