"""Which flow a request is: the first schema in precedence whose rules name both who asks and what for."""

from __future__ import annotations

import pytest

from pybernetes.apiserver.attributes import RequestInfo, User
from pybernetes.apiserver.flow_control import classification
from tests.unit.apiserver.flow_control.objects import LEASE, MAP, NODES, PODS, configuration, gate, schema, user


@pytest.mark.parametrize(
    ("who", "what", "name", "level"),
    [
        (user("admin", "system:masters"), PODS, "exempt", "exempt"),
        (user("me"), RequestInfo("get", "/readyz"), "probes", "exempt"),
        (user("me"), RequestInfo("get", "/readyz/ping"), "global-default", "global-default"),
        (user("me"), PODS, "global-default", "global-default"),
        (User("system:anonymous", groups=("system:unauthenticated",)), PODS, "global-default", "global-default"),
        (User("stranger"), PODS, "catch-all", "catch-all"),
        (user("system:node:n", "system:nodes"), NODES, "system-node-high", "node-high"),
        (user("system:node:n", "system:nodes"), LEASE, "system-node-high", "node-high"),
        (user("system:node:n", "system:nodes"), PODS, "system-nodes", "system"),
        (user("system:kube-scheduler"), LEASE, "system-leader-election", "leader-election"),
        (user("system:kube-scheduler"), PODS, "kube-scheduler", "workload-high"),
        (user("system:serviceaccount:kube-system:dns", "system:serviceaccounts"), PODS, "kube-system-service-accounts",
         "workload-high"),
        (user("system:serviceaccount:default:sa", "system:serviceaccounts"), PODS, "service-accounts", "workload-low"),
    ],
)  # fmt: skip
def test_the_defaults_are_those_of_a_new_cluster(who: User, what: RequestInfo, name: str, level: str) -> None:
    made = gate()
    for _ in range(2):  # once looked up, once remembered
        flow = made.seat(who, what, {}).flow
        assert (flow.schema, flow.level.name) == (name, level)


def test_the_headers_tell_uids_and_no_names() -> None:
    flow = gate().seat(user("me"), MAP, {}).flow
    assert flow.headers == {
        "X-Kubernetes-Pf-Flowschema-Uid": "FlowSchema-global-default",
        "X-Kubernetes-Pf-Prioritylevel-Uid": "PriorityLevelConfiguration-global-default",
    }


def test_the_lower_precedence_is_tried_first_and_then_the_name() -> None:
    schemas = [schema("b", "workload-low", "me"), schema("a", "system", "me"), schema("c", "node-high", "me", precedence=2)]
    made = gate(wanted=configuration(schemas))
    assert made.seat(user("me"), MAP, {}).flow.schema == "c"
    made = gate(wanted=configuration(schemas[:2]))
    assert made.seat(user("me"), MAP, {}).flow.schema == "a"


def test_a_rule_may_name_namespaces() -> None:
    special = schema("special", "system", "me")
    special["spec"]["rules"][0]["resourceRules"][0] |= {"namespaces": ["a"], "clusterScope": False}
    made = gate(wanted=configuration([special]))

    def at(namespace: str) -> str:
        return made.seat(user("me"), RequestInfo("get", "/…", True, "", "v1", "pods", "", namespace), {}).flow.schema

    assert [at("a"), at("b"), at(""), at("a")] == ["special", "global-default", "global-default", "special"]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classification, "REMEMBERED_MOST", 3)
    made = gate()
    for number in range(10):
        made.seat(user(f"u{number}"), MAP, {})
    made.seat(user("me"), RequestInfo("get", "/" + "x" * classification.PATH_MOST), {})
    assert len(made._classifier._known) <= 3
    assert all("x" * 100 not in str(key) for key in made._classifier._known)
