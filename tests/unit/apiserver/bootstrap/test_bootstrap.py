"""What a new cluster has, and how a start repairs it."""

import pytest

from pybernetes.apiserver.attributes import RequestInfo, User
from pybernetes.apiserver.authorization.interface import Decision
from pybernetes.apiserver.bootstrap import ensure, ensure_cluster_addons
from pybernetes.apiserver.bootstrap.objects import upstream_objects
from pybernetes.machinery.resources import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    FLOW_SCHEMAS,
    NAMESPACES,
    PRIORITY_CLASSES,
    SERVICE_CIDRS,
)

AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"


async def test_a_new_cluster_gets_all_objects_and_a_second_start_writes_nothing(cluster):
    await ensure(cluster, cluster, service_cidr="10.0.0.0/24")
    await ensure_cluster_addons(cluster, cluster)
    assert [found["metadata"]["name"] for found in cluster.list(NAMESPACES)] == [
        "default", "kube-node-lease", "kube-public", "kube-system",
    ]  # fmt: skip
    assert cluster.get(SERVICE_CIDRS, "", "kubernetes")["spec"] == {"cidrs": ["10.0.0.0/24"]}
    assert cluster.get(PRIORITY_CLASSES, "", "system-node-critical")["value"] == 2000001000
    assert len(cluster.list(CLUSTER_ROLES)) >= 70
    cluster.writes.clear()
    await ensure(cluster, cluster, service_cidr="10.0.0.0/24")
    await ensure_cluster_addons(cluster, cluster)
    assert cluster.writes == []


def test_an_aggregated_role_has_the_rules_of_all_that_feed_it():
    roles = {obj["metadata"]["name"]: obj for resource, obj in upstream_objects(["10.0.0.0/24"]) if resource is CLUSTER_ROLES}
    for feeder in ("system:aggregate-to-view", "view", "system:aggregate-to-edit"):
        assert all(rule in roles["edit"]["rules"] for rule in roles[feeder]["rules"])
    assert all(rule in roles["admin"]["rules"] for rule in roles["edit"]["rules"])


async def test_a_start_gives_back_missing_rules_and_keeps_what_users_added(cluster):
    await ensure(cluster, cluster)
    role = cluster.get(CLUSTER_ROLES, "", "system:basic-user")
    wanted = list(role["rules"])
    own = {"apiGroups": ["example.com"], "resources": ["widgets"], "verbs": ["get"]}
    cluster.put(CLUSTER_ROLES, {**role, "rules": [own]})
    await ensure(cluster, cluster)
    repaired = cluster.get(CLUSTER_ROLES, "", "system:basic-user")["rules"]
    assert repaired[0] == own
    granted = {(g, r, v) for rule in wanted for g in rule["apiGroups"] for r in rule["resources"] for v in rule["verbs"]}
    held = {(g, r, v) for rule in repaired for g in rule["apiGroups"] for r in rule["resources"] for v in rule["verbs"]}
    assert granted <= held


async def test_autoupdate_false_keeps_a_start_away(cluster):
    await ensure(cluster, cluster)
    role = cluster.get(CLUSTER_ROLES, "", "system:basic-user")
    role["metadata"]["annotations"][AUTOUPDATE] = "false"
    cluster.put(CLUSTER_ROLES, {**role, "rules": []})
    cluster.writes.clear()
    await ensure(cluster, cluster)
    assert cluster.writes == []


async def test_a_binding_to_another_role_is_made_anew_because_a_role_reference_cannot_change(cluster):
    await ensure(cluster, cluster)
    binding = cluster.get(CLUSTER_ROLE_BINDINGS, "", "system:discovery")
    reference = {**binding["roleRef"], "name": "cluster-admin"}
    cluster.put(CLUSTER_ROLE_BINDINGS, {**binding, "roleRef": reference})
    await ensure(cluster, cluster)
    assert cluster.get(CLUSTER_ROLE_BINDINGS, "", "system:discovery")["roleRef"]["name"] == "system:discovery"


async def test_a_flow_schema_is_brought_back_only_while_it_asks_for_it(cluster):
    await ensure(cluster, cluster)
    schema = cluster.get(FLOW_SCHEMAS, "", "probes")
    precedence = schema["spec"]["matchingPrecedence"]
    cluster.put(FLOW_SCHEMAS, {**schema, "spec": {**schema["spec"], "matchingPrecedence": 9}})
    await ensure(cluster, cluster)
    schema = cluster.get(FLOW_SCHEMAS, "", "probes")
    assert schema["spec"]["matchingPrecedence"] == precedence
    schema["metadata"]["annotations"]["apf.kubernetes.io/autoupdate-spec"] = "false"
    cluster.put(FLOW_SCHEMAS, {**schema, "spec": {**schema["spec"], "matchingPrecedence": 9}})
    await ensure(cluster, cluster)
    assert cluster.get(FLOW_SCHEMAS, "", "probes")["spec"]["matchingPrecedence"] == 9


@pytest.mark.parametrize(
    ("user", "group", "resource", "subresource", "verb"),
    [
        (User("system:bootstrap:abcdef", groups=("system:bootstrappers",)), "certificates.k8s.io",
         "certificatesigningrequests", "", "create"),
        (User("system:bootstrap:abcdef", groups=("system:bootstrappers",)), "certificates.k8s.io",
         "certificatesigningrequests", "nodeclient", "create"),
        (User("system:node:a", groups=("system:nodes",)), "certificates.k8s.io", "certificatesigningrequests",
         "selfnodeclient", "create"),
        (User("system:pyb-dns"), "discovery.k8s.io", "endpointslices", "", "watch"),
        (User("system:pyb-dns"), "", "services", "", "list"),
        (User("system:kube-controller-manager"), "apps", "replicasets", "", "create"),
        (User("system:kube-controller-manager"), "", "pods", "", "create"),
        (User("system:kube-scheduler"), "", "pods", "binding", "create"),
        (User("system:kube-proxy"), "discovery.k8s.io", "endpointslices", "", "watch"),
    ],
)  # fmt: skip
async def test_the_components_of_a_cluster_may_do_their_work(cluster, authorizing, user, group, resource, subresource, verb):
    await ensure(cluster, cluster)
    await ensure_cluster_addons(cluster, cluster)
    info = RequestInfo(verb, "", True, group, "v1", resource, subresource)
    assert (await authorizing("Node", "RBAC").authorize(user, info)).decision is Decision.ALLOW
