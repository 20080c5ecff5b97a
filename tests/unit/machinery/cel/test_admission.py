"""Expressions of admission: their variables, what they may evaluate to, messages of mutations, the authorizer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.machinery.cel import CelError, CompileError, compile_expression
from pybernetes.machinery.cel.admission import (
    JSON_PATCH,
    OBJECT,
    PATCHES,
    Composed,
    Environment,
    Uncompilable,
    as_json,
    compiled,
    compose,
    namespace_value,
)
from pybernetes.machinery.cel.library_authorizer import Authorizer, Decision, Question, ResourceCheck

EVERYTHING = Environment(has_params=True)


def evaluate(text: str, environment: Environment = EVERYTHING, **variables: Any) -> Any:
    return compiled(text, environment, extension=PATCHES).evaluate(variables)[0]


@pytest.mark.parametrize(
    ("text", "wanted", "why"),
    [
        ("object.spec.replicas > 1", ("bool",), ""),
        ("object.?a.optMap(v, v > 1).orValue(true)", ("bool",), ""),
        ("'wants more, got ' + object.spec.replicas", ("string",), ""),
        ("object.count + 1", ("bool",), "must evaluate to bool but got int"),
        ("object.spec.hostNetwork", ("bool",), "must evaluate to bool but got dyn"),
        ("params", ("bool",), "must evaluate to bool but got dyn"),
        ("1", ("string", "null"), "must evaluate to one of [string null_type] but got int"),
        ("Object{}", (OBJECT,), ""),
        ("Object.spec{}", (OBJECT,), "must evaluate to Object but got Object.spec"),
        ("[JSONPatch{op: 'add'}]", (("list", JSON_PATCH),), ""),
        ("[]", (("list", JSON_PATCH),), ""),
        ("[1]", (("list", JSON_PATCH),), "must evaluate to list(JSONPatch) but got list(int)"),
    ],
)
def test_what_an_expression_may_evaluate_to_is_checked_when_it_is_compiled(text, wanted, why):
    if not why:
        compiled(text, EVERYTHING, wanted, PATCHES)
        return
    with pytest.raises(Uncompilable) as caught:
        compiled(text, EVERYTHING, wanted, PATCHES)
    assert str(caught.value) == why


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("params.x == 1", "undeclared reference to 'params' (in container '')"),
        ("variables.x == 1", "undeclared reference to 'variables' (in container '')"),
        ("authorizer.path('/x').check('get').allowed()", "undeclared reference to 'authorizer' (in container '')"),
        ("request.user == ''", "undefined field 'user'"),
        ("request.userInfo.groups.exists(g, g == 1)", "found no matching overload for '_==_' applied to '(string, int)'"),
        ("namespaceObject.metadata.managedFields == []", "undefined field 'managedFields'"),
        ("Object{}", "undeclared reference to 'Object' (in container '')"),
        ("jsonpatch.escapeKey('a')", "undeclared reference to 'escapeKey' (in container '')"),
    ],
)
def test_what_is_not_there_is_not_declared(text, why):
    with pytest.raises(Uncompilable, match=r"^compilation failed: ERROR: <input>:1:") as caught:
        compiled(text, Environment(has_authorizer=False))
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Object{}", {}),
        ("Object{spec: Object.spec{replicas: 3}}", {"spec": {"replicas": 3}}),
        (
            "Object{spec: Object.spec{containers: [Object.spec.containers{name: 'a'}]}}",
            {"spec": {"containers": [{"name": "a"}]}},
        ),
        ("Object{metadata: Object.metadata{labels: {'a': 'b'}}}", {"metadata": {"labels": {"a": "b"}}}),
        ("Object{?a: optional.none(), ?b: optional.of(1)}", {"b": 1}),
        ("Object{list: [1, 2]}.list.sum()", 3),
        ("JSONPatch{op: 'add', path: '/a/' + jsonpatch.escapeKey('k8s.io/x~y'), value: 1,}.path", "/a/k8s.io~1x~0y"),
        ("Object{a: Object.a{b: 3}} == Object{a: Object.a{b: 1 + 2}}", True),
        ("dyn(Object{}) == Object.spec{}", False),
        ("has(Object{a: 1}.a) && !has(Object{a: 1}.b)", True),
    ],
)
def test_messages_are_made_of_their_fields(text, expected):
    assert as_json(evaluate(text)) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Invalid{}", "undeclared reference to 'Invalid' (in container '')"),
        ("JSONPatch{op: 1}", "expected type of field 'op' is 'string' but provided type is 'int'"),
        ("JSONPatch{nope: 1}", "undefined field 'nope'"),
        ("object.f(){a: 1}", "Syntax error: extraneous input '{' expecting <EOF>"),
        ("Object{a}", "Syntax error"),
    ],
)
def test_messages_that_are_none_say_why(text, why):
    with pytest.raises(CompileError) as caught:
        compile_expression(text, {"object": "dyn"}, PATCHES)
    assert why in str(caught.value)


# variables


def test_variables_are_evaluated_when_they_are_read_and_once():
    environment, made = compose(
        [
            {"name": "a", "expression": "object.a"},
            {"name": "b", "expression": "variables.a + 1"},
            {"name": "bad", "expression": "object.nothing"},
        ],
        Environment(),
    )
    activation: dict[str, Any] = {"object": {"a": 1}}
    composed = activation["variables"] = Composed(made, activation)
    program = compiled("variables.b == 2 && variables.b + variables.a == 3 && has(variables.a)", environment, ("bool",))
    assert program.evaluate(activation)[0] is True
    assert set(composed) == {"a", "b"} and composed.spent > 0
    with pytest.raises(CelError, match=r'^composited variable "bad" fails to evaluate: no such key: nothing$'):
        compiled("variables.bad == 1", environment).evaluate(activation)


def test_a_variable_sees_only_those_before_it_and_has_its_type():
    environment, made = compose(
        [{"name": "early", "expression": "variables.late"}, {"name": "late", "expression": "'x'"}], Environment()
    )
    assert made["early"].program is None and "undefined field 'late'" in made["early"].why
    with pytest.raises(Uncompilable, match=r"applied to '\(string, int\)'"):
        compiled("variables.late == 1", environment)
    activation: dict[str, Any] = {}
    activation["variables"] = Composed(made, activation)
    with pytest.raises(CelError, match=r'^composited variable "early" fails to compile: compilation failed'):
        compiled("variables.early == 1", environment).evaluate(activation)


@given(st.lists(st.sampled_from(["and", "or"]), min_size=1, max_size=6), st.data())
def test_variables_mean_what_their_expressions_mean(shapes, data):
    """Whether a condition is written out or composed of variables makes no difference."""
    values = {f"v{i}": data.draw(st.booleans()) for i in range(len(shapes) + 1)}
    environment, made = compose([{"name": name, "expression": f"object.{name} == true"} for name in values], Environment())
    activation: dict[str, Any] = {"object": values}
    activation["variables"] = Composed(made, activation)
    written, composed = "object.v0 == true", "variables.v0"
    for i, shape in enumerate(shapes):
        operator = "&&" if shape == "and" else "||"
        written, composed = f"({written}) {operator} object.v{i + 1} == true", f"({composed}) {operator} variables.v{i + 1}"
    expected = compiled(written, environment).evaluate(activation)[0]
    assert compiled(composed, environment).evaluate(activation)[0] is expected


def test_a_namespace_shows_no_bookkeeping_and_its_times_are_times():
    namespace = {
        "metadata": {"name": "a", "creationTimestamp": "2020-01-02T03:04:05Z", "managedFields": [{}]}, "spec": {}, "status": {}
    }  # fmt: skip
    value = namespace_value(namespace)
    assert "managedFields" not in value["metadata"]
    assert evaluate("namespaceObject.metadata.creationTimestamp.getFullYear()", namespaceObject=value) == 2020
    assert namespace_value(None) is None


# authorizer


class OutOfOrder(Exception):
    """The authorizer cannot answer."""


class Asked:
    """Allows what is in `allowed`; for the rest it is out of order."""

    def __init__(self, *allowed: Question) -> None:
        self.allowed = allowed
        self.questions: list[Question] = []

    def __call__(self, question: Question) -> Decision:
        self.questions.append(question)
        if question in self.allowed:
            return Decision(True, "because")
        raise OutOfOrder(question)


CREATE = Question(verb="create", group="apps", resource="deployments", subresource="scale", namespace="ns", name="n")
CREATE_TEXT = "authorizer.group('apps').resource('deployments').subresource('scale').namespace('ns').name('n').check('create')"


@pytest.mark.parametrize(
    ("text", "question"),
    [
        (CREATE_TEXT, CREATE),
        ("authorizer.path('/healthz').check('get')", Question(verb="get", path="/healthz")),
        (
            "authorizer.serviceAccount('ns', 'sa').group('').resource('pods').check('list')",
            Question(("ns", "sa"), verb="list", resource="pods"),
        ),
        (
            "authorizer.group('').resource('pods').fieldSelector('a=b').labelSelector('c=d').check('list')",
            Question(verb="list", resource="pods", field_selector="a=b", label_selector="c=d"),
        ),
        ("authorizer.requestResource.check('use')", Question(verb="use", resource="pods", namespace="ns")),
    ],
)  # fmt: skip
def test_the_authorizer_is_asked_what_the_expression_says(text, question):
    ask = Asked(question)
    variables = {
        "authorizer": Authorizer(ask),
        "authorizer.requestResource": ResourceCheck(ask, Question(resource="pods", namespace="ns")),
    }
    program = compiled(f"{text}.allowed() && {text}.reason() == 'because' && !{text}.errored()", Environment())
    assert program.evaluate(variables, limit=10**7)[0] is True
    assert set(ask.questions) == {question}


@pytest.mark.parametrize("text", ["{} && false", "false || {}", "[1].all(x, {})", "{} || true", "[1, 2].exists(x, {})"])
def test_no_operator_makes_a_value_of_an_authorizer_that_fails(text):
    program = compiled(text.format(f"{CREATE_TEXT}.allowed()"), Environment())
    with pytest.raises(OutOfOrder):
        program.evaluate({"authorizer": Authorizer(Asked())})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("duration('90s')", "90s"), ("timestamp('2020-01-02T03:04:05Z')", "2020-01-02T03:04:05Z"), ("b'a'", "YQ=="),
        ("[dyn(1u), null, {'a': true}]", [1, None, {"a": True}]),
    ],
)  # fmt: skip
def test_what_json_does_not_have_is_written_as_the_api_writes_it(text, expected):
    assert as_json(evaluate(text)) == expected


@pytest.mark.parametrize("text", ["{1: 2}", "[optional.none()]", "quantity('1')"])
def test_what_cannot_be_written_fails(text):
    with pytest.raises(CelError):
        as_json(evaluate(text))


def test_two_checks_fit_into_an_expression_and_three_do_not():
    check = f"{CREATE_TEXT}.allowed()"
    variables = {"authorizer": Authorizer(Asked(CREATE))}
    assert compiled(f"{check} && {check}", Environment()).evaluate(variables)[0] is True
    with pytest.raises(CelError, match="actual cost limit exceeded"):
        compiled(f"{check} && {check} && {check}", Environment()).evaluate(variables)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("authorizer.path(' ')", "path must not be empty"),
        ("authorizer.group('').resource('')", "resource must not be empty"),
        ("authorizer.serviceAccount('ns', 'no@')", "Invalid service account name"),
        ("authorizer.serviceAccount('n.s', 'a')", "Invalid service account namespace"),
        ("dyn('x').allowed()", "no such overload"),
    ],
)
def test_questions_that_are_none_fail(text, why):
    with pytest.raises(CelError, match=why):
        compiled(text, Environment()).evaluate({"authorizer": Authorizer(Asked())})


def test_of_what_nothing_is_known_nothing_is_concluded():
    """`object` may be anything: that one could index an optional, too, must not make it one."""
    assert compiled("object.data['must'] == 'x'", EVERYTHING).result == "bool"
    assert compiled("object.data['must']", EVERYTHING).result == "dyn"
