"""Which rule of an audit policy a request falls under."""

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.apiserver.attributes import RequestInfo, User
from pybernetes.apiserver.audit.policy import Level, Policy, parse

SECRETS = RequestInfo("get", "/…", True, "", "v1", "secrets", "", "kube-system", "s")
POD_LOG = RequestInfo("get", "/…", True, "", "v1", "pods", "log", "default", "p")
SCALE = RequestInfo("update", "/…", True, "apps", "v1", "deployments", "scale", "default", "d")
HEALTH = RequestInfo("get", "/healthz/etcd")
ME = User("me", groups=("team", "system:authenticated"))


def policy(*rules: dict[str, Any], **common: Any) -> Policy:
    return parse({"kind": "Policy", "apiVersion": "audit.k8s.io/v1", "rules": list(rules), **common})


@pytest.mark.parametrize(
    ("rule", "matched"),
    [
        ({}, {SECRETS, POD_LOG, SCALE, HEALTH}),
        ({"users": ["me"]}, {SECRETS, POD_LOG, SCALE, HEALTH}),
        ({"users": ["you"]}, set()),
        ({"userGroups": ["team", "other"]}, {SECRETS, POD_LOG, SCALE, HEALTH}),
        ({"userGroups": ["other"]}, set()),
        ({"verbs": ["update"]}, {SCALE}),
        ({"namespaces": ["default"]}, {POD_LOG, SCALE}),
        ({"resources": [{"group": ""}]}, {SECRETS, POD_LOG}),
        ({"resources": [{"group": "", "resources": ["pods"]}]}, set()),
        ({"resources": [{"group": "", "resources": ["pods/log"]}]}, {POD_LOG}),
        ({"resources": [{"group": "", "resources": ["pods/*"]}]}, {POD_LOG}),
        ({"resources": [{"group": "apps", "resources": ["*/scale"]}]}, {SCALE}),
        ({"resources": [{"group": "", "resources": ["*"]}]}, {SECRETS, POD_LOG}),
        ({"resources": [{"group": "", "resources": ["secrets"], "resourceNames": ["s"]}]}, {SECRETS}),
        ({"resources": [{"group": "", "resources": ["secrets"], "resourceNames": ["t"]}]}, set()),
        ({"resources": [{"group": ""}], "namespaces": ["kube-system"]}, {SECRETS}),
        ({"nonResourceURLs": ["/healthz*"]}, {HEALTH}),
        ({"nonResourceURLs": ["/healthz"]}, set()),
        ({"nonResourceURLs": ["*"]}, {HEALTH}),
    ],
)
def test_what_a_rule_matches(rule: dict[str, Any], matched: set[RequestInfo]) -> None:
    found = policy({"level": "Request", **rule})
    requests = {SECRETS, POD_LOG, SCALE, HEALTH}
    assert {info for info in requests if found.evaluate(ME, info).level is Level.REQUEST} == matched


def test_the_first_rule_that_matches_counts_and_none_means_nothing() -> None:
    found = policy({"level": "None", "resources": [{"group": ""}]}, {"level": "Metadata", "userGroups": ["team"]})
    assert found.evaluate(ME, SECRETS).level is Level.NONE
    assert found.evaluate(ME, SCALE).level is Level.METADATA
    assert found.evaluate(User("x"), SCALE).level is Level.NONE


def test_stages_are_left_out_by_the_policy_and_by_its_rules() -> None:
    found = policy(
        {"level": "Metadata", "omitStages": ["ResponseStarted"]}, omitStages=["RequestReceived"], omitManagedFields=True
    )
    verdict = found.evaluate(ME, SECRETS)
    assert verdict.omitted_stages == {"RequestReceived", "ResponseStarted"} and verdict.omits_managed_fields


@pytest.mark.parametrize(
    "document",
    [
        None,
        {"kind": "Policy", "apiVersion": "audit.k8s.io/v1beta1", "rules": [{"level": "None"}]},
        {"kind": "Policy", "apiVersion": "audit.k8s.io/v1"},
        {"kind": "Policy", "apiVersion": "audit.k8s.io/v1", "rules": [{"level": "All"}]},
        {"kind": "Policy", "apiVersion": "audit.k8s.io/v1", "rules": [{"level": "None", "user": ["x"]}]},
        {"kind": "Policy", "apiVersion": "audit.k8s.io/v1", "rules": [{"level": "None", "omitStages": ["Never"]}]},
        {
            "kind": "Policy", "apiVersion": "audit.k8s.io/v1",
            "rules": [{"level": "None", "nonResourceURLs": ["/"], "namespaces": ["x"]}],
        },
    ],
)  # fmt: skip
def test_a_policy_that_makes_no_sense_is_refused(document: Any) -> None:
    with pytest.raises(ValueError):
        parse(document)
