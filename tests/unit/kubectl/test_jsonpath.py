import pytest

from pybernetes.kubectl.failure import Failure
from pybernetes.kubectl.jsonpath import Template, find

DATA = {
    "kind": "List",
    "items": [
        {"metadata": {"name": "a", "labels": {"app.io/x": "1"}}, "n": 1, "ports": [{"p": 80}, {"p": 81}], "ready": True},
        {"metadata": {"name": "b"}, "n": 2, "ports": [], "ready": False},
    ],
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{.kind}", "List"),
        ("{$.kind}", "List"),
        ("kind is {.kind}!", "kind is List!"),
        ("{.items[*].metadata.name}", "a b"),
        ("{.items[0].metadata.name}", "a"),
        ("{.items[-1].metadata.name}", "b"),
        ("{.items[0:1].n}", "1"),
        ("{.items[:2].n}", "1 2"),
        ("{.items[0,1].n}", "1 2"),
        ("{..name}", "a b"),
        ("{.items[0].ports[*].p}", "80 81"),
        (r"{.items[0].metadata.labels.app\.io/x}", "1"),
        ("{.items[0].metadata.labels['app.io/x']}", "1"),
        ("{.items[0]['n','ready']}", "1 true"),
        ('{.items[?(@.metadata.name=="b")].n}', "2"),
        ("{.items[?(@.n>1)].metadata.name}", "b"),
        ("{.items[?(@.n!=1)].metadata.name}", "b"),
        ("{.items[?(@.ready==true)].metadata.name}", "a"),
        ("{.items[?(@.metadata.labels)].metadata.name}", "a"),
        ('{range .items[*]}{.metadata.name}{"\\t"}{.n}{"\\n"}{end}', "a\t1\nb\t2\n"),
        ("{range .items[*]}{range .ports[*]}{.p},{end};{end}", "80,81,;;"),
        ("{.items[0].metadata}", '{"name":"a","labels":{"app.io/x":"1"}}'),
        ("{.nope}", ""),
        ("{.items[7]}", ""),
    ],
)
def test_templates_give_what_the_reference_says(template, text):
    assert Template(template).render(DATA) == text


def test_missing_fields_are_told_if_asked():
    with pytest.raises(Failure, match="nope is not found"):
        Template("{.nope}", allow_missing=False).render(DATA)


@pytest.mark.parametrize("template", ["{.a", "{.items[}", "{range .items[*]}", "{end}", "{.items[x]}", "{nope}"])
def test_malformed_templates_are_refused_in_a_sentence(template):
    with pytest.raises(Failure):
        Template(template).render(DATA)


@pytest.mark.parametrize("path", [".metadata.name", "metadata.name", "{.metadata.name}"])
def test_a_bare_path_may_be_written_in_three_ways(path):
    assert find(path, DATA["items"][0]) == ["a"]
