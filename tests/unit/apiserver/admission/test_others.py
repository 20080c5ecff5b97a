"""Namespaces, nodes, storage, ingresses, certificates; and the chain itself."""

import base64

import pytest

from pybernetes.apiserver.admission import build
from pybernetes.apiserver.admission.interface import Operation
from pybernetes.apiserver.attributes import User
from pybernetes.machinery import errors
from pybernetes.machinery.resources import (
    CERTIFICATE_SIGNING_REQUESTS,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CONFIG_MAPS,
    CSI_NODES,
    INGRESS_CLASSES,
    INGRESSES,
    LEASES,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    SERVICE_ACCOUNTS,
    STORAGE_CLASSES,
)

NODE = User("system:node:a", groups=("system:nodes", "system:authenticated"))
LATE = {"metadata": {"name": "late", "namespace": "ns"}}


async def test_nothing_is_made_in_a_namespace_that_is_going(write, cluster):
    cluster.put(NAMESPACES, {"metadata": {"name": "ns"}, "status": {"phase": "Terminating"}})
    with pytest.raises(errors.Forbidden) as refused:
        await write(CONFIG_MAPS, LATE)
    assert refused.value.message == (
        'configmaps "late" is forbidden: unable to create new content in namespace ns because it is being terminated'
    )
    assert refused.value.details["causes"] == [
        {"reason": "NamespaceTerminating", "message": "namespace ns is being terminated", "field": "metadata.namespace"}
    ]
    await write(CONFIG_MAPS, LATE, LATE)
    await write(CONFIG_MAPS, None, LATE, operation=Operation.DELETE)


async def test_nor_in_one_that_is_not_there(write):
    with pytest.raises(errors.NotFound) as missing:
        await write(CONFIG_MAPS, {"metadata": {"name": "c", "namespace": "gone"}})
    assert missing.value.message == 'namespaces "gone" not found'
    # Whether there is a pod to connect to is another question.
    await write(PODS, {"metadata": {"name": "p", "namespace": "gone"}}, operation=Operation.CONNECT, subresource="exec")


async def test_some_namespaces_stay(write):
    for name in ("default", "kube-system", "kube-public"):
        with pytest.raises(errors.Forbidden) as refused:
            await write(NAMESPACES, None, {"metadata": {"name": name}}, operation=Operation.DELETE, name=name)
        assert refused.value.message == f'namespaces "{name}" is forbidden: this namespace may not be deleted'
    await write(NAMESPACES, None, {"metadata": {"name": "kube-node-lease"}}, operation=Operation.DELETE, name="kube-node-lease")


async def test_a_new_node_is_not_ready(write):
    node = (await write(NODES, {"metadata": {"name": "a"}})).object
    assert node["spec"]["taints"] == [{"effect": "NoSchedule", "key": "node.kubernetes.io/not-ready"}]


async def test_a_claim_gets_the_youngest_default_class_unless_it_wants_none(write, cluster):
    for name, born in (("old", "2025-01-01T00:00:00Z"), ("young", "2026-01-01T00:00:00Z")):
        annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
        cluster.put(STORAGE_CLASSES, {"metadata": {"name": name, "creationTimestamp": born, "annotations": annotations}})
    claim = {"metadata": {"name": "c", "namespace": "ns"}, "spec": {}}
    made = (await write(PERSISTENT_VOLUME_CLAIMS, claim)).object
    assert made["spec"]["storageClassName"] == "young"
    assert made["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    classless = {**claim, "spec": {"storageClassName": ""}}
    assert (await write(PERSISTENT_VOLUME_CLAIMS, classless)).object["spec"]["storageClassName"] == ""
    volume = (await write(PERSISTENT_VOLUMES, {"metadata": {"name": "v"}, "spec": {}})).object
    assert volume["metadata"]["finalizers"] == ["kubernetes.io/pv-protection"]


async def test_a_claim_grows_only_if_its_class_can(write, cluster):
    def claim(size, phase="Bound"):
        spec = {"storageClassName": "s", "resources": {"requests": {"storage": size}}}
        return {"metadata": {"name": "c", "namespace": "ns"}, "spec": spec, "status": {"phase": phase}}

    cluster.put(STORAGE_CLASSES, {"metadata": {"name": "s"}})
    await write(PERSISTENT_VOLUME_CLAIMS, claim("1Gi"), claim("1024Mi"))
    with pytest.raises(errors.Forbidden, match="must support resize"):
        await write(PERSISTENT_VOLUME_CLAIMS, claim("2Gi"), claim("1Gi"))
    cluster.put(STORAGE_CLASSES, {"metadata": {"name": "s"}, "allowVolumeExpansion": True})
    await write(PERSISTENT_VOLUME_CLAIMS, claim("2Gi"), claim("1Gi"))
    with pytest.raises(errors.Forbidden, match="Only bound persistent volume claims can be expanded"):
        await write(PERSISTENT_VOLUME_CLAIMS, claim("2Gi"), claim("1Gi", "Pending"))


async def test_an_ingress_gets_the_default_class(write, cluster):
    annotations = {"ingressclass.kubernetes.io/is-default-class": "true"}
    cluster.put(INGRESS_CLASSES, {"metadata": {"name": "web", "annotations": annotations}})
    ingress = {"metadata": {"name": "i", "namespace": "ns"}, "spec": {}}
    assert (await write(INGRESSES, ingress)).object["spec"] == {"ingressClassName": "web"}
    old_style = {**ingress, "metadata": {**ingress["metadata"], "annotations": {"kubernetes.io/ingress.class": "x"}}}
    assert (await write(INGRESSES, old_style)).object["spec"] == {}


# Certificate signing requests.


def signing_request(signer, organization="dev"):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)])
    pem = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    encoded = base64.b64encode(pem.public_bytes(serialization.Encoding.PEM)).decode()
    return {"metadata": {"name": "csr"}, "spec": {"signerName": signer, "request": encoded}}


