"""Nobody grants what they do not hold."""

import pytest

from pybernetes.apiserver.attributes import User
from pybernetes.apiserver.authorization.escalation import check_write
from pybernetes.machinery import errors
from pybernetes.machinery.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES

GROUP = "rbac.authorization.k8s.io"
JOE = User("joe", groups=("system:authenticated",))


def role(name, rules, namespace="ns"):
    return {"metadata": {"name": name, **({"namespace": namespace} if namespace else {})}, "rules": rules}


def binding(name, role_name, kind="Role", who="x"):
    reference = {"apiGroup": GROUP, "kind": kind, "name": role_name}
    return {"metadata": {"name": name, "namespace": "ns"}, "roleRef": reference, "subjects": [{"kind": "User", "name": who}]}


def rule(resource, *verbs, group="", names=()):
    made = {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}
    return {**made, "resourceNames": list(names)} if names else made


@pytest.fixture
def check(cluster, authorizing):
    cluster.put(ROLES, role("r", [rule("configmaps", "get")]))
    cluster.put(ROLE_BINDINGS, binding("b", "r", who="joe"))
    authorizer = authorizing("RBAC")

    async def run(resource, obj, old=None, user=JOE):
        await check_write(resource, obj, old, user, authorizer, cluster)

    return run


async def test_a_role_of_what_one_holds_passes(check):
    await check(ROLES, role("ok", [rule("configmaps", "get")]))


async def test_a_role_with_more_is_refused_saying_what_is_missing(check):
    with pytest.raises(errors.Forbidden) as refused:
        await check(ROLES, role("no", [rule("configmaps", "get", "list"), rule("secrets", "get")]))
    assert refused.value.message == (
        'roles.rbac.authorization.k8s.io "no" is forbidden: user "joe" (groups=["system:authenticated"]) is attempting to '
        "grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["configmaps"], Verbs:["list"]}\n'
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}'
    )
    with pytest.raises(errors.Forbidden, match=r'ResourceNames:\["a"\], Verbs:\["get"\]'):
        await check(ROLES, role("no", [rule("deployments", "get", group="apps", names=["a"])]))


async def test_the_verb_escalate_and_system_masters_are_above_that(check, cluster):
    more = role("no", [rule("secrets", "get")])
    await check(ROLES, more, user=User("root", groups=("system:masters",)))
    cluster.put(ROLES, role("r", [rule("roles", "escalate", group=GROUP)]))
    await check(ROLES, more)


async def test_the_verb_escalate_by_name_is_for_roles_that_are_there(check, cluster):
    cluster.put(ROLES, role("r", [rule("roles", "escalate", group=GROUP, names=["no"])]))
    more = role("no", [rule("secrets", "get")])
    with pytest.raises(errors.Forbidden):
        await check(ROLES, more)
    await check(ROLES, more, role("no", []))


async def test_only_the_garbage_collectors_fields_may_be_changed_without_holding_the_rules(check):
    for resource, old in ((ROLES, role("no", [rule("secrets", "get")])), (ROLE_BINDINGS, binding("no", "big"))):
        disowned = {**old, "metadata": {**old["metadata"], "ownerReferences": [], "finalizers": [], "resourceVersion": "7"}}
        await check(resource, disowned, old)
    old = role("no", [rule("secrets", "get")])
    labelled = {**old, "metadata": {**old["metadata"], "labels": {"a": "b"}}}
    with pytest.raises(errors.Forbidden, match="not currently held"):
        await check(ROLES, labelled, old)


GATHERING = {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}


async def test_an_aggregated_role_may_gather_anything_so_it_takes_all_rights(check, cluster):
    plain = role("g", [], namespace="")
    gathering = {**plain, "aggregationRule": GATHERING}
    for obj, old in ((gathering, None), (gathering, plain), (plain, gathering)):
        with pytest.raises(errors.Forbidden, match="must have cluster-admin privileges to use the aggregationRule"):
            await check(CLUSTER_ROLES, obj, old)
    cluster.put(CLUSTER_ROLES, role("all", [rule("*", "*", group="*"), {"nonResourceURLs": ["*"], "verbs": ["*"]}], ""))
    everywhere = binding("everywhere", "all", kind="ClusterRole", who="joe")
    cluster.put(CLUSTER_ROLE_BINDINGS, {**everywhere, "metadata": {"name": "everywhere"}})
    await check(CLUSTER_ROLES, gathering)


async def test_a_binding_counts_as_what_its_role_grants(check, cluster):
    await check(ROLE_BINDINGS, binding("b1", "r"))
    cluster.put(ROLES, role("big", [rule("secrets", "get")]))
    with pytest.raises(errors.Forbidden, match=r'rolebindings.rbac.authorization.k8s.io "b2" is forbidden'):
        await check(ROLE_BINDINGS, binding("b2", "big"))


async def test_the_verb_bind_is_above_that(check, cluster):
    cluster.put(CLUSTER_ROLES, role("admin", [rule("*", "*")], namespace=""))
    cluster.put(ROLES, role("r", [rule("clusterroles", "bind", group=GROUP, names=["admin"])]))
    await check(ROLE_BINDINGS, binding("b3", "admin", kind="ClusterRole"))


async def test_a_binding_to_no_role_is_not_found_under_the_bindings_name(check):
    with pytest.raises(errors.NotFound) as missing:
        await check(ROLE_BINDINGS, binding("b3", "nope"))
    assert missing.value.message == 'rolebindings.rbac.authorization.k8s.io "nope" not found'
