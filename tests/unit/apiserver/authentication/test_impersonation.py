"""Acting as someone else."""

import pytest

from pybernetes.apiserver.attributes import RequestInfo, User
from pybernetes.apiserver.authentication.impersonation import impersonate
from pybernetes.machinery import errors
from pybernetes.machinery.http.messages import Repeated
from pybernetes.machinery.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES

ADMIN = User("admin", groups=("system:masters", "system:authenticated"))
JOE = User("joe", groups=("system:authenticated",))
LIST_PODS = RequestInfo("list", "", True, "", "v1", "pods", "", "ns")


@pytest.fixture
def grant(cluster):
    def put(*rules, who="joe"):
        cluster.put(CLUSTER_ROLES, {"metadata": {"name": "r"}, "rules": list(rules)})
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "r"}
        binding = {"metadata": {"name": "b"}, "roleRef": reference, "subjects": [{"kind": "User", "name": who}]}
        cluster.put(CLUSTER_ROLE_BINDINGS, binding)

    return put


@pytest.fixture
def act(cluster, authorizing):
    authorizer = authorizing("RBAC")

    async def run(user, **headers):
        sent = {key.replace("_", "-"): value for key, value in headers.items()}
        found, run.constraint = await impersonate(user, sent, LIST_PODS, authorizer)
        return found

    return run


def rule(verb, resource, group="", names=()):
    made = {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
    return {**made, "resourceNames": list(names)} if names else made


async def test_without_headers_one_is_oneself(act):
    assert await act(JOE) is JOE


async def test_an_administrator_may_be_anyone(act):
    user = await act(
        ADMIN,
        impersonate_user="ann",
        impersonate_group=Repeated.of(["CN=g1, OU=x", "g2"]),
        impersonate_uid="u1",
        impersonate_extra_reason="x",
    )
    assert user == User("ann", "u1", ("CN=g1, OU=x", "g2", "system:authenticated"), {"reason": ("x",)})
    masters = await act(ADMIN, impersonate_user="ann", impersonate_group="system:masters")
    assert masters.groups == ("system:masters", "system:authenticated")


async def test_the_groups_that_go_without_saying_are_added(act):
    account = await act(ADMIN, impersonate_user="system:serviceaccount:ns:bot")
    assert account.groups == ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated")
    assert (await act(ADMIN, impersonate_user="system:anonymous")).groups == ("system:unauthenticated",)


@pytest.mark.parametrize(
    ("headers", "shown"),
    [
        ({"impersonate_group": "g"},
         '&user.DefaultInfo{Name:"", UID:"", Groups:[]string{"g"}, Extra:map[string][]string(nil)}'),
        ({"impersonate_extra_a": "g"},
         '&user.DefaultInfo{Name:"", UID:"", Groups:[]string(nil), Extra:map[string][]string{"a":[]string{"g"}}}'),
    ],
)  # fmt: skip
async def test_headers_that_miss_the_user_are_a_bad_request(act, headers, shown):
    with pytest.raises(errors.BadRequest) as refused:
        await act(ADMIN, **headers)
    assert refused.value.message == f"requested {shown} without impersonating a user name"


async def test_who_may_not_is_told_of_the_first_way_that_was_tried(act):
    with pytest.raises(errors.Forbidden) as refused:
        await act(JOE, impersonate_user="ann")
    assert refused.value.message == (
        'pods is forbidden: User "joe" cannot impersonate-on:user-info:list resource "pods" in API group "" '
        'in the namespace "ns"'
    )


async def test_the_old_verb_allows_all_actions(act, grant):
    grant(rule("impersonate", "users", names=["ann"]))
    assert (await act(JOE, impersonate_user="ann")).name == "ann"
    assert act.constraint == ""
    with pytest.raises(errors.Forbidden):
        await act(JOE, impersonate_user="bob")
    with pytest.raises(errors.Forbidden):
        await act(JOE, impersonate_user="ann", impersonate_group="g")


async def test_the_constrained_verbs_allow_one_action_as_one_user(act, grant):
    identity = rule("impersonate:user-info", "users", "authentication.k8s.io", ["ann"])
    grant(identity, rule("impersonate-on:user-info:list", "pods"))
    assert (await act(JOE, impersonate_user="ann")).name == "ann"
    assert act.constraint == "impersonate:user-info"
    grant(identity, rule("impersonate-on:user-info:get", "pods"))
    with pytest.raises(errors.Forbidden):
        await act(JOE, impersonate_user="ann")


async def test_nobody_becomes_a_master_by_the_constrained_verbs(act, grant):
    everything = [rule("impersonate:user-info", kind, "authentication.k8s.io") for kind in ("users", "groups")]
    grant(*everything, rule("impersonate-on:user-info:list", "pods"))
    assert (await act(JOE, impersonate_user="ann", impersonate_group="dev")).groups == ("dev", "system:authenticated")
    with pytest.raises(errors.Forbidden, match="system:masters group is not allowed"):
        await act(JOE, impersonate_user="ann", impersonate_group="system:masters")


async def test_an_agent_may_be_the_node_that_it_runs_on(act, grant):
    agent = User("system:serviceaccount:ns:agent", extra={"authentication.kubernetes.io/node-name": ("a",)})
    grant(
        rule("impersonate:associated-node", "nodes", "authentication.k8s.io"),
        rule("impersonate-on:associated-node:list", "pods"),
        who=agent.name,
    )
    assert (await act(agent, impersonate_user="system:node:a")).groups == ("system:nodes", "system:authenticated")
    with pytest.raises(errors.Forbidden):
        await act(agent, impersonate_user="system:node:b")
