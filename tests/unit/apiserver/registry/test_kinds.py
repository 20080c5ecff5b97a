"""Rules of single kinds that no recorded answer shows."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

import pytest

from pybernetes.apiserver.registry import diffs
from pybernetes.apiserver.registry.autoscaling import horizontal_pod_autoscalers as autoscalers
from pybernetes.apiserver.registry.batch import jobs
from pybernetes.apiserver.registry.batch.schedules import schedule_error
from pybernetes.apiserver.registry.certificates import certificate_signing_requests as requests
from pybernetes.apiserver.registry.core import config_maps, namespaces, nodes, secrets
from pybernetes.apiserver.registry.events import events
from pybernetes.apiserver.registry.strategy import Context
from pybernetes.machinery.meta import Object
from pybernetes.machinery.table import human_duration


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"), (119, "119s"), (120, "2m"), (200, "3m20s"), (600, "10m"), (10799, "179m"), (10800, "3h"), (11000, "3h3m"),
        (28800, "8h"), (172799, "47h"), (172800, "2d"), (180000, "2d2h"), (691200, "8d"), (63072000, "2y"), (63200000, "2y1d"),
        (-1, "0s"), (-5, "<invalid>"),
    ],
)  # fmt: skip
def test_ages_grow_coarser(seconds: int, shown: str) -> None:
    assert human_duration(timedelta(seconds=seconds)) == shown


def test_an_immutable_config_map_stays_as_it_is() -> None:
    old: Object = {"metadata": {}, "data": {"a": "1"}, "immutable": True}
    assert list(config_maps.validate_update(copy.deepcopy(old), old)) == []
    found = config_maps.validate_update({"metadata": {}, "data": {"a": "2"}}, old)
    assert [error.field for error in found] == ["immutable", "data"]


def test_text_in_a_secret_is_encoded_over_its_data() -> None:
    secret: Object = {"metadata": {}, "data": {"a": "eA==", "b": "eA=="}, "stringData": {"a": "b"}}
    secrets.default(secret)
    assert secret == {"metadata": {}, "type": "Opaque", "data": {"a": "Yg==", "b": "eA=="}}


@pytest.mark.parametrize(
    ("schedule", "sentence"),
    [
        ("*/5 * * * *", ""), ("0 0 31 2 *", ""), ("@daily", ""), ("@every 1h30m", ""), ("0 0 * jan-mar mon", ""),
        ("* * *", "expected exactly 5 fields, found 3: [* * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'),
        ("@often", "unrecognized descriptor: @often"),
    ],
)  # fmt: skip
def test_schedules_are_checked(schedule: str, sentence: str) -> None:
    assert schedule_error(schedule) == sentence


def test_a_namespace_is_labelled_with_its_name_and_kept_by_a_finalizer(context: Context) -> None:
    namespace: Object = {"metadata": {"name": "n"}}
    namespaces.default(namespace)
    namespaces.prepare_for_create(context, namespace)
    assert namespace["metadata"]["labels"] == {"kubernetes.io/metadata.name": "n"}
    assert namespace["spec"] == {"finalizers": ["kubernetes"]}
    changed: Object = {"metadata": {"name": "n"}, "spec": {}}
    namespaces.prepare_for_update(context, changed, namespace)
    assert changed["spec"] == {"finalizers": ["kubernetes"]}


def node(**status: Any) -> Object:
    made: Object = {"metadata": {"name": "n", "creationTimestamp": "2026-11-21T09:59:00Z"}, "spec": {}, "status": status}
    nodes.default(made)
    return made


def test_a_node_says_how_it_is_and_what_it_does(context: Context) -> None:
    made = node(conditions=[{"type": "Ready", "status": "True"}], addresses=[{"type": "InternalIP", "address": "192.0.2.1"}])
    made["spec"]["unschedulable"] = True
    made["metadata"]["labels"] = {"node-role.kubernetes.io/control-plane": "", "kubernetes.io/role": "edge"}
    cells = nodes.cells(made, context.now)
    assert cells[1:4] == ["Ready,SchedulingDisabled", "control-plane,edge", "60s"]
    assert cells[5] == "192.0.2.1"


def test_a_node_can_allocate_what_it_has_unless_it_says_otherwise() -> None:
    assert node(capacity={"cpu": "2"})["status"]["allocatable"] == {"cpu": "2"}


def test_a_jobs_pods_are_its_own(context: Context) -> None:
    job: Object = {"metadata": {"name": "j", "uid": "u"}, "spec": {"template": {"metadata": {"labels": {"app": "a"}}, "spec": {
        "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}  # fmt: skip
    jobs.default(job)
    jobs.prepare_for_create(context, job)
    assert job["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}
    assert job["spec"]["template"]["metadata"]["labels"]["job-name"] == "j"
    assert job["metadata"]["labels"] == job["spec"]["template"]["metadata"]["labels"]
    assert list(jobs.validate(job)) == []


def test_events_of_both_groups_are_one() -> None:
    event: Object = {
        "kind": "Event", "apiVersion": "events.k8s.io/v1", "metadata": {"name": "e"}, "note": "n", "reason": "R",
        "regarding": {"kind": "Pod", "name": "p"}, "reportingController": "c", "eventTime": "2020-01-02T03:04:05.000006Z",
    }  # fmt: skip
    events.default(event)
    stored = events.to_storage("v1", event)
    assert (stored["apiVersion"], stored["message"], stored["involvedObject"]["name"]) == ("v1", "n", "p")
    assert events.from_storage("v1", stored) == event


def test_an_autoscaler_survives_its_old_version() -> None:
    new: Object = {
        "kind": "HorizontalPodAutoscaler", "apiVersion": "autoscaling/v2", "metadata": {"name": "h"},
        "spec": {"maxReplicas": 3, "metrics": [
            {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}},
            {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}},
        ]},
        "status": {"currentMetrics": None, "desiredReplicas": 0},
    }  # fmt: skip
    autoscalers.default(new)
    old = autoscalers.from_storage("v1", new)
    assert old["spec"]["targetCPUUtilizationPercentage"] == 50
    assert autoscalers.to_storage("v1", old) == new


def test_who_asks_for_a_certificate_is_not_for_the_client_to_say(context: Context) -> None:
    request: Object = {"metadata": {"name": "c"}, "spec": {"username": "somebody", "groups": ["system:masters"]}}
    requests.prepare_for_create(context, request)
    assert request["spec"] == {"username": "admin"}


def test_a_decision_about_a_certificate_stands(context: Context) -> None:
    old: Object = {"metadata": {}, "spec": {}, "status": {"conditions": [{"type": "Approved", "status": "True"}]}}
    signed: Object = {"metadata": {}, "spec": {}, "status": {"certificate": "eA=="}}
    requests.prepare_for_status_update(context, signed, old)
    assert signed["status"]["conditions"][0]["type"] == "Approved"
    denied: Object = {"metadata": {}, "spec": {}, "status": {"conditions": [{"type": "Denied", "status": "True"}]}}
    (error,) = requests.validate_conditions(denied, old)
    assert str(error) == 'status.conditions: Forbidden: updates may not remove a condition of type "Approved"'


def test_a_diff_is_a_hunk_without_file_names() -> None:
    assert diffs.unified({"a": 1}, {"a": 2}) == '@@ -1,3 +1,3 @@\n {\n- "a": 1\n+ "a": 2\n }\n'
