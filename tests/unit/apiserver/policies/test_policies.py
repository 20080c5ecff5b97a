"""Which policies a request concerns, what is compiled when, and what a policy decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.apiserver.admission.condition_metrics import ConditionMetrics, Counted
from pybernetes.apiserver.admission.interface import AdmissionRequest, Operation
from pybernetes.apiserver.admission.matching import compile_criteria, match, may_concern
from pybernetes.apiserver.admission.policies.compiled import compile_policy
from pybernetes.apiserver.admission.policies.judging import Judgement, judge
from pybernetes.apiserver.admission.policies.metrics import BUCKETS_S, PolicyMetrics, error_type
from pybernetes.apiserver.admission.policies.source import Source
from pybernetes.apiserver.admission.verdicts import Verdicts
from pybernetes.apiserver.admission.versions import KindVersions
from pybernetes.apiserver.attributes import RequestInfo, User
from pybernetes.apiserver.authorization.interface import Decision, Verdict
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.meta import GroupVersionKind, Resource
from pybernetes.machinery.resources import (
    CONFIG_MAPS,
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_ADMISSION_POLICY_BINDINGS,
)
from pybernetes.machinery.turns import by_turns

LABELS = ("policy", "p", "CREATE", "validate")
RULE = {"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}


def request(name: str = "n", resource: Resource = CONFIG_MAPS) -> AdmissionRequest:
    return AdmissionRequest(
        Operation.CREATE, resource, "", "ns", name, User("joe", groups=("g",)), {"metadata": {"name": name}}, None
    )


def policy(*expressions: str, name: str = "p", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail", "matchConstraints": {"resourceRules": [RULE]},
            "validations": [{"expression": text} for text in expressions], **spec,
        },
    }  # fmt: skip


# Matching


class TwoVersions(KindVersions):
    """Everything is served as v1 and as v2."""

    def __init__(self) -> None:
        super().__init__({})

    def others(self, resource: Resource) -> Sequence[Resource]:
        return [Resource(resource.group, "v2", resource.plural, resource.kind, resource.namespaced)]

    def kind_of(self, resource: Resource, subresource: str) -> GroupVersionKind:
        return resource.gvk


@pytest.mark.parametrize(
    ("rules", "excluded", "exact", "name", "expected"),
    [
        ([RULE], [], False, "n", "v1"),
        (None, [], False, "n", "v1"),
        ([], [], False, "n", None),
        ([{**RULE, "resourceNames": ["n"]}], [], False, "n", "v1"),
        ([{**RULE, "resourceNames": ["n"]}], [], False, "m", None),
        ([RULE], [{**RULE, "resourceNames": ["n"]}], False, "n", None),
        ([RULE], [{**RULE, "resourceNames": ["n"]}], False, "m", "v1"),
        ([{**RULE, "apiVersions": ["v2"]}], [], False, "n", "v2"),
        ([{**RULE, "apiVersions": ["v2"]}], [], True, "n", None),
        ([RULE], [{**RULE, "apiVersions": ["v2"]}], False, "n", None),
        ([RULE], [{**RULE, "apiVersions": ["v2"]}], True, "n", "v1"),
    ],
)
def test_a_request_is_matched_by_rules_that_are_not_excluded(cluster, rules, excluded, exact, name, expected):
    criteria = compile_criteria({"matchPolicy": "Exact" if exact else "Equivalent"}, rules, excluded)
    found = match(criteria, request(name), cluster, TwoVersions())
    assert (found.resource.version if found else None) == expected


def some(*values: str) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=2)


RULES = st.lists(
    st.fixed_dictionaries({
        "operations": some("*", "CREATE", "UPDATE"), "apiGroups": some("", "apps", "*"), "apiVersions": some("v1", "v2", "v3"),
        "resources": some("*", "configmaps", "pods", "*/*"), "scope": st.sampled_from(["*", "Cluster", "Namespaced"]),
        "resourceNames": st.lists(st.sampled_from("nm"), max_size=1),
    }),
    max_size=2,
)  # fmt: skip


@given(given_rules=RULES, exact=st.booleans(), name=st.sampled_from("nm"))
def test_whatever_matches_may_concern(given_rules, exact, name):
    criteria = compile_criteria({"matchPolicy": "Exact" if exact else "Equivalent"}, given_rules)
    versions = TwoVersions()
    if match(criteria, request(name), None, versions) is not None:  # type: ignore[arg-type]
        assert may_concern(criteria, request(name), versions)


def test_policies_that_cannot_concern_a_request_are_left_out_until_something_changes(cluster):
    source = Source(cluster, VALIDATING_ADMISSION_POLICIES, VALIDATING_ADMISSION_POLICY_BINDINGS)
    versions = KindVersions({})

    def concerning() -> Any:
        return [each.policy.name for each in source.concerning(request(), versions)]

    assert concerning() == []
    for name, version in (("one", "v1"), ("two", "v2")):
        constraints = {"resourceRules": [{**RULE, "apiVersions": [version]}]}
        cluster.put(VALIDATING_ADMISSION_POLICIES, policy("true", name=name, matchConstraints=constraints))
        cluster.put(VALIDATING_ADMISSION_POLICY_BINDINGS, {"metadata": {"name": name}, "spec": {"policyName": name}})
    assert concerning() == ["one"]
    versions.others = TwoVersions().others  # type: ignore[method-assign]
    assert concerning() == ["one"], "remembered"
    versions.forget()
    assert concerning() == ["one", "two"]
    elsewhere = {"resourceRules": [{**RULE, "resources": ["pods"]}]}
    cluster.put(VALIDATING_ADMISSION_POLICIES, policy("true", name="one", matchConstraints=elsewhere))
    assert concerning() == ["two"]


# Compiling


def test_what_did_not_change_is_not_compiled_again(cluster, monkeypatch):
    compilations = []

    def counted(obj: Any) -> Any:
        compilations.append(obj["metadata"]["name"])
        return compile_policy(obj)

    monkeypatch.setattr("pybernetes.apiserver.admission.policies.compiled.compile_policy", counted)
    source = Source(cluster, VALIDATING_ADMISSION_POLICIES, VALIDATING_ADMISSION_POLICY_BINDINGS)
    for name in ("b", "a", "unbound"):
        cluster.put(VALIDATING_ADMISSION_POLICIES, policy("true", name=name))
    assert source.current() == () and compilations == []
    for name, of in (("2", "a"), ("1", "a"), ("3", "b"), ("4", "absent")):
        cluster.put(VALIDATING_ADMISSION_POLICY_BINDINGS, {"metadata": {"name": name}, "spec": {"policyName": of}})
    shown = [(each.policy.name, [binding.name for binding in each.bindings]) for each in source.current()]
    assert shown == [("a", ["1", "2"]), ("b", ["3"])]
    assert source.current() is source.current()
    assert compilations == ["a", "b"]
    cluster.put(VALIDATING_ADMISSION_POLICIES, policy("false", name="a"))
    assert source.current()[0].policy.validations[0].expression.text == "false"
    assert compilations == ["a", "b", "a"]


# Judging


class Allows:
    """An authorizer that allows what is in `allowed`, and remembers what it was asked."""

    def __init__(self, *allowed: str) -> None:
        self.allowed = allowed
        self.asked: list[tuple[User, RequestInfo]] = []

    async def authorize(self, user: User, info: RequestInfo) -> Verdict:
        self.asked.append((user, info))
        if info.verb == "fail":
            return Verdict(Decision.NO_OPINION, "", "out of order")
        return Verdict(Decision.ALLOW if info.verb in self.allowed else Decision.NO_OPINION, f"as {info.verb}")


class Ticking(SystemClock):
    """Time goes by whenever it is asked for."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def monotonic(self) -> float:
        self._seconds += 1
        return self._seconds


