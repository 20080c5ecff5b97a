"""What a webhook is asked, under which conditions, and what its answers mean."""

import pytest

from pybernetes.apiserver.attributes import RequestInfo, User
from pybernetes.apiserver.authorization.conditions import ConditionsFailed, compile_conditions
from pybernetes.apiserver.authorization.interface import Decision
from pybernetes.apiserver.authorization.questions import may_be_kept, review_of, spec_of, verdict_of

JANE = User("jane", "1", ("cooks",), {"scopes": ("a", "b")})
LIST = RequestInfo(
    "list",
    "",
    True,
    "",
    "v1",
    "pods",
    "",
    "ns",
    "",
    label_selector="app in (x,y),!old,size>3",
    field_selector="host=a",
)
GET_LOGS = RequestInfo("get", "/logs")


def test_a_review_says_who_wants_what_and_leaves_out_what_is_empty():
    assert review_of(spec_of(JANE, LIST), "v1") == {
        "kind": "SubjectAccessReview",
        "apiVersion": "authorization.k8s.io/v1",
        "metadata": {},
        "spec": {
            "user": "jane", "uid": "1", "groups": ["cooks"], "extra": {"scopes": ["a", "b"]},
            "resourceAttributes": {
                "namespace": "ns", "verb": "list", "version": "v1", "resource": "pods",
                "fieldSelector": {"requirements": [{"key": "host", "operator": "In", "values": ["a"]}]},
                "labelSelector": {"requirements": [
                    {"key": "app", "operator": "In", "values": ["x", "y"]}, {"key": "old", "operator": "DoesNotExist"},
                ]},
            },
        },
        "status": {"allowed": False},
    }  # fmt: skip


def test_the_older_version_has_another_name_for_groups():
    spec = review_of(spec_of(User("jane", groups=("cooks",)), GET_LOGS), "v1beta1")["spec"]
    assert spec == {"user": "jane", "group": ["cooks"], "nonResourceAttributes": {"path": "/logs", "verb": "get"}}


def test_selectors_that_say_nothing_are_not_passed_on():
    info = RequestInfo("list", "", True, resource="pods", label_selector="a=(", field_selector="nonsense")
    assert spec_of(JANE, info)["resourceAttributes"].keys() == {
        "namespace", "verb", "group", "version", "resource", "subresource", "name",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("status", "decision", "reason", "error"),
    [
        ({"allowed": True, "reason": "r"}, Decision.ALLOW, "r", ""),
        ({"allowed": False, "reason": "r"}, Decision.NO_OPINION, "r", ""),
        ({"allowed": False, "denied": True, "reason": "r"}, Decision.DENY, "r", ""),
        ({"allowed": True, "denied": True}, Decision.DENY, "",
         "webhook subject access review returned both allow and deny response"),
        ({}, Decision.NO_OPINION, "", ""),
        (None, Decision.NO_OPINION, "", ""),
        ({"allowed": "true"}, Decision.NO_OPINION, "", ""),
    ],
)  # fmt: skip
def test_an_answer_allows_denies_or_has_no_opinion(status, decision, reason, error):
    assert verdict_of(status) == (decision, reason, error)


def test_answers_about_huge_names_are_not_kept():
    assert may_be_kept(LIST)
    assert not may_be_kept(RequestInfo("get", "/" + "x" * 10_000))


@pytest.mark.parametrize(
    ("expressions", "holds"),
    [
        ((), True),
        (("has(request.resourceAttributes)",), True),
        (("has(request.nonResourceAttributes)",), False),
        (("request.user == 'jane'", "'cooks' in request.groups"), True),
        (("request.user == 'jane'", "request.uid == '2'"), False),
        (("request.extra['scopes'].exists(s, s == 'b')",), True),
        (("request.resourceAttributes.namespace == 'ns' && request.resourceAttributes.verb in ['list', 'watch']",), True),
        (("request.resourceAttributes.name == ''",), True),
        (
            ("request.resourceAttributes.fieldSelector.requirements.exists(r, r.key == 'host' && r.values == ['a'])",),
            True,
        ),
        (("request.resourceAttributes.labelSelector.requirements.size() == 2",), True),
        (("!has(request.resourceAttributes.labelSelector)",), False),
        (("request.nonResourceAttributes.path == '/x'", "request.user == 'joe'"), False),  # false outweighs failed
    ],
)
def test_all_conditions_must_hold(expressions, holds):
    conditions, problems = compile_conditions([{"expression": text} for text in expressions], "authorizers[0]")
    assert not problems
    assert conditions.hold(spec_of(JANE, LIST)) is holds


def test_conditions_that_fail_say_which():
    expressions = ["request.nonResourceAttributes.path == '/x'", "request.user == 'jane'"]
    conditions, _ = compile_conditions([{"expression": text} for text in expressions], "authorizers[0]")
    sentence = r"^cel evaluation error: expression 'request.nonResourceAttributes.path == '/x'' resulted in error: no such key"
    with pytest.raises(ConditionsFailed, match=sentence):
        conditions.hold(spec_of(JANE, LIST))
