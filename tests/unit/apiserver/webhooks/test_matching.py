"""Which hooks a request concerns, and what answers of hooks mean."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from pybernetes.apiserver.admission.interface import AdmissionRequest, Operation
from pybernetes.apiserver.admission.versions import KindVersions
from pybernetes.apiserver.admission.webhooks import review
from pybernetes.apiserver.admission.webhooks.hooks import compile_hooks
from pybernetes.apiserver.admission.webhooks.matching import is_exempt, match
from pybernetes.apiserver.attributes import User
from pybernetes.machinery.errors import NotFound
from pybernetes.machinery.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    NAMESPACES,
    NODES,
    PODS,
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_WEBHOOK_CONFIGURATIONS,
)

RULE = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}


def hook(rule: Any = None, **fields: Any) -> Any:
    webhook = {"name": "a.b.c", "rules": [{**RULE, **(rule or {})}], "admissionReviewVersions": ["v1"], **fields}
    (made,) = compile_hooks({"metadata": {"name": "x"}, "webhooks": [webhook]})
    return made


def request(resource: Any = PODS, operation: Operation = Operation.CREATE, **fields: Any) -> AdmissionRequest:
    namespace = "ns" if resource.namespaced else ""
    given = {
        "subresource": "", "namespace": namespace, "name": "n", "user": User("u"), "old_object": None,
        "object": {"metadata": {"name": "n", "labels": {"app": "a"}}}, **fields,
    }  # fmt: skip
    return AdmissionRequest(operation=operation, resource=resource, **given)


@pytest.mark.parametrize(
    ("rule", "asked", "expected"),
    [
        ({}, request(), True),
        ({"operations": ["UPDATE"]}, request(), False),
        ({"operations": ["*"]}, request(operation=Operation.DELETE), True),
        ({"resources": ["*"]}, request(), True),
        ({"resources": ["*"]}, request(subresource="status"), False),
        ({"resources": ["*/*"]}, request(subresource="status"), True),
        ({"resources": ["pods/*"]}, request(subresource="exec", operation=Operation.CREATE), True),
        ({"resources": ["pods/*"]}, request(), True),  # "pods/*" covers the pods themselves, as upstream's matcher has it
        ({"resources": ["*/scale"]}, request(DEPLOYMENTS, subresource="scale"), False),
        ({"resources": ["*/scale"], "apiGroups": ["apps"]}, request(DEPLOYMENTS, subresource="scale"), True),
        ({"apiVersions": ["v2"]}, request(), False),
        ({"scope": "Cluster"}, request(), False),
        ({"scope": "Namespaced"}, request(), True),
        ({"scope": "Cluster", "resources": ["nodes"]}, request(NODES), True),
        # A namespace is no namespaced object, although its requests name one.
        ({"scope": "Cluster", "resources": ["namespaces"]}, request(NAMESPACES, namespace="n"), True),
        ({"scope": "Namespaced", "resources": ["namespaces"]}, request(NAMESPACES, namespace="n"), False),
    ],
)
def test_rules_choose_by_operation_group_version_resource_and_scope(cluster, rule, asked, expected):
    assert (match(hook(rule), asked, cluster, KindVersions({})) is not None) is expected


def test_namespaces_are_selected_by_their_labels(cluster):
    cluster.put(NAMESPACES, {"metadata": {"name": "ns", "labels": {"team": "a"}}})
    versions = KindVersions({})
    wants_a, wants_b = (hook(namespaceSelector={"matchLabels": {"team": team}}) for team in "ab")
    assert match(wants_a, request(), cluster, versions) is not None
    assert match(wants_b, request(), cluster, versions) is None
    # What is in no namespace is in none that could be left out.
    rule = {"resources": ["nodes"]}
    assert match(hook(rule, namespaceSelector={"matchLabels": {"team": "b"}}), request(NODES), cluster, versions) is not None
    # A namespace that is written is judged by what it will be.
    rule = {"resources": ["namespaces"]}
    written = request(NAMESPACES, name="ns", object={"metadata": {"name": "ns", "labels": {"team": "b"}}})
    assert match(hook(rule, namespaceSelector={"matchLabels": {"team": "b"}}), written, cluster, versions) is not None


def test_a_namespace_that_is_not_there_matters_only_where_the_rules_match(cluster):
    selector = {"matchLabels": {"team": "a"}}
    with pytest.raises(NotFound):
        match(hook(namespaceSelector=selector), request(), cluster, KindVersions({}))
    assert match(hook(namespaceSelector=selector), request(CONFIG_MAPS), cluster, KindVersions({})) is None


def test_either_the_new_or_the_old_object_is_enough_for_the_object_selector(cluster):
    chosen = hook({"operations": ["*"]}, objectSelector={"matchLabels": {"app": "a"}})
    new, other = {"metadata": {"labels": {"app": "a"}}}, {"metadata": {}}

    def matches(obj: Any, old: Any) -> bool:
        asked = request(operation=Operation.UPDATE, object=obj, old_object=old)
        return match(chosen, asked, cluster, KindVersions({})) is not None

    assert matches(new, other) and matches(other, new) and not matches(other, other)
    assert matches(None, new) and not matches(None, None)


def test_configurations_and_policies_are_exempt():
    assert is_exempt(request(VALIDATING_WEBHOOK_CONFIGURATIONS))
    assert is_exempt(request(VALIDATING_ADMISSION_POLICIES))
    assert not is_exempt(request())


def answer(**response: Any) -> Any:
    given = {"uid": "u", "allowed": True, **response}
    return {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": given}


PATCH = base64.b64encode(b"[]").decode()


@pytest.mark.parametrize(
    ("given", "mutating", "why"),
    [
        ({}, True, "webhook response was absent"),
        (answer(uid="v"), True, 'expected response.uid="u", got "v"'),
        (
            {**answer(), "apiVersion": "admission.k8s.io/v1beta1"}, True,
            "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, "
            "got admission.k8s.io/v1beta1, Kind=AdmissionReview",
        ),
        (answer(patch=PATCH), True, "webhook returned response.patch but not response.patchType"),
        (answer(patchType="JSONPatch"), True, "webhook returned response.patchType but not response.patch"),
        (answer(patch=PATCH, patchType="Magic"), True, 'unsupported patch type "Magic"'),
        (answer(patch=PATCH), False, "validating webhook may not return response.patch"),
        (answer(patchType="JSONPatch"), False, "validating webhook may not return response.patchType"),
    ],
)  # fmt: skip
def test_answers_that_are_none_say_why(given, mutating, why):
    with pytest.raises(review.InvalidReview) as caught:
        review.read_answer(given, "v1", "u", mutating=mutating)
    assert str(caught.value) == why


def test_the_old_version_is_less_strict():
    given = {"response": {"allowed": True, "patch": PATCH}}
    assert review.read_answer(given, "v1beta1", "u", mutating=True).patch == b"[]"


@pytest.mark.parametrize(
    ("result", "code", "message"),
    [
        (None, 400, "without explanation"),
        ({"code": 200, "status": "Success"}, 400, "without explanation"),
        ({"reason": "Because"}, 400, None),
        ({"message": "no", "reason": "Because", "code": 451}, 451, None),
    ],
)
def test_a_refusal_is_always_a_failure(result, code, message):
    error = review.denied("a.b.c", result)
    assert (error.status["status"], error.status["code"]) == ("Failure", code)
    said = (result or {}).get("message") or (result or {}).get("reason")
    tail = f": {said}" if said else f" {message}"
    assert error.status["message"] == f'admission webhook "a.b.c" denied the request{tail}'
