"""RBAC: who may do what, and in which words it is said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.apiserver.attributes import RequestInfo, User
from pybernetes.apiserver.authorization import forbidden
from pybernetes.apiserver.authorization.interface import Decision
from pybernetes.apiserver.authorization.rules import broken_down, compacted, compiled, covers
from pybernetes.apiserver.bootstrap import ensure
from pybernetes.machinery.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES

GROUP = "rbac.authorization.k8s.io"


def info(verb="get", resource="configmaps", namespace="ns", name="", group="", subresource=""):
    return RequestInfo(verb, "", True, group, "v1", resource, subresource, namespace, name)


def role(name, *rules, namespace="ns"):
    return {"metadata": {"name": name, **({"namespace": namespace} if namespace else {})}, "rules": list(rules)}


def rule(verbs=("get",), resources=("configmaps",), groups=("",), names=()):
    made = {"verbs": list(verbs), "resources": list(resources), "apiGroups": list(groups)}
    return {**made, "resourceNames": list(names)} if names else made


def binding(name, role_name, *subjects, kind="Role", namespace="ns"):
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"metadata": metadata, "roleRef": {"apiGroup": GROUP, "kind": kind, "name": role_name}, "subjects": list(subjects)}


JOE = {"kind": "User", "apiGroup": GROUP, "name": "joe"}


@pytest.fixture
def rbac(cluster, authorizing):
    cluster.put(ROLES, role("r", rule()))
    cluster.put(ROLE_BINDINGS, binding("b", "r", JOE))
    return authorizing("RBAC")


async def allowed(authorizer, user, asked):
    return (await authorizer.authorize(user, asked)).decision is Decision.ALLOW


async def test_a_binding_allows_in_its_namespace_and_says_why(rbac):
    verdict = await rbac.authorize(User("joe"), info())
    assert verdict.decision is Decision.ALLOW
    assert verdict.reason == 'RBAC: allowed by RoleBinding "b/ns" of Role "r" to User "joe"'
    assert not await allowed(rbac, User("joe"), info(namespace="other"))
    assert not await allowed(rbac, User("joe"), info(namespace=""))
    assert not await allowed(rbac, User("joe"), info(verb="list"))
    assert not await allowed(rbac, User("ann"), info())


async def test_a_change_of_roles_counts_at_once(rbac, cluster):
    assert not await allowed(rbac, User("joe"), info(verb="list"))
    cluster.put(ROLES, role("r", rule(verbs=["list"])))
    assert await allowed(rbac, User("joe"), info(verb="list"))
    assert not await allowed(rbac, User("joe"), info())


async def test_a_cluster_role_bound_in_a_namespace_reaches_only_that_namespace(rbac, cluster):
    cluster.put(CLUSTER_ROLES, role("reader", rule(resources=["*"]), namespace=""))
    cluster.put(ROLE_BINDINGS, binding("all", "reader", JOE, kind="ClusterRole"))
    assert await allowed(rbac, User("joe"), info(resource="secrets"))
    assert not await allowed(rbac, User("joe"), info(resource="secrets", namespace="other"))


async def test_service_accounts_and_groups_are_subjects(rbac, cluster):
    account = {"kind": "ServiceAccount", "name": "bot"}  # of the binding's namespace, where it names none
    cluster.put(ROLE_BINDINGS, binding("bots", "r", account))
    cluster.put(CLUSTER_ROLES, role("lister", rule(verbs=["list"]), namespace=""))
    group = {"kind": "Group", "apiGroup": GROUP, "name": "dev"}
    cluster.put(CLUSTER_ROLE_BINDINGS, binding("devs", "lister", group, kind="ClusterRole", namespace=""))
    verdict = await rbac.authorize(User("system:serviceaccount:ns:bot"), info())
    assert verdict.reason == 'RBAC: allowed by RoleBinding "bots/ns" of Role "r" to ServiceAccount "bot/ns"'
    verdict = await rbac.authorize(User("ann", groups=("dev",)), info(verb="list", namespace="any"))
    assert verdict.reason == 'RBAC: allowed by ClusterRoleBinding "devs" of ClusterRole "lister" to Group "dev"'


@pytest.mark.parametrize(
    ("held", "asked", "expected"),
    [
        (rule(names=["a"]), info(name="a"), True),
        (rule(names=["a"]), info(name="b"), False),
        (rule(names=["a"]), info(), False),
        (rule(resources=["pods"]), info(resource="pods", subresource="exec"), False),
        (rule(resources=["pods/exec"]), info(resource="pods", subresource="exec"), True),
        (rule(resources=["*/scale"]), info(resource="deployments", subresource="scale"), True),
        (rule(resources=["*"], groups=["apps"]), info(resource="pods"), False),
        (rule(verbs=["*"], resources=["*"], groups=["*"]), info(verb="bind", resource="x", group="y"), True),
        ({"verbs": ["get"], "nonResourceURLs": ["/healthz"]}, RequestInfo("get", "/healthz"), True),
        ({"verbs": ["get"], "nonResourceURLs": ["/healthz/*"]}, RequestInfo("get", "/healthz/etcd"), True),
        ({"verbs": ["get"], "nonResourceURLs": ["/healthz"]}, RequestInfo("get", "/healthz/etcd"), False),
        ({"verbs": ["get"], "nonResourceURLs": ["*"]}, RequestInfo("get", "/metrics"), True),
    ],
)  # fmt: skip
def test_a_rule_allows(held, asked, expected):
    found = compiled(held)
    assert (found.allows_kind(asked) and found.allows_name(asked.name)) is expected


async def test_a_binding_to_no_role_is_named_in_the_refusal(rbac, cluster):
    cluster.put(ROLE_BINDINGS, binding("dangling", "gone", JOE))
    verdict = await rbac.authorize(User("joe"), info(verb="list"))
    assert verdict.reason == 'RBAC: role.rbac.authorization.k8s.io "gone" not found'


def test_the_refusal_speaks_as_upstream():
    joe = User("joe")
    error = forbidden(joe, info(verb="list", resource="pods", namespace="default"))
    assert error.message == (
        'pods is forbidden: User "joe" cannot list resource "pods" in API group "" in the namespace "default"'
    )
    assert error.status["details"] == {"kind": "pods"}
    error = forbidden(joe, info("create", "deployments", "", "web", "apps", "scale"), "no such luck")
    assert error.message == (
        'deployments.apps "web" is forbidden: User "joe" cannot create resource "deployments/scale" in API group "apps" '
        "at the cluster scope: no such luck"
    )
    error = forbidden(joe, RequestInfo("get", "/api"))
    assert (error.message, error.status["details"]) == ('forbidden: User "joe" cannot get path "/api"', {})


async def test_masters_may_do_all_and_anonymous_only_see_health_and_version(cluster, authorizing):
    await ensure(cluster, cluster)
    authorizer = authorizing("Node", "RBAC")
    assert await allowed(authorizer, User("admin", groups=("system:masters",)), info(verb="delete", resource="nodes"))
    anonymous = User("system:anonymous", groups=("system:unauthenticated",))
    for path, expected in (("/healthz", True), ("/livez", True), ("/version", True), ("/api", False), ("/metrics", False)):
        assert await allowed(authorizer, anonymous, RequestInfo("get", path)) is expected
    assert not await allowed(authorizer, anonymous, info())


names = st.sampled_from(["a", "b", "c", "*"])
rules = st.builds(
    lambda verbs, groups, resources, only: rule(verbs, resources, groups, only),
    st.lists(names, min_size=1, max_size=3),
    st.lists(names, min_size=1, max_size=3),
    st.lists(st.sampled_from(["a", "b", "a/x", "*/x", "*"]), min_size=1, max_size=3),
    st.lists(st.sampled_from(["n", "m"]), max_size=2),
)


@given(st.lists(rules, max_size=4))
def test_rules_cover_themselves_however_they_are_cut(held):
    assert covers(held, held) == []
    singles = [single for one in held for single in broken_down(one)]
    assert covers(singles, held) == []
    assert covers(held, compacted(singles)) == []


@given(st.lists(rules, max_size=3), rules, st.sampled_from("abc"), st.sampled_from("abc"), st.sampled_from(["a", "b"]))
def test_who_holds_what_covers_a_rule_may_do_what_the_rule_allows(held, granted, verb, group, resource):
    if covers(held, [granted]):
        return
    for name in ("", "n", "m"):
        asked = info(verb, resource, name=name, group=group)
        one = compiled(granted)
        if one.allows_kind(asked) and one.allows_name(name):
            assert any(mine.allows_kind(asked) and mine.allows_name(name) for mine in map(compiled, held))


async def test_a_binding_to_a_user_and_their_group_counts_once(rbac, cluster):
    cluster.put(ROLE_BINDINGS, binding("b", "r", JOE, {"kind": "Group", "apiGroup": GROUP, "name": "cooks"}))
    assert rbac.rules_for(User("joe", groups=("cooks",)), "ns").rules == [rule()]


async def test_a_url_may_end_in_more_stars_than_it_needs(cluster, authorizing):
    anywhere = {"verbs": ["get"], "nonResourceURLs": ["/logs/**"]}
    cluster.put(CLUSTER_ROLES, {"metadata": {"name": "urls"}, "rules": [anywhere]})
    cluster.put(CLUSTER_ROLE_BINDINGS, binding("b", "urls", JOE, kind="ClusterRole", namespace=""))
    assert await allowed(authorizing("RBAC"), User("joe"), RequestInfo("get", "/logs/a"))
