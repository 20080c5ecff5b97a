"""What must hold of any expression: nothing that somebody writes crashes or stalls the engine, and arithmetic is exact."""

from __future__ import annotations

import math
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pybernetes.machinery.cel import CelError, CompileError, compile_expression
from pybernetes.machinery.cel.declarations import _table as declared
from pybernetes.machinery.cel.values import Timestamp, Uint

VARIABLES = {"d": "dyn", "i": "int", "s": "string", "l": ("list", "dyn"), "m": ("map", "string", "dyn"), "t": "timestamp"}
TOKENS = st.sampled_from([
    "(", ")", "[", "]", "{", "}", ",", ".", ".?", "[?", "?", ":", "+", "-", "*", "/", "%", "!", "&&", "||", "==", "<", "in",
    "1", "2u",
    "0x1F", "1.5e3", "'a'", '"b"', "b'c'", "r'\\d'", "true", "null", "x", "d", "l", "m", "has", "all", "map", "exists",
    "size", "int",
    "cel.bind", "optional.of", "//", "\n", "'", '"""', "\\", "`a-b`", "\x00", "é", "for", "1.", "..", "0x", "9" * 30,
])  # fmt: skip
SCALARS: Any = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**64 - 1).map(Uint), st.floats(),
    st.text(max_size=12), st.binary(max_size=8),
)  # fmt: skip
VALUES: Any = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=4)),
    max_leaves=8,
)
LEAVES = st.sampled_from([
    "d", "i", "s", "l", "m", "t", "1", "-7", "2u", "1.5", "'a,b'", "''", "b'x'", "true", "null", "[]", "{}", "[1, 2]",
    "['b', 'a']",
    "{'k': 1}", "duration('90s')", "optional.of(d)", "optional.none()", "quantity('1Mi')", "ip('::1')", "cidr('10.0.0.0/8')",
    "url('https://a.b/c?d=e')", "semver('1.2.3')", "d.k", "m['k']", "l[0]", "d.?k", "m[?'k']", "format.named('uuid')", "int",
])  # fmt: skip
NAMES = sorted(name for name in declared() if name.isidentifier() or "." in name)
MACROS = ["all", "exists", "exists_one", "map", "filter", "sortBy", "optMap", "optFlatMap"]
OPERATORS = ["+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "in", "&&", "||"]
TEMPLATES = st.sampled_from([
    "(A {operator} B)", "(A ? B : C)", "A[B]", "{name}(A)", "{name}(A, B)", "A.{name}()", "A.{name}(B)", "A.{name}(B, C)",
    "A.{macro}(x, B)", "A.all(i, x, B)", "A.transformList(i, x, B, C)", "A.transformMap(k, v, B)",
    "A.transformMapEntry(k, v, B)", "'%s %d %x %e'.format(A)", "[A, B]", "[?A, B]", "{{A: B}}", "!A", "-A", "has(A.k)", "A.?k",
    "A[?B]", "cel.bind(x, A, [x, B])",
])  # fmt: skip


def _filled(template: str, parts: list[str], operator: str, name: str, macro: str) -> str:
    text = template.format(operator=operator, name=name, macro=macro)
    for letter, part in zip("ABC", parts, strict=True):
        text = re.sub(rf"\b{letter}\b", lambda _, part=part: f"dyn({part})", text)  # type: ignore[misc]
    return text


def _calls(inner: Any) -> Any:
    words = [st.sampled_from(words) for words in (OPERATORS, NAMES, MACROS)]
    return st.builds(_filled, TEMPLATES, st.lists(inner, min_size=3, max_size=3), *words)


EXPRESSIONS = st.recursive(LEAVES, _calls, max_leaves=6)


@given(st.one_of(st.text(max_size=60), st.lists(TOKENS, max_size=30).map("".join), st.lists(TOKENS, max_size=30).map(" ".join)))
def test_any_text_is_an_expression_or_told_why_it_is_none(text: str):
    try:
        compile_expression(text, VARIABLES)
    except CompileError as error:
        assert str(error).startswith("ERROR: <input>:")


OBJECTS = st.fixed_dictionaries({
    "d": VALUES, "i": st.integers(-(2**63), 2**63 - 1), "s": st.text(max_size=9), "l": st.lists(VALUES, max_size=3),
    "m": st.fixed_dictionaries({"k": VALUES}), "t": st.just(Timestamp(10**18)),
})  # fmt: skip


@given(text=EXPRESSIONS, variables=OBJECTS)
def test_evaluating_ends_in_a_value_or_an_error_and_within_its_limit(text: str, variables: Any):
    try:
        program = compile_expression(text, VARIABLES)
    except CompileError:
        return
    try:
        _, cost = program.evaluate(variables, limit=20_000)
    except CelError:
        return
    assert 0 <= cost <= 20_000


INTEGERS = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-20, 20), st.sampled_from([-(2**63), 2**63 - 1, 0, 1, -1]))


