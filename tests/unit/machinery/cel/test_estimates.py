"""What an expression may cost at worst, in the same units as what it costs: upstream accepts or refuses definitions by it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.machinery.cel import compile_expression, types
from pybernetes.machinery.cel.estimates import worst_cost
from pybernetes.machinery.cel.ranges import MOST
from pybernetes.machinery.cel.rules import converter
from pybernetes.machinery.cel.sizes import of_schema

TEXT = {"type": "string"}


def estimate(schema: Any, text: str) -> int:
    kind, sizes = types.of_schema(schema), of_schema(schema)
    assert sizes is not None
    return worst_cost(compile_expression(text, {"self": kind, "oldSelf": kind}).tree, sizes)


def texts(length: int | None = None, count: int | None = None) -> Any:
    items = TEXT if length is None else {**TEXT, "maxLength": length}
    return {"type": "array", "items": items} | ({} if count is None else {"maxItems": count})


def record(**properties: Any) -> Any:
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    ("schema", "text", "units"),
    [
        (texts(), "self.all(x, x != '')", 2 + 1048575 * 4), (texts(count=7), "self.all(x, true)", 2 + 7 * 3),
        (texts(count=7), "self.exists(x, true)", 2 + 7 * 4), (texts(count=7), "self.exists_one(x, true)", 3 + 7 * 2),
        (texts(count=7), "self.map(x, x).size() == 7", 12 + 7 * 13 + 2),
        (texts(count=7), "self.filter(x, true) == []", 12 + 7 * 13 + 10),
        (texts(5, 7), "self.all(x, x == self[0])", 2 + 7 * (3 + 1 + 2 + 2)), (TEXT, "self == 'abc'", 2),
        (TEXT, "self.matches('^a+$')", 1 + 314573), ({**TEXT, "maxLength": 100}, "self.contains('abc')", 1 + 40),
        ({**TEXT, "enum": ["a", "long enough"]}, "self.contains('abc')", 1 + 2),
        ({**TEXT, "format": "date"}, "self == self", 4),
        (record(a={"type": "integer"}), "self.a == 1", 2), (record(a=TEXT), "has(self.a) || self.a == 'x'", 1 + 3),
        ({"type": "object", "additionalProperties": TEXT, "maxProperties": 3}, "self.all(k, self[k] != '')", 2 + 3 * (3 + 3)),
        (record(a=TEXT, b=TEXT), "self.a + self.b == 'x'", 4 + 629146 + 1),
        (record(a=TEXT), "[self.a, 'b'].size() == 2", 10 + 2 + 2),
        (record(a=TEXT), "{'k': self.a}.size() == 1", 30 + 2 + 2),
        (record(a=TEXT), "cel.bind(x, self.a, x == 'y')", 10 + 2 + 2),
        (record(a=TEXT), "self.?a.orValue('x') == 'y'", 1 + 1 + 1 + 1),
        (record(a=TEXT), "(has(self.a) ? self.a : 'x') == 'y'", 4),
        (record(l=texts(5, 4)), "self.l.isSorted()", 2 + 4 * 3), (record(l=texts(5, 4)), "self.l.join(',') == 'x'", 2 + 9 + 1),
        (record(a={**TEXT, "maxLength": 5}), "quantity(self.a).isLessThan(quantity('1'))", 2 + 2 + 1 + 1),
        (record(l=texts(5, 4)), "self.l.sort() == []", 2 + 34 + 11 + 10),
        (record(l=texts(5, 4)), "self.l.all(i, x, i < 4)", 3 + 4 * 5),
    ],
)  # fmt: skip
def test_follows_the_limits_of_the_schema(schema: Any, text: str, units: int):
    assert estimate(schema, text) == units


@pytest.mark.parametrize(
    ("length", "items"), [(16, 909_090), (63, 333_333), (253, 94_339), (1024, 24_154)],
)  # fmt: skip
def test_lists_may_be_as_long_as_upstream_lets_them(length: int, items: int):
    """The longest lists that a server of 1.36 accepts with this rule."""
    rule = "self.all(x, x.contains('gpu'))"
    assert estimate(texts(length, items), rule) <= 10_000_000 < estimate(texts(length, items + 1), rule)


def test_what_has_no_bound_costs_the_most_there_is():
    assert estimate(record(a={"type": "integer"}), "'a' + string(self.a) == 'a1'") > MOST // 100
    nested = "self.all(a, self.all(b, self.all(c, self.all(d, a == b && c == d))))"
    assert estimate(texts(), nested) == MOST


SCHEMA = record(
    n={"type": "integer"}, s={**TEXT, "maxLength": 8}, l=texts(8, 4),
    m={"type": "object", "additionalProperties": {"type": "integer"}, "maxProperties": 3},
)  # fmt: skip
NUMBERS = st.recursive(
    st.sampled_from(["1", "self.n", "size(self.s)", "self.l.size()"]),
    lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from("+-*"), inner),
    max_leaves=4,
)
TESTS = st.recursive(
    st.one_of(
        st.builds("{} < {}".format, NUMBERS, NUMBERS),
        st.sampled_from(["self.s == 'x'", "self.s.startsWith('y')", "has(self.s)", "'k' in self.m", "self.s in self.l"]),
    ),
    lambda inner: st.one_of(
        st.builds("({} && {})".format, inner, inner), st.builds("({} || {})".format, inner, inner),
        st.builds("!({})".format, inner),
        st.builds("({} ? {} : {})".format, inner, inner, inner), st.builds("self.l.all(x, x != 'q' || {})".format, inner),
        st.builds("self.l.exists(x, x == 'q' && {})".format, inner), st.builds("self.m.all(k, {})".format, inner),
        st.builds("self.l.filter(x, {}).size() > 0".format, inner), st.builds("self.l.exists_one(x, {})".format, inner),
    ),
    max_leaves=6,
)  # fmt: skip
OBJECTS = st.fixed_dictionaries(
    {"n": st.integers(-9, 9), "s": st.text("xyk", max_size=8), "l": st.lists(st.text("xyq", max_size=8), max_size=4)},
    optional={"m": st.dictionaries(st.sampled_from("abk"), st.integers(0, 9), max_size=3)},
)


@given(text=TESTS, obj=OBJECTS)
def test_no_evaluation_costs_more_than_was_estimated(text: str, obj: Any):
    program = compile_expression(text, {"self": types.of_schema(SCHEMA)})
    sizes = of_schema(SCHEMA)
    assert sizes is not None and converter(SCHEMA) is None
    _, cost = program.evaluate({"self": {"m": {}, **obj}})
    assert cost <= worst_cost(program.tree, sizes)
