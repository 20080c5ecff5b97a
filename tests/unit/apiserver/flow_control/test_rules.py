"""What the rules of a FlowSchema mean (API reference, FlowSchema v1)."""

from __future__ import annotations

import pytest

from pybernetes.apiserver.attributes import RequestInfo, User
from pybernetes.apiserver.flow_control.rules import matches
from pybernetes.machinery.meta import Object
from tests.unit.apiserver.flow_control.objects import MAP, user

ME = user("me", "friends")
ACCOUNT = user("system:serviceaccount:ns:sa", "system:serviceaccounts")
ANYTHING: Object = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": True}
LOG = RequestInfo("get", "/…", True, "", "v1", "pods", "status", "d", "p")
EVERYWHERE = RequestInfo("list", "/…", True, "apps", "v1", "deployments")


@pytest.mark.parametrize(
    ("subject", "who", "expected"),
    [
        ({"kind": "User", "user": {"name": "me"}}, ME, True),
        ({"kind": "User", "user": {"name": "*"}}, ME, True),
        ({"kind": "User", "user": {"name": "you"}}, ME, False),
        ({"kind": "Group", "group": {"name": "friends"}}, ME, True),
        ({"kind": "Group", "group": {"name": "*"}}, User("nobody"), True),
        ({"kind": "Group", "group": {"name": "me"}}, ME, False),
        ({"kind": "ServiceAccount", "serviceAccount": {"namespace": "ns", "name": "sa"}}, ACCOUNT, True),
        ({"kind": "ServiceAccount", "serviceAccount": {"namespace": "ns", "name": "*"}}, ACCOUNT, True),
        ({"kind": "ServiceAccount", "serviceAccount": {"namespace": "other", "name": "*"}}, ACCOUNT, False),
        ({"kind": "ServiceAccount", "serviceAccount": {"namespace": "ns", "name": "*"}}, ME, False),
    ],
)
def test_subjects(subject: Object, who: User, expected: bool) -> None:
    assert matches({"rules": [{"subjects": [subject], "resourceRules": [ANYTHING]}]}, who, MAP) is expected


@pytest.mark.parametrize(
    ("change", "what", "expected"),
    [
        ({}, MAP, True),
        ({"verbs": ["get", "list"]}, MAP, True),
        ({"verbs": ["list"]}, MAP, False),
        ({"apiGroups": ["apps"]}, MAP, False),
        ({"resources": ["configmaps"]}, MAP, True),
        ({"resources": ["pods"]}, LOG, False),
        ({"resources": ["pods/status"]}, LOG, True),
        ({"namespaces": ["default"]}, MAP, True),
        ({"namespaces": ["kube-system"]}, MAP, False),
        ({"clusterScope": False}, MAP, True),
        ({"clusterScope": False}, EVERYWHERE, False),
        ({"namespaces": []}, EVERYWHERE, True),
        ({}, RequestInfo("get", "/version"), False),
    ],
)
def test_resource_rules(change: Object, what: RequestInfo, expected: bool) -> None:
    rule = {"subjects": [{"kind": "User", "user": {"name": "*"}}], "resourceRules": [{**ANYTHING, **change}]}
    assert matches({"rules": [rule]}, ME, what) is expected


@pytest.mark.parametrize(
    ("urls", "path", "expected"),
    [
        (["*"], "/version", True),
        (["/version"], "/version", True),
        (["/version"], "/version/", False),
        (["/debug/*"], "/debug/pprof", True),
        (["/debug/*"], "/debug", False),
    ],
)
def test_other_paths(urls: list[str], path: str, expected: bool) -> None:
    rule = {
        "subjects": [{"kind": "User", "user": {"name": "*"}}],
        "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": urls}],
    }
    assert matches({"rules": [rule]}, ME, RequestInfo("get", path)) is expected
    assert not matches({"rules": [rule]}, ME, RequestInfo("post", path))
    assert not matches({"rules": [rule]}, ME, MAP)