async def test_approving_and_signing_take_the_right_to_that_signer(write, cluster):
    old = signing_request("example.com/s")
    approved = {**old, "status": {"conditions": [{"type": "Approved"}]}}
    signed = {**old, "status": {"certificate": "eA=="}}
    for new, subresource, problem in (
        (approved, "approval", 'user not permitted to approve requests with signerName "example.com/s"'),
        (signed, "status", 'user not permitted to sign requests with signerName "example.com/s"'),
    ):
        with pytest.raises(errors.Forbidden, match=problem):
            await write(CERTIFICATE_SIGNING_REQUESTS, new, old, subresource=subresource)
    rule = {"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "resourceNames": ["example.com/*"],
            "verbs": ["approve", "sign"]}  # fmt: skip
    cluster.put(CLUSTER_ROLES, {"metadata": {"name": "r"}, "rules": [rule]})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "r"}
    binding = {"metadata": {"name": "b"}, "roleRef": reference, "subjects": [{"kind": "User", "name": "joe"}]}
    cluster.put(CLUSTER_ROLE_BINDINGS, binding)
    await write(CERTIFICATE_SIGNING_REQUESTS, approved, old, subresource="approval")
    await write(CERTIFICATE_SIGNING_REQUESTS, signed, old, subresource="status")


async def test_nobody_asks_to_become_a_master(write):
    with pytest.raises(errors.Forbidden, match=r"use of kubernetes\.io/kube-apiserver-client signer with system:masters group"):
        await write(CERTIFICATE_SIGNING_REQUESTS, signing_request("kubernetes.io/kube-apiserver-client", "system:masters"))
    await write(CERTIFICATE_SIGNING_REQUESTS, signing_request("kubernetes.io/kube-apiserver-client"))


# What a kubelet may write.


def node(labels=None, **spec):
    return {"metadata": {"name": "a", "labels": labels or {}}, "spec": spec}


@pytest.mark.parametrize(
    ("new", "old", "problem"),
    [
        ({**node(), "metadata": {"name": "b"}}, None, 'node "a" is not allowed to modify node "b"'),
        (node({"node-restriction.kubernetes.io/x": "y"}), None,
         'node "a" is not allowed to set the following labels: node-restriction.kubernetes.io/x'),
        (node({"node-role.kubernetes.io/control-plane": ""}), node(),
         "is not allowed to modify labels: node-role.kubernetes.io/control-plane"),
        (node(taints=[]), node(taints=[{"key": "k", "effect": "NoSchedule"}]), 'node "a" is not allowed to modify taints'),
    ],
)  # fmt: skip
async def test_a_node_may_not_change_what_steers_pods(write, new, old, problem):
    with pytest.raises(errors.Forbidden) as refused:
        await write(NODES, new, old, user=NODE)
    assert refused.value.message.endswith(problem)


async def test_a_node_registers_itself_with_its_labels(write):
    labels = {"kubernetes.io/hostname": "a", "topology.kubernetes.io/zone": "z", "node.kubernetes.io/x": "y", "own/label": "1"}
    await write(NODES, node(labels), user=NODE)
    await write(CSI_NODES, {"metadata": {"name": "a"}}, user=NODE)
    with pytest.raises(errors.Forbidden, match="CSINode with the same name"):
        await write(CSI_NODES, {"metadata": {"name": "b"}}, user=NODE)


async def test_a_node_renews_only_its_own_lease(write, cluster):
    cluster.put(NAMESPACES, {"metadata": {"name": "kube-node-lease"}})
    lease = {"metadata": {"name": "a", "namespace": "kube-node-lease"}}
    await write(LEASES, lease, user=NODE)
    with pytest.raises(errors.Forbidden, match="same name as the requesting node"):
        await write(LEASES, {"metadata": {"name": "b", "namespace": "kube-node-lease"}}, user=NODE)
    with pytest.raises(errors.Forbidden, match='in the "kube-node-lease" system namespace'):
        await write(LEASES, {"metadata": {"name": "a", "namespace": "ns"}}, user=NODE)


async def test_a_node_reports_on_its_own_pods_and_deletes_them(write, pod, cluster):
    mine, other = pod(name="mine", nodeName="a"), pod(name="other", nodeName="b")
    for one in (mine, other):
        cluster.put(PODS, one)
    await write(PODS, {**mine, "status": {"phase": "Running"}}, mine, subresource="status", user=NODE)
    await write(PODS, None, mine, operation=Operation.DELETE, name="mine", user=NODE)
    with pytest.raises(errors.Forbidden, match=r"can only update pod status for pods with spec\.nodeName set to itself"):
        await write(PODS, other, other, subresource="status", user=NODE)
    with pytest.raises(errors.Forbidden, match=r"can only delete pods with spec\.nodeName set to itself"):
        await write(PODS, None, other, operation=Operation.DELETE, name="other", user=NODE)
    labelled = {**mine, "metadata": {**mine["metadata"], "labels": {"a": "b"}}}
    with pytest.raises(errors.Forbidden, match="cannot update labels through pod status"):
        await write(PODS, labelled, mine, subresource="status", user=NODE)


async def test_a_node_creates_mirror_pods_that_it_owns(write, pod, cluster):
    cluster.put(NODES, {"metadata": {"name": "a", "uid": "u"}})
    owner = {"apiVersion": "v1", "kind": "Node", "name": "a", "uid": "u", "controller": True}
    mirror = {"annotations": {"kubernetes.io/config.mirror": "x"}, "ownerReferences": [owner]}
    await write(PODS, pod(metadata=mirror, nodeName="a"), user=NODE)
    with pytest.raises(errors.Forbidden, match="can only create mirror pods"):
        await write(PODS, pod(nodeName="a", serviceAccountName="default"), user=NODE)
    with pytest.raises(errors.Forbidden, match="UID mismatch: expected x got u"):
        imposter = {**mirror, "ownerReferences": [{**owner, "uid": "x"}]}
        await write(PODS, pod(metadata=imposter, nodeName="a"), user=NODE)
    with pytest.raises(errors.Forbidden, match="can not create pods that reference configmaps"):
        volumes = [{"name": "v", "configMap": {"name": "c"}}]
        await write(PODS, pod(metadata=mirror, nodeName="a", volumes=volumes), user=NODE)


async def test_a_node_asks_for_tokens_of_its_pods_only(write, pod, cluster):
    tokens = [{"serviceAccountToken": {"path": "token"}}, {"serviceAccountToken": {"audience": "vault", "path": "v"}}]
    mine = pod(nodeName="a", volumes=[{"name": "t", "projected": {"sources": tokens}}])
    cluster.put(PODS, {**mine, "metadata": {"name": "p", "namespace": "ns", "uid": "u"}})
    cluster.put(PODS, {**pod(nodeName="b"), "metadata": {"name": "q", "namespace": "ns", "uid": "v"}})

    async def ask(audiences=(), **reference):
        spec = {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", **reference}} if reference else {}
        spec["audiences"] = list(audiences)
        request = {"metadata": {"name": "default", "namespace": "ns"}, "spec": spec}
        await write(SERVICE_ACCOUNTS, request, subresource="token", user=NODE)

    await ask(name="p", uid="u")
    await ask(["vault"], name="p", uid="u")
    with pytest.raises(errors.Forbidden, match='audience "bank" not found in pod spec volume'):
        await ask(["bank"], name="p", uid="u")
    for reference, problem in (
        ({}, "not bound to a pod"),
        ({"name": "p"}, "without a uid"),
        ({"name": "p", "uid": "old"}, "does not match the UID in record"),
        ({"name": "q", "uid": "v"}, "scheduled on a different node"),
    ):
        with pytest.raises(errors.Forbidden, match=problem):
            await ask(**reference)


def test_plugins_may_be_left_out_but_not_invented(cluster, clock, entropy):
    def names(**options):
        chain = build(cluster, cluster, authorizer=None, clock=clock, entropy=entropy, **options)
        return [plugin.name for plugin in chain.plugins]

    assert names()[:3] == ["NamespaceLifecycle", "LimitRanger", "ServiceAccount"]
    assert names()[-1] == "ResourceQuota"
    assert "ServiceAccount" not in names(disable=["ServiceAccount", "ClusterTrustBundleAttest"])
    for wrong in ({"enable": ["Nope"]}, {"enable": ["NodeDeclaredFeatureValidator"]}, {"disable": ["Nope"]}):
        with pytest.raises(ValueError, match=r"is unknown|is not there yet"):
            names(**wrong)
