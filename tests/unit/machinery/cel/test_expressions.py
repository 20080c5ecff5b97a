"""Expressions: which there are not, what a hostile one can do, and values that only schemas make."""

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.machinery.cel import CompileError, compile_expression
from pybernetes.machinery.cel.values import CostExceeded


def value(text: str, **variables: Any) -> Any:
    return compile_expression(text, dict.fromkeys(variables, "dyn")).evaluate(variables)[0]


def test_expressions_that_nest_too_deeply_are_refused():
    for text in ("(" * 300 + "1" + ")" * 300, "!" * 300 + "true", "1" + " + 1" * 300, "a" + ".a" * 300, "[" * 300):
        with pytest.raises(CompileError, match="recursion limit"):
            compile_expression(text, {"a": "dyn"})


def test_expressions_may_be_long_where_they_are_flat():
    many = " || ".join(f"x == {n}" for n in range(2000))
    assert value(many, x=1999) is True
    with pytest.raises(CompileError, match="expression code point size exceeds limit: size: 100001, limit 100000"):
        compile_expression("'" + "x" * 99_999 + "'", {})


def test_fields_that_the_schema_does_not_have_are_found_and_pointed_at():
    schema = {"type": "object", "properties": {"a-b": {"type": "string"}}}
    compile_expression("self.a__dash__b == ''", {"self": ("object", schema, False)})
    with pytest.raises(CompileError) as caught:
        compile_expression("true || self.nope == 1", {"self": ("object", schema, False)})
    assert str(caught.value) == ("ERROR: <input>:1:13: undefined field 'nope'\n | true || self.nope == 1\n | ............^")


def test_an_expression_may_not_hold_up_the_server():
    with pytest.raises(CostExceeded):
        value("l.all(a, l.all(b, l.all(c, a + b + c >= 0)))", l=list(range(300)))


def test_lists_that_are_sets_are_equal_in_any_order():
    from pybernetes.machinery.cel.values import SetList

    assert value("a == b", a=SetList([1, 2]), b=SetList([2, 1])) is True