async def judged(given: Any, authorizer: Any = None, metrics: ConditionMetrics | None = None, **variables: Any) -> Judgement:
    seen = {"object": {"n": 1}, "oldObject": None, "request": {}, "namespaceObject": None, "params": None, **variables}
    counted = Counted(metrics or ConditionMetrics(Ticking()), LABELS)
    verdicts = Verdicts(authorizer or Allows(), request())
    return await by_turns(lambda: judge(compile_policy(given), seen, verdicts, counted))


async def test_there_is_a_decision_on_each_validation():
    found = await judged(policy("object.n == 1", "object.n == 2", "object.m == 1"))
    assert [(one.denies, one.failed) for one in found.decisions] == [(False, False), (True, False), (True, True)]
    assert found.decisions[1].message == "failed expression: object.n == 2" and found.decisions[1].seconds == 1


async def test_failures_that_are_to_be_ignored_deny_nothing():
    found = await judged(policy("object.m == 1", "object.n == 2", failurePolicy="Ignore"))
    assert [(one.denies, one.failed) for one in found.decisions] == [(False, True), (True, False)]


async def test_conditions_decide_whether_there_is_anything_to_decide():
    conditions = [{"name": "c", "expression": "object.n == 2"}]
    assert await judged(policy("false", matchConditions=conditions)) == Judgement()
    # One that is false settles it, whatever becomes of the others.
    broken = {"name": "b", "expression": "object.m == 1"}
    assert await judged(policy("false", matchConditions=[broken, *conditions])) == Judgement()
    (decision,) = (await judged(policy("false", "false", matchConditions=[broken]))).decisions
    assert decision.failed and decision.message == "expression 'object.m == 1' resulted in error: no such key: m"


