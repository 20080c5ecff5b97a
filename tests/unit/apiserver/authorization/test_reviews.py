"""The access reviews, as recorded from upstream."""

import pytest

from pybernetes.apiserver.attributes import User
from pybernetes.apiserver.authorization.interface import Decision, Verdict
from pybernetes.apiserver.authorization.reviews import (
    local_subject_access_review,
    self_subject_access_review,
    self_subject_rules_review,
    subject_access_review,
)
from pybernetes.apiserver.bootstrap import ensure
from pybernetes.machinery import errors


@pytest.fixture
async def authorizer(cluster, authorizing):
    await ensure(cluster, cluster)
    return authorizing("Node", "RBAC")


def review(**spec):
    return {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "metadata": {}, "spec": spec}


async def test_an_allowed_access_says_by_what(authorizer):
    asked = {"path": "/openapi/v2", "verb": "get"}
    answer = await subject_access_review(
        review(user="x", groups=["system:authenticated"], nonResourceAttributes=asked), authorizer
    )
    assert answer["status"] == {
        "allowed": True,
        "reason": 'RBAC: allowed by ClusterRoleBinding "system:discovery" of ClusterRole "system:discovery" '
        'to Group "system:authenticated"',
    }


async def test_a_refused_access_says_nothing_else_and_empty_texts_are_dropped(authorizer):
    asked = {"group": "", "resource": "pods", "verb": "get", "namespace": "ns"}
    answer = await subject_access_review(review(user="x", resourceAttributes=asked), authorizer)
    assert answer["status"] == {"allowed": False}
    assert answer["spec"]["resourceAttributes"] == {"resource": "pods", "verb": "get", "namespace": "ns"}
    answer = await self_subject_access_review(
        review(resourceAttributes={**asked, "resource": "*"}), User("root", groups=("system:masters",)), authorizer
    )
    assert answer["status"] == {"allowed": True}


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({}, "[spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes "
             'must be specified, spec.user: Invalid value: "": at least one of user or group must be specified]'),
        ({"user": "x", "nonResourceAttributes": {}, "resourceAttributes": {}},
         'spec.nonResourceAttributes: Invalid value: {"Path":"","Verb":""}: '
         "cannot be specified in combination with resourceAttributes"),
    ],
)  # fmt: skip
async def test_a_review_of_nothing_is_invalid(authorizer, spec, problem):
    with pytest.raises(errors.Invalid) as refused:
        await subject_access_review(review(**spec), authorizer)
    assert refused.value.message == f'.authorization.k8s.io "" is invalid: {problem}'


async def test_a_local_review_asks_about_its_own_namespace(authorizer):
    with pytest.raises(errors.Invalid, match=r"must match metadata\.namespace"):
        asked = {"resource": "pods", "verb": "get", "namespace": "other"}
        await local_subject_access_review(review(user="x", resourceAttributes=asked), "ns", authorizer)


async def test_rules_are_listed_and_what_is_not_listable_is_said(authorizer):
    asked = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": "ns"}}
    status = self_subject_rules_review(asked, User("x", groups=("system:authenticated",)), authorizer)["status"]
    assert status["incomplete"] is False
    assert {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"]} in (
        status["resourceRules"]
    )
    assert any("/version" in rule["nonResourceURLs"] for rule in status["nonResourceRules"])
    node = User("system:node:a", groups=("system:nodes", "system:authenticated"))
    status = self_subject_rules_review(asked, node, authorizer)["status"]
    assert (status["incomplete"], status["evaluationError"]) == (True, "node authorizer does not support user rule resolution")
    with pytest.raises(errors.BadRequest, match="no namespace on request"):
        self_subject_rules_review({**asked, "spec": {}}, node, authorizer)


class Recorder:
    """Remembers what it is asked, and answers as told."""

    def __init__(self, verdict):
        self.verdict = verdict
        self.asked = []

    async def authorize(self, user, info):
        self.asked.append(info)
        return self.verdict


FIELDS_TERM = {"key": "spec.nodeName", "operator": "In", "values": ["a"]}


