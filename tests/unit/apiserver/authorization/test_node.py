"""The Node authorizer: what a kubelet may read and write."""

import pytest

from pybernetes.apiserver.attributes import RequestInfo, User
from pybernetes.apiserver.authorization.interface import Decision
from pybernetes.apiserver.authorization.node import NodeAuthorizer
from pybernetes.machinery.resources import (
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    VOLUME_ATTACHMENTS,
)

NODE = User("system:node:a", groups=("system:nodes", "system:authenticated"))
OTHER = User("system:node:b", groups=("system:nodes", "system:authenticated"))
POD = {
    "metadata": {"name": "p", "namespace": "ns"},
    "spec": {
        "nodeName": "a",
        "serviceAccountName": "bot",
        "imagePullSecrets": [{"name": "pull"}],
        "containers": [
            {"name": "c", "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "env-secret", "key": "k"}}}]},
            {"name": "d", "envFrom": [{"configMapRef": {"name": "env-config"}}]},
        ],
        "volumes": [
            {"name": "s", "secret": {"secretName": "mounted"}},
            {"name": "p", "projected": {"sources": [{"configMap": {"name": "kube-root-ca.crt"}}]}},
            {"name": "v", "persistentVolumeClaim": {"claimName": "claim"}},
            {"name": "e", "ephemeral": {"volumeClaimTemplate": {}}},
        ],
    },
}


def info(verb, resource, name="", namespace="ns", group="", subresource="", fields=""):
    return RequestInfo(verb, "", True, group, "v1", resource, subresource, namespace, name, "", fields)


@pytest.fixture
def authorizer(cluster):
    cluster.put(PODS, POD)
    cluster.put(PERSISTENT_VOLUME_CLAIMS, {"metadata": {"name": "claim", "namespace": "ns"}, "spec": {"volumeName": "vol"}})
    volume = {
        "claimRef": {"namespace": "ns", "name": "claim"},
        "csi": {"nodeStageSecretRef": {"namespace": "csi", "name": "k"}},
    }
    cluster.put(PERSISTENT_VOLUMES, {"metadata": {"name": "vol"}, "spec": volume})
    cluster.put(VOLUME_ATTACHMENTS, {"metadata": {"name": "att"}, "spec": {"nodeName": "a"}})
    return NodeAuthorizer(cluster)


RELATED = [
    info("get", "pods", "p"),
    info("get", "secrets", "env-secret"),
    info("get", "secrets", "pull"),
    info("watch", "secrets", "mounted"),
    info("list", "configmaps", "env-config"),
    info("get", "configmaps", "kube-root-ca.crt"),
    info("get", "persistentvolumeclaims", "claim"),
    info("get", "persistentvolumeclaims", "p-e"),
    info("patch", "persistentvolumeclaims", "claim", subresource="status"),
    info("get", "persistentvolumes", "vol", namespace=""),
    info("get", "secrets", "k", namespace="csi"),
    info("get", "volumeattachments", "att", namespace="", group="storage.k8s.io"),
    info("create", "serviceaccounts", "bot", subresource="token"),
]


@pytest.mark.parametrize("asked", RELATED, ids=lambda asked: f"{asked.verb} {asked.resource} {asked.name}")
async def test_what_the_pods_of_a_node_refer_to_is_the_nodes_alone(authorizer, asked):
    for _ in range(2):  # the second answer comes from memory
        assert (await authorizer.authorize(NODE, asked)).decision is Decision.ALLOW
    verdict = await authorizer.authorize(OTHER, asked)
    assert verdict.decision is Decision.NO_OPINION
    assert verdict.reason == "no relationship found between node 'b' and this object"


async def test_a_pod_that_its_node_made_up_grants_nothing_but_itself(cluster):
    mirror = {**POD["metadata"], "annotations": {"kubernetes.io/config.mirror": "x"}}
    cluster.put(PODS, {**POD, "metadata": mirror})
    authorizer = NodeAuthorizer(cluster)
    assert (await authorizer.authorize(NODE, info("get", "pods", "p"))).decision is Decision.ALLOW
    for asked in (info("get", "secrets", "mounted"), info("create", "serviceaccounts", "bot", subresource="token")):
        assert (await authorizer.authorize(NODE, asked)).decision is Decision.NO_OPINION


async def test_a_selector_must_be_one_to_narrow_a_list(authorizer):
    for fields, allowed in (("spec.nodeName==a,status.phase=Running", True), ("nonsense,spec.nodeName=a", False)):
        verdict = await authorizer.authorize(NODE, info("list", "pods", namespace="", fields=fields))
        assert (verdict.decision is Decision.ALLOW) is allowed


async def test_a_relation_ends_with_the_pod(authorizer, cluster):
    asked = info("get", "secrets", "mounted")
    assert (await authorizer.authorize(NODE, asked)).decision is Decision.ALLOW
    await cluster.delete(PODS, "ns", "p")
    assert (await authorizer.authorize(NODE, asked)).decision is Decision.NO_OPINION


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (info("list", "secrets"), "No Object name found"),
        (info("update", "secrets", "mounted"), "can only read resources of this type"),
        (info("list", "pods", namespace=""), "can only list/watch pods with spec.nodeName field selector"),
        (info("list", "pods", namespace="", fields="spec.nodeName=b"),
         "can only list/watch pods with spec.nodeName field selector"),
        (info("list", "nodes", namespace=""), "node 'a' cannot read all nodes, only its own Node object"),
        (info("get", "nodes", "b", namespace=""), "node 'a' cannot read 'b', only its own Node object"),
        (info("update", "leases", "b", "kube-node-lease", "coordination.k8s.io"),
         "can only access node lease with the same name as the requesting node"),
        (info("update", "leases", "a", "ns", "coordination.k8s.io"),
         'can only access leases in the "kube-node-lease" system namespace'),
        (info("get", "csinodes", "b", "", "storage.k8s.io"),
         "can only access CSINode with the same name as the requesting node"),
    ],
)  # fmt: skip
async def test_the_rest_is_refused_with_a_reason(authorizer, asked, reason):
    verdict = await authorizer.authorize(NODE, asked)
    assert (verdict.decision, verdict.reason) == (Decision.NO_OPINION, reason)


@pytest.mark.parametrize(
    "asked",
    [
        info("list", "pods", namespace="", fields="spec.nodeName=a"),
        info("watch", "pods", namespace="", fields="status.phase!=Failed,spec.nodeName=a"),
        info("get", "nodes", "a", namespace=""),
        info("create", "nodes", namespace=""),
        info("patch", "nodes", "a", namespace="", subresource="status"),
        info("patch", "pods", "p", subresource="status"),
        info("create", "leases", "", "kube-node-lease", "coordination.k8s.io"),
        info("list", "services", namespace=""),
        info("create", "events"),
        info("create", "subjectaccessreviews", group="authorization.k8s.io", namespace=""),
        info("create", "certificatesigningrequests", group="certificates.k8s.io", namespace=""),
    ],
    ids=lambda asked: f"{asked.verb} {asked.resource}",
)
async def test_a_kubelet_may_do_its_work(authorizer, asked):
    assert (await authorizer.authorize(NODE, asked)).decision is Decision.ALLOW


async def test_there_is_no_opinion_on_who_is_no_node(authorizer):
    asked = info("get", "secrets", "mounted")
    for user in (User("system:node:a"), User("joe", groups=("system:nodes",))):
        assert (await authorizer.authorize(user, asked)).decision is Decision.NO_OPINION
