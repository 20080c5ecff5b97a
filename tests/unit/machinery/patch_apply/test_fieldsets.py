"""Sets of fields against sets of paths."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.machinery.patch.apply import fieldsets

elements = st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}', 'v:"y"', "i:0"])
some_paths = st.frozensets(st.lists(elements, min_size=1, max_size=4).map(tuple), max_size=8)


def made_of(paths: frozenset[tuple[str, ...]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted(paths):
        found = fieldsets.union(found, fieldsets.of_path(path))
    return found


def paths_of(fields: dict[str, Any]) -> frozenset[tuple[str, ...]]:
    return frozenset(fieldsets.paths(fields))


@given(some_paths)
def test_a_set_holds_the_paths_that_it_is_made_of(paths: frozenset[tuple[str, ...]]) -> None:
    assert paths_of(made_of(paths)) == paths


@given(some_paths, some_paths)
def test_the_algebra_is_that_of_sets_of_paths(one: frozenset[tuple[str, ...]], other: frozenset[tuple[str, ...]]) -> None:
    a, b = made_of(one), made_of(other)
    before = json.dumps([a, b])
    assert fieldsets.ordered(fieldsets.union(a, b)) == fieldsets.ordered(made_of(one | other))
    assert fieldsets.difference(a, b) == made_of(one - other)
    assert fieldsets.intersection(a, b) == made_of(one & other)
    below = {path for path in one if not any(path[: len(gone)] == gone for gone in other)}
    assert fieldsets.recursive_difference(a, b) == made_of(frozenset(below))
    assert json.dumps([a, b]) == before


@given(some_paths, st.lists(elements, min_size=1, max_size=4))
def test_membership(paths: frozenset[tuple[str, ...]], path: list[str]) -> None:
    assert fieldsets.contains(made_of(paths), tuple(path)) == (tuple(path) in paths)


values = st.one_of(st.text(max_size=5), st.integers(-5, 5), st.booleans())
wild = st.one_of(
    st.text(max_size=5).map(lambda name: f"f:{name}"),
    st.dictionaries(st.text(max_size=3), values, min_size=1, max_size=2).map(fieldsets.key_element),
    values.map(fieldsets.value_element),
)


@given(st.frozensets(st.lists(wild, min_size=1, max_size=3).map(tuple), max_size=5))
def test_what_is_written_reads_back_the_same(paths: frozenset[tuple[str, ...]]) -> None:
    fields = made_of(paths)
    assert fieldsets.canonical(json.loads(json.dumps(fields))) == fields


def test_elements_from_clients_are_brought_into_one_form() -> None:
    given_: dict[str, Any] = {'k:{ "protocol": "TCP", "port": 80 }': {"f:port": {}}, "v: 1": {}, "i:07": {}}
    assert fieldsets.canonical(given_) == {'k:{"port":80,"protocol":"TCP"}': {"f:port": {}}, "v:1": {}, "i:7": {}}


@pytest.mark.parametrize("bad", [{"x:a": {}}, {"k:[1]": {}}, {"v:{": {}}, {"i:x": {}}, {"f:a": 1}, [], {"": {}}])
def test_what_is_no_set_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError):
        fieldsets.canonical(bad)


def test_paths_are_shown_as_upstream_shows_them() -> None:
    path = ("f:spec", 'k:{"containerPort":80,"protocol":"TCP"}', 'v:"a"', "i:3", "f:x")
    assert fieldsets.show_path(path) == '.spec[containerPort=80,protocol="TCP"][="a"][3].x'


def test_html_is_escaped_in_elements_as_go_does() -> None:
    assert fieldsets.value_element("a<b>&") == 'v:"a\\u003cb\\u003e\\u0026"'
