"""What the status of a ValidatingAdmissionPolicy warns of."""

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.controllers.actions import Update
from pybernetes.controllers.validatingadmissionpolicy_status import Snapshot, check, is_checked, matched_kinds, reconcile
from pybernetes.machinery.cel.kinds import of_builtin
from pybernetes.machinery.meta import GroupVersionKind
from pybernetes.machinery.resources import BUILTIN

POD = GroupVersionKind("", "v1", "Pod")
DEPLOYMENT = GroupVersionKind("apps", "v1", "Deployment")


def types(*kinds: GroupVersionKind) -> Any:
    return [(gvk, of_builtin(gvk)) for gvk in kinds]


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("object.spec.replicas > 1", None),
        ("object.spec.selector.matchLabels['a'] == 'b'", None),
        ("object.spec.template.spec.containers.all(c, c.image.endsWith('x'))", None),
        ("object.spec.template.spec.volumes.exists(v, has(v.configMap) && v.configMap.defaultMode > 0)", None),
        ("object.spec.strategy.rollingUpdate.maxSurge == 1", None),  # a number or a text
        ("object.spec.replicas > '1'", "'(int, string)'"),
        ("object.spec.template.spec.containers.all(c, c.picture == '')", "undefined field 'picture'"),
        ("object.metadata.creationTimestamp == ''", "'(google.protobuf.Timestamp, string)'"),
    ],
)
def test_expressions_are_held_against_the_types_of_fields(expression, why):
    found = list(check({"validations": [{"expression": expression}]}, types(DEPLOYMENT), None))
    assert (why in found[0]["warning"]) if why else not found, found


def test_a_warning_names_each_kind_that_it_is_about():
    spec = {"validations": [{"expression": "true"}, {"expression": "object.spec.replicas > 1", "messageExpression": "1 + ''"}]}
    first, second = check(spec, types(POD, DEPLOYMENT), None)
    assert first["fieldRef"] == "spec.validations[1].expression"
    assert first["warning"].startswith("/v1, Kind=Pod: ERROR: <input>:1:12: undefined field 'replicas'\n | ")
    assert "Deployment" not in first["warning"]
    assert second["fieldRef"] == "spec.validations[1].messageExpression"
    assert second["warning"].count("Kind=") == 2


RULE = {"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments", "deployments/status", "*"]}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([RULE], [DEPLOYMENT]),
        ([RULE, {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}], [POD, DEPLOYMENT]),
        ([{**RULE, "apiGroups": ["*"]}], []),
        ([{**RULE, "apiVersions": ["*"]}], []),
        ([{**RULE, "resources": ["nothing"]}], []),
    ],
)
def test_kinds_are_those_that_rules_name(rules, expected):
    assert matched_kinds(rules, BUILTIN) == expected


def test_no_more_than_ten_kinds_are_looked_at():
    plurals = [resource.plural for resource in BUILTIN if resource.group == "" and resource.version == "v1"]
    assert len(matched_kinds([{"apiGroups": [""], "apiVersions": ["v1"], "resources": plurals}], BUILTIN)) == 10


def test_a_policy_is_checked_once_a_generation():
    policy: dict[str, Any] = {
        "metadata": {"name": "p", "generation": 2}, "spec": {"validations": []}, "status": {"observedGeneration": 1}
    }  # fmt: skip
    assert not is_checked(policy)
    (action,) = reconcile(Snapshot(policy, types(POD), None))
    assert isinstance(action, Update) and action.subresource == "status"
    assert action.obj["status"] == {"observedGeneration": 2, "typeChecking": {}}
    assert is_checked(action.obj)
