"""What evaluating costs, in upstream's units: a variable, a field, an item and a call are one each; the rest goes by sizes.

The figures follow cel-go's and Kubernetes' runtime costs, which upstream keeps stable from release to release.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from pybernetes.machinery.cel import CelError, compile_expression, types
from pybernetes.machinery.cel.rules import converter
from pybernetes.machinery.cel.values import CostExceeded

TEXT = {"type": "string"}
INTEGER = {"type": "integer"}
SCHEMA = {
    "type": "object",
    "properties": {
        "n": INTEGER, "name": TEXT, "long": TEXT, "absent": TEXT, "port": {"x-kubernetes-int-or-string": True},
        "numbers": {"type": "array", "items": INTEGER}, "labels": {"type": "object", "additionalProperties": TEXT},
        "items": {"type": "array", "items": {"type": "object", "properties": {"k": TEXT, "v": INTEGER, "o": TEXT}}},
    },
}  # fmt: skip
OBJECT = {
    "n": 3, "name": "web", "long": "x" * 25, "port": "80%", "numbers": [1, 2, 3, 4], "labels": {"a": "1", "b": "2"},
    "items": [{"k": "a", "v": 1}, {"k": "b", "v": 2, "o": "z"}],
}  # fmt: skip


def cost(text: str) -> int:
    program = compile_expression(text, {"self": types.of_schema(SCHEMA, is_root=True)})
    convert = converter(SCHEMA)
    return program.evaluate({"self": convert(OBJECT) if convert else OBJECT})[1]


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("true", 0), ("self.n == 3", 3), ("self.n + 1 == 4", 4), ("type(self.n) == int", 4), ("self.numbers[0] == 1", 4),
        ("self.numbers[self.n] == 4", 5), ("self.labels['a'] == '1'", 4), ("has(self.name)", 1), ("!has(self.absent)", 2),
        ("self.name == 'web'", 3), ("self.long == self.long", 7), ("self.name + self.long != ''", 7),
        ("self.n == 3 || self.long == ''", 3), ("self.n == 4 || self.name == 'web'", 6),
        ("type(self.port) == string ? self.name == 'web' : self.n == 3", 7),
        ("(self.n == 3 ? self.name : self.long) == 'web'", 5),
        ("2 in self.numbers", 6), ("self.name in ['web', 'db']", 2), ("'a' in self.labels", 3), ("[self.n] == [3]", 13),
        ("{'a': self.n}.size() == 1", 34), ("size(self.name) == 3", 4), ("self.long.startsWith('x')", 5),
        ("self.long.contains('xxxxxxxxxxxy')", 8), ("self.long.matches('^x+$')", 5), ("self.long.replace('x', 'y') == ''", 7),
        ("int('12') == 12", 1), ("duration('1h') > duration('59m')", 1), ("quantity('1Mi').isLessThan(quantity('2Mi'))", 3),
        ("isIP('127.0.0.1')", 1), ("cidr('10.0.0.0/8').containsIP('10.1.2.3')", 3),
    ],
)  # fmt: skip
def test_of_parts_and_calls(text: str, units: int):
    assert cost(text) == units


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("self.numbers.all(e, e > 0)", 2 + 4 * 5 + 1), ("self.numbers.all(e, e < 2)", 2 + 2 * 5 + 2 + 1),
        ("self.numbers.exists(e, e > 2)", 2 + 3 * 6 + 3 + 1), ("self.numbers.exists(e, e > 9)", 2 + 4 * 6 + 1),
        ("self.numbers.exists_one(e, e == 2)", 2 + 4 * 2 + 2 + 2), ("self.numbers.map(e, e * 2) == []", 2 + 4 * 14 + 1 + 0),
        ("self.numbers.filter(e, e > 2).size() == 2", 2 + 4 * 2 + 2 * 13 + 1 + 2),
        ("self.numbers.map(e, e > 3, e) == [4]", 2 + 4 * 2 + 13 + 1 + 1),
        ("self.labels.all(k, self.labels[k] != '')", 2 + 2 * 6 + 1),
        ("self.items.exists(i, has(i.o) && i.o == 'z')", 2 + 5 + 8 + 1), ("self.numbers.all(i, e, e > i)", 2 + 4 * 6 + 1),
        ("self.numbers.transformList(i, e, e + i).size() == 4", 2 + 4 * 15 + 1 + 2),
        ("self.labels.transformMap(k, v, v + '!').size() == 2", 2 + 2 * 5 + 1 + 2),
        ("cel.bind(x, self.n, x + x) == 6", 2 + 3 + 1),
        ("optional.of(1).optMap(x, x + 1).hasValue()", 2 + 5 + 1), ("self.?absent.orValue('a') == 'a'", 1 + 1),
        ("[3, 1, 2].sort() == [1, 2, 3]", 18 + 11 + 1), ("self.numbers.sum() == 10", 2 + 4 + 1),
    ],
)  # fmt: skip
def test_of_macros_and_lists(text: str, units: int):
    assert cost(text) == units


def test_operands_that_fail_are_paid_for_like_others():
    assert cost("self.items.exists(i, i.o == 'z')") == 2 + 7 + 7 + 1
    assert cost("!self.items.all(i, i.o != 'z')") == 2 + 6 + 6 + 1 + 1


def test_an_evaluation_ends_when_it_has_spent_what_it_may():
    program = compile_expression("l.all(a, l.all(b, a + b >= 0))", {"l": ("list", "int")})
    numbers = list(range(100))
    _, needed = program.evaluate({"l": numbers})
    assert program.evaluate({"l": numbers}, limit=needed) == (True, needed)
    with pytest.raises(CostExceeded):
        program.evaluate({"l": numbers}, limit=needed - 1)


@pytest.mark.parametrize(
    "text",
    [
        "d == d", "d in [d]", "[d].indexOf(d) == 0",
        "cel.bind(a, s + s, cel.bind(b, a + a, cel.bind(c, b + b, c + c))).size() > 0",
        "lists.range(10000000).size() > 0", "s.replace('', s) == ''", "l.map(x, l).flatten().distinct().size() > 0",
        "sets.contains(l, l)",
    ],
)  # fmt: skip
def test_what_takes_long_without_a_loop_is_paid_for_too(text: str):
    nested: Any = {str(n): {str(m): list(range(20)) for m in range(50)} for n in range(50)}
    variables = {"d": nested, "s": "x" * 2_000_000, "l": list(range(1000))}
    types_of = {"d": ("map", "string", "dyn"), "s": "string", "l": ("list", "int")}
    with pytest.raises(CelError, match=r"limit exceeded|too long"):
        compile_expression(text, types_of).evaluate(variables, limit=5000)


LEVELS = 40


@pytest.mark.parametrize(
    "text",
    [
        "{0} == {0}",
        "'%s'.format([{0}])",
        "{0}.flatten(40).size() > 0",
        "[{0}].indexOf({0}) == 0",
        "{0} in [{0}]",
        "[{0}, {0}].distinct()",
    ],
)
def test_values_that_share_their_parts_are_not_gone_through_for_ever(text: str):
    """Forty lists of two, each twice in the next, would have a million million items."""
    names = [f"v{n}" for n in range(LEVELS)]
    binding = "".join(f"cel.bind({name}, [{before}, {before}], " for before, name in zip(["s", *names], names, strict=False))
    expression = f"{binding}{text.format(f'dyn({names[-1]})')}{')' * LEVELS}"
    try:
        result, _ = compile_expression(expression, {"s": "dyn"}).evaluate({"s": "x" * 100})
    except CelError as error:
        assert re.search(r"too much in a value|too long|limit exceeded", str(error))
    else:
        assert result is True  # a value is equal to itself


def test_texts_made_of_others_have_a_length_that_memory_has():
    for text in (
        "s.replace('', s)",
        "[s, s, s].map(x, [s, s, s].join(s)).join(s)",
        "'%s %s'.format([[s, s], s.replace('', s)])",
    ):
        with pytest.raises(CelError, match="the text would be too long"):
            compile_expression(text, {"s": "string"}).evaluate({"s": "x" * 2_000_000}, limit=100_000_000)


@pytest.mark.parametrize(
    ("text", "value", "upstream", "ours"),
    [
        ("s.findAll('').size()", "a" * 5000, 2, 17_155),
        ("s.findAll('a').size()", "a" * 50, 8, 8),
        ("isURL(s)", "http://a/" + "b" * 9000, 2, 2),
        ("isURL(s)", "http://a/" + "b" * 19_991, 2, 1002),
        ("s.matches('a')", "a", 2, 2),
        ("'a'.matches(s)", "a" * 40, 11, 86),
        ("'a'.matches(s)", "a{1000}", 3, 1056),
        ("('a' + s).matches(s)", "(?:a|b)*a(?:a|b){1000}" + "c" * 400, 4636, 7621),
        ("'a'.matches(s) || true", "(", 3, 82),
        ("'a'.matches(s) || true", "[a-z]{1000}{2}", 6, 735),
        ("'a'.matches(s) || true", "\\pL{1000}", 4, 200_454),
        ("'a'.findAll(s).size() == 0 || true", "\\pL{1000}", 4, 200_456),
        ("l.isSorted()", ["a"] * 1000, 1, 1),
        ("l.isSorted()", ["a"] * 5000, 1, 2001),
    ],
)
def test_what_upstream_lets_be_done_for_nothing_costs_as_soon_as_it_is_much(text: str, value: Any, upstream: int, ours: int):
    program = compile_expression(text, {"s": "string", "l": ("list", "string")})
    assert program.evaluate({"s": value, "l": value})[1] == ours >= upstream


@pytest.mark.parametrize("text", ["s.findAll(p).size() == 0", "s.findAll(p, 1).size() == 0", "s.matches(p)", "s.find(p) == ''"])
def test_a_long_program_over_a_long_text_is_paid_for_before_it_runs(text: str):
    """Its automaton has ever new states over such a text, which takes five nanoseconds for each instruction and character."""
    program = compile_expression(text, {"s": "string", "p": "string"})
    long = "".join(f"{n:b}" for n in range(100_000)).replace("0", "a").replace("1", "b")
    with pytest.raises(CostExceeded):
        program.evaluate({"s": long, "p": "(?:a|b)*a(?:a|b){1000}c"}, limit=1_000_000)


def test_durations_are_no_longer_than_anybody_writes_them():
    program = compile_expression("duration(s) > duration('1s')", {"s": "string"})
    assert program.evaluate({"s": "1h" * 400})[0] is True
    with pytest.raises(CelError, match="type conversion error"):
        program.evaluate({"s": "1h" * 600})


MANY = ["a"] * 10_000


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("l.all(x, (l + l).size() > 0)", MANY), ("l.all(x, (dyn(l) + dyn(l)).size() > 0)", MANY),
        ("l.all(x, '%s'.format([l]) != '')", MANY), ("l.all(x, dyn(x) in dyn(l) || true)", ["a"] * 9_999 + ["b"] * 3_000),
        ("s.matches('a.{1000}c')", "ab" * 100_000), ("s.findAll('a*b|a').size() > 0", "a" * 100_000),
    ],
)  # fmt: skip
def test_what_takes_long_for_nothing_upstream_ends_by_its_cost(text: str, value: Any):
    program = compile_expression(text, {"s": "string", "l": ("list", "string")})
    with pytest.raises(CostExceeded):
        program.evaluate({"s": value, "l": value})


def test_a_usual_pattern_costs_what_it_costs_upstream():
    program = compile_expression("s.matches('^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$')", {"s": "string"})
    assert program.evaluate({"s": "a" * 63})[1] == 64
