import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.machinery import fields, labels
from pybernetes.machinery.errors import BadRequest

# Recorded from upstream: the sentence that each text is refused with.
REFUSED = {
    "a b": "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt",
    "=x": "found '=', expected: !, identifier, or 'end of string'",
    "i in": "unable to parse requirement: found '' expected: '('",
    "i in (": "unable to parse requirement: found '', expected: ',', ')' or identifier",
    "i>x": (
        "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer"
    ),
    "a==b==c": "found '==', expected: ',' or 'end of string'",
    "a=b,,c=d": "found ',', expected: identifier after ','",
    ",": "found ',', expected: !, identifier, or 'end of string'",
    "UP/low/x=1": (
        'unable to parse requirement: <nil>: Invalid value: "UP/low/x": a valid label key must consist of '
        "alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
        "character (e.g. 'MyName',  or 'my.name',  "
        "or '123-abc', "
        "regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional "
        "DNS subdomain prefix and '/' "
        "(e.g. 'example.com/MyName')"
    ),
}


@pytest.mark.parametrize("text", REFUSED)
def test_bad_selectors_are_refused_in_upstreams_words(text: str) -> None:
    with pytest.raises(BadRequest) as error:
        labels.parse(text)
    assert error.value.message == REFUSED[text]


@pytest.mark.parametrize(
    ("text", "found", "matches"),
    [
        ("", {}, True),
        ("a", {"a": ""}, True),
        ("a", {}, False),
        ("!a", {}, True),
        ("!a", {"a": "x"}, False),
        ("a=b", {"a": "b"}, True),
        ("a==b", {"a": "c"}, False),
        ("a=", {"a": ""}, True),
        ("a!=b", {}, True),
        ("a!=b", {"a": "b"}, False),
        ("a in (b,c)", {"a": "c"}, True),
        ("a in (b,c)", {}, False),
        ("a notin (b)", {}, True),
        ("a notin (b)", {"a": "b"}, False),
        ("a in ()", {"a": ""}, True),
        ("a in (,b)", {"a": ""}, True),
        ("a>1", {"a": "2"}, True),
        ("a>1", {"a": "x"}, False),
        ("a<1", {"a": "-3"}, True),
        ("a>1", {}, False),
        ("a=b, c in (d)", {"a": "b", "c": "d"}, True),
        ("a=b,c", {"a": "b"}, False),
        ("in in (in)", {"in": "in"}, True),
    ],
)
def test_selectors_match_as_documented(text: str, found: dict[str, str], matches: bool) -> None:
    assert labels.parse(text).matches(found) is matches


def test_absent_selects_nothing_and_empty_selects_everything() -> None:
    assert labels.from_label_selector(None).matches({"a": "b"}) is False
    assert labels.from_label_selector({}).matches({}) is True
    assert labels.from_label_selector({"matchLabels": {}}).matches_everything
    assert labels.nothing().matches({}) is False


def test_label_selector_objects_join_labels_and_expressions() -> None:
    selector = labels.from_label_selector(
        {
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "NotIn", "values": ["db", "cache"]},
                {"key": "x", "operator": "Exists"},
            ],
        }
    )
    assert selector.to_string() == "app=web,tier notin (cache,db),x"
    assert selector.matches({"app": "web", "x": ""})
    assert not selector.matches({"app": "web", "x": "", "tier": "db"})
    assert selector.exact("app") == "web"


def test_an_unknown_operator_is_named() -> None:
    with pytest.raises(BadRequest, match='"Near" is not a valid label selector operator'):
        labels.from_label_selector({"matchExpressions": [{"key": "a", "operator": "Near"}]})


words = st.from_regex(r"\A[a-zA-Z0-9]([-a-zA-Z0-9_.]{0,8}[a-zA-Z0-9])?\Z")
requirements = st.one_of(
    words.map(lambda key: labels.Requirement(key, labels.EXISTS)),
    words.map(lambda key: labels.Requirement(key, labels.DOES_NOT_EXIST)),
    st.builds(lambda key, value: labels.Requirement(key, labels.EQUALS, (value,)), words, words),
    st.builds(lambda key, value: labels.Requirement(key, labels.NOT_EQUALS, (value,)), words, words),
    st.builds(
        lambda key, values, operator: labels.Requirement(key, operator, tuple(sorted(values))),
        words,
        st.sets(words, min_size=1, max_size=3),
        st.sampled_from([labels.IN, labels.NOT_IN]),
    ),
)


@given(st.lists(requirements, max_size=4))
def test_a_selectors_text_reads_back_as_the_same_selector(wanted: list[labels.Requirement]) -> None:
    selector = labels.Selector(wanted)
    assert labels.parse(selector.to_string()) == selector


@given(st.text(max_size=30))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        labels.parse(text)
    except BadRequest:
        pass


def test_field_selectors_match_and_negate() -> None:
    selector = fields.parse("metadata.name=web,spec.nodeName!=,status.phase==Running")
    seen = {"metadata.name": "web", "spec.nodeName": "n1", "status.phase": "Running"}
    assert selector.matches(seen)
    assert not selector.matches({**seen, "spec.nodeName": ""})
    assert selector.matches(lambda name: seen[name])
    assert selector.exact("metadata.name") == "web"
    assert selector.exact("spec.nodeName") is None
    assert fields.parse("").matches_everything


def test_field_selector_values_are_escaped() -> None:
    selector = fields.parse(r"a=x\,y\=z\\")
    assert selector.requirements[0].value == "x,y=z\\"
    assert fields.parse(selector.to_string()) == selector


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("abc", "invalid selector: 'abc'; can't understand 'abc'"),
        (r"a=\x", r"invalid field selector: invalid escape sequence: \x"),
    ],
)
def test_bad_field_selectors_are_refused(text: str, sentence: str) -> None:
    with pytest.raises(BadRequest) as error:
        fields.parse(text)
    assert error.value.message == sentence


@given(st.dictionaries(words, st.text(max_size=8), min_size=1, max_size=3))
def test_a_field_selectors_text_reads_back(wanted: dict[str, str]) -> None:
    selector = fields.Selector(fields.Requirement(key, "=", value) for key, value in wanted.items())
    assert fields.parse(selector.to_string()) == selector