async def test_the_budget_is_one_for_all_validations():
    check = "authorizer.path('/x').check('get').allowed() || true"
    found = await judged(policy(*[f"{check} || {i} == 0" for i in range(30)]))
    (decision,) = found.decisions
    assert decision.message == "validation failed due to running out of cost budget, no further validation rules will be run"
    assert error_type(decision.message) == "out_of_budget"


async def test_annotations_are_texts_or_nothing():
    def annotated(*values: str, **spec: Any) -> Any:
        given = [{"key": f"k{i}", "valueExpression": text} for i, text in enumerate(values)]
        return policy("true", auditAnnotations=given, **spec)

    found = await judged(annotated("' a '", "''", "null", "'b' + string(object.n)"))
    assert [(one.key, one.value, one.error) for one in found.annotations] == [("k0", "a", ""), ("k3", "b1", "")]
    (failed,) = (await judged(annotated("'x' + object.m"))).annotations
    assert failed.error == "expression ''x' + object.m' resulted in error: no such key: m"
    assert (await judged(annotated("'x' + object.m", failurePolicy="Ignore"))).annotations == ()


async def test_verdicts_are_about_the_user_or_a_service_account():
    authorizer = Allows("get")
    check = "authorizer.group('apps').resource('deployments').namespace('ns').labelSelector('a=b').check('get')"
    account = "authorizer.serviceAccount('ns', 'sa').path('/metrics').check('get')"
    failing = "authorizer.path('/x').check('fail')"
    found = await judged(
        policy(
            f"{check}.allowed() && {check}.reason() == 'as get'", f"{account}.allowed()",
            f"!{failing}.allowed() && {failing}.errored()", f"{failing}.error() == 'out of order'",
            "!authorizer.requestResource.check('create').allowed()",
        ),
        authorizer,
    )  # fmt: skip
    assert [one.denies for one in found.decisions] == [False] * 5
    assert [(user.name, info.verb) for user, info in authorizer.asked] == [
        ("joe", "get"), ("system:serviceaccount:ns:sa", "get"), ("joe", "fail"), ("joe", "create")
    ]  # fmt: skip
    infos = [info for _, info in authorizer.asked]
    assert infos[0] == RequestInfo(
        "get", "", True, "apps", "*", "deployments", namespace="ns", label_selector="a=b"
    )  # fmt: skip
    assert infos[1] == RequestInfo("get", "/metrics")
    assert (infos[3].resource, infos[3].namespace, infos[3].name) == ("configmaps", "ns", "n")
    assert authorizer.asked[1][0].groups == ("system:serviceaccounts", "system:serviceaccounts:ns")


# Metrics


def test_checks_are_counted_by_what_came_of_them():
    metrics = PolicyMetrics("x", ("policy",))
    for seconds in (0.0, 0.0005, 5.0):
        metrics.observe(("p",), seconds)
    checks, took = metrics.families()
    assert [(sample.name, sample.value) for sample in checks.samples] == [("x_check_total", 3)]
    buckets = {sample.labels["le"]: sample.value for sample in took.samples if sample.name.endswith("_bucket")}
    assert list(buckets.values()) == [1, 2, 2, 2, 2, 3] and len(buckets) == len(BUCKETS_S) + 1


async def test_conditions_are_counted():
    metrics = ConditionMetrics(Ticking())
    broken, no = {"name": "b", "expression": "object.m == 1"}, {"name": "c", "expression": "object.n == 2"}
    await judged(policy("true", matchConditions=[broken, no]), metrics=metrics)
    await judged(policy("true", matchConditions=[no]), metrics=metrics)
    await judged(policy("true"), metrics=metrics)
    assert (metrics.errors, metrics.exclusions) == ({LABELS: 1}, {LABELS: 2})
    errors, exclusions, took = metrics.families()
    assert errors.name == "apiserver_admission_match_condition_evaluation_errors"
    assert exclusions.samples[0].labels == {"kind": "policy", "name": "p", "operation": "CREATE", "type": "validate"}
    assert [sample.value for sample in took.samples if sample.name.endswith(("_count", "_sum"))] == [2, 2]


@pytest.mark.parametrize(
    ("message", "expected"),
    [("", "no_error"), ("compilation error: x", "compile_error"), ("failed expression: x", "invalid_error")],
)
def test_failures_have_a_type(message, expected):
    assert error_type(message) == expected