@pytest.mark.parametrize(
    ("attributes", "fields", "labels", "problem"),
    [
        ({"fieldSelector": {"rawSelector": "spec.nodeName=a"}}, "spec.nodeName=a", "", None),
        ({"fieldSelector": {"requirements": [FIELDS_TERM, {**FIELDS_TERM, "operator": "NotIn", "values": ["b,c"]}]}},
         r"spec.nodeName=a,spec.nodeName!=b\,c", "", None),
        ({"labelSelector": {"requirements": [{"key": "a", "operator": "In", "values": ["y", "x"]},
                                             {"key": "b", "operator": "DoesNotExist"}]}}, "", "a in (x,y),!b", None),
        ({"fieldSelector": {"rawSelector": "nonsense"}}, "", "",
         "spec.resourceAttributes.fieldSelector ignored due to parse error"),
        ({"fieldSelector": {"requirements": [FIELDS_TERM, {**FIELDS_TERM, "values": ["a", "b"]}]},
          "labelSelector": {"requirements": [{"key": "a", "operator": "Near", "values": ["b"]}]}}, "spec.nodeName=a", "",
         "spec.resourceAttributes.fieldSelector partially ignored due to parse error; "
         "spec.resourceAttributes.labelSelector ignored due to parse error"),
    ],
)  # fmt: skip
async def test_selectors_narrow_the_question_as_far_as_they_are_understood(attributes, fields, labels, problem):
    asked = {"verb": "list", "resource": "pods", **attributes}
    recorder = Recorder(Verdict(Decision.ALLOW))
    answer = await subject_access_review(review(user="x", resourceAttributes=asked), recorder)
    (info,) = recorder.asked
    assert (info.field_selector, info.label_selector, info.version) == (fields, labels, "*")
    assert answer["status"].get("evaluationError") == problem


@pytest.mark.parametrize(
    ("selector", "problem"),
    [
        ({"requirements": [{"key": "", "operator": "In", "values": ["a"]}]}, ".requirements[0].key: Required value: must be "),
        ({"requirements": [{"key": "a", "operator": "In"}]}, ".requirements[0].values: Required value: must be specified when"),
        (
            {"requirements": [{"key": "a", "operator": "Exists", "values": ["b"]}]},
            ".requirements[0].values: Forbidden: may not",
        ),
        ({}, ".requirements: Required value: when spec.resourceAttributes.fieldSelector is specified, requirements or raw"),
        ({"rawSelector": "a=b", "requirements": [FIELDS_TERM]}, '.rawSelector: Invalid value: "a=b": may not specified at'),
    ],
)
async def test_selectors_that_contradict_themselves_are_invalid(authorizer, selector, problem):
    asked = {"verb": "list", "resource": "pods", "fieldSelector": selector}
    with pytest.raises(errors.Invalid) as refused:
        await subject_access_review(review(user="x", resourceAttributes=asked), authorizer)
    assert f"spec.resourceAttributes.fieldSelector{problem}" in refused.value.message


async def test_a_failed_authorizer_is_said_as_evaluation_error():
    recorder = Recorder(Verdict(Decision.NO_OPINION, error="no answer"))
    asked = {"path": "/x", "verb": "get"}
    answer = await subject_access_review(review(user="x", nonResourceAttributes=asked), recorder)
    assert answer["status"] == {"allowed": False, "evaluationError": "no answer"}


async def test_a_review_has_no_metadata(authorizer):
    asked = {"user": "x", "resourceAttributes": {"resource": "pods", "verb": "get", "namespace": "ns"}}
    named = {**review(**asked), "metadata": {"name": "a"}}
    with pytest.raises(errors.Invalid, match=r'metadata: Invalid value: {"name":"a"}: must be empty$'):
        await subject_access_review(named, authorizer)
    with pytest.raises(errors.Invalid, match="must be empty except for namespace"):
        await local_subject_access_review(named, "ns", authorizer)
    elsewhere = {**review(**asked), "metadata": {"namespace": "other"}}
    with pytest.raises(errors.BadRequest, match="does not match the namespace sent on the request"):
        await local_subject_access_review(elsewhere, "ns", authorizer)
