"""Which rule of an audit policy a request falls under."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pybernetes.apiserver.attributes import RequestInfo, User
from pybernetes.apiserver.audit.log import AuditLog
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


class Clock:
    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        self.moment += timedelta(seconds=1)
        return self.moment


def test_the_log_is_rotated_kept_in_number_and_readable_by_us_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pybernetes.apiserver.audit import log

    monkeypatch.setattr(log, "MEGABYTE", 100)
    written = AuditLog(str(tmp_path / "audit.log"), Clock(), max_size_mb=1, max_backups=2)  # type: ignore[arg-type]
    for number in range(12):
        written.write({"number": number, "text": "x" * 20})
    written.close()
    files = sorted(tmp_path.iterdir())
    assert len(files) == 3 and files[-1].name == "audit.log"
    assert all(file.stat().st_size <= 100 and file.stat().st_mode & 0o777 == 0o600 for file in files)
    assert b'"number":11' in files[-1].read_bytes()