def _outcome(operator: str, a: Any, b: Any, of: str) -> Any:
    try:
        return compile_expression(f"a {operator} b", {"a": of, "b": of}).evaluate({"a": a, "b": b})[0]
    except CelError as error:
        return str(error)


def _truncated(a: int, b: int) -> int:
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


EXACT: Any = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": _truncated,
    "%": lambda a, b: a - b * _truncated(a, b),
}  # fmt: skip


@given(a=INTEGERS, b=INTEGERS, operator=st.sampled_from("+-*/%"))
def test_integers_are_exact_or_overflow(a: int, b: int, operator: str):
    if b == 0 and operator in "/%":
        expected: Any = "division by zero" if operator == "/" else "modulus by zero"
    else:
        exact = EXACT[operator](a, b)
        expected = exact if -(2**63) <= exact < 2**63 else "integer overflow"
    assert _outcome(operator, a, b, "int") == expected


@given(a=st.integers(0, 2**64 - 1), b=st.integers(0, 2**64 - 1), operator=st.sampled_from("+-*/%"))
def test_unsigned_integers_are_exact_or_overflow(a: int, b: int, operator: str):
    if b == 0 and operator in "/%":
        return
    exact = EXACT[operator](a, b)
    expected = exact if 0 <= exact < 2**64 else "unsigned integer overflow"
    assert _outcome(operator, Uint(a), Uint(b), "uint") == expected


@given(a=st.floats(), b=st.floats(), operator=st.sampled_from(["+", "-", "*"]))
def test_doubles_are_those_of_the_machine(a: float, b: float, operator: str):
    expected = EXACT[operator](a, b)
    found = _outcome(operator, a, b, "double")
    assert found == expected or (math.isnan(found) and math.isnan(expected))


NUMBERS = st.one_of(INTEGERS, st.integers(0, 2**64 - 1).map(Uint), st.floats(allow_nan=False))


@given(a=NUMBERS, b=NUMBERS)
def test_numbers_of_all_types_are_in_one_order(a: Any, b: Any):
    def holds(operator: str) -> bool:
        return bool(compile_expression(f"a {operator} b", {"a": "dyn", "b": "dyn"}).evaluate({"a": a, "b": b})[0])

    assert [holds("<"), holds("=="), holds(">")].count(True) == 1
    assert holds("<=") == (holds("<") or holds("==")) and holds(">=") == (holds(">") or holds("=="))


@given(st.text(max_size=20))
def test_texts_come_through_their_quotation_marks(text: str):
    quoted = compile_expression("strings.quote(s)", {"s": "string"}).evaluate({"s": text})[0]
    if text.isprintable() and "�" not in text:
        assert compile_expression(quoted, {}).evaluate({})[0] == text


@given(st.floats(allow_nan=False))
def test_doubles_come_through_their_texts(number: float):
    assert compile_expression("double(string(x)) == x", {"x": "double"}).evaluate({"x": number})[0] is True
