"""CEL: the language, Kubernetes' functions, and what a hostile expression can do."""

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.machinery.cel import CelError, CompileError, compile_expression
from pybernetes.machinery.cel.values import CostExceeded


def value(text: str, **variables: Any) -> Any:
    return compile_expression(text, dict.fromkeys(variables, "dyn")).evaluate(variables)[0]


@pytest.mark.parametrize(
    "text",
    [
        "1 + 2 * 3 == 7", "-5 / 2 == -2 && -5 % 3 == -2", "1.0 == dyn(1)", "'a' + 'b' == 'ab'", "[1, 2] + [3] == [1, 2, 3]",
        "1 in [1, 2] && 'a' in {'a': 1}", "!has({'a': 1}.b)", "[1, 2].exists(x, x / 0 > 1) || true",
        "[1, 2, 3].filter(x, x > 1).map(x, x * x) == [4, 9]", "[1, 2].exists_one(x, x == 2)",
        "['a', 'b'].all(i, v, v == ['a', 'b'][i])", "{'a': 1}.transformMap(k, v, v + 1) == {'a': 2}",
        "{'a': 1}.?b.orValue(9) == 9", "{'a': {'b': 1}}.?a.?b.value() == 1", "optional.of(1).optMap(x, x + 1).value() == 2",
        "cel.bind(x, 3, x * x) == 9", "type(1) == int && type('') == string", "size('é') == 1 && 'ab'.size() == 2",
        r"'a\n\x41\u0042' == 'a' + '\n' + 'AB' && r'\d' == '\\d'", "b'\\xff' != b'\\xfe'", "int('12') + int(1.9) == 13",
        "duration('90m') == duration('1h30m') && duration('1h').getMinutes() == 60",
        "timestamp('2024-02-29T12:00:00Z') + duration('24h') == timestamp('2024-03-01T12:00:00Z')",
        "timestamp('2024-02-29T12:00:00Z').getDayOfWeek() == 4", "'%s is %d of %.2f'.format(['x', 3, 1.5]) == 'x is 3 of 1.50'",
        "'a,b'.split(',') == ['a', 'b'] && ['a', 'b'].join('-') == 'a-b' && ' x '.trim() == 'x'",
        "'abc123'.find('[0-9]+') == '123' && 'a1b2'.findAll('[0-9]') == ['1', '2']",
        "[3, 1, 2].sort() == [1, 2, 3] && [1, 2].isSorted() && [1, 2].sum() == 3 && [1, 5].max() == 5",
        "sets.contains([1, 2], [2]) && sets.equivalent([1, 2], [2, 1, 1]) && !sets.intersects([1], [2])",
        "quantity('1.5Gi').isGreaterThan(quantity('1500Mi')) && quantity('50k').add(20).compareTo(quantity('50020')) == 0",
        "isQuantity('1Mi') && !isQuantity('1Mx') && quantity('5').asInteger() == 5",
        "url('https://u@a.b:80/x?k=v').getHostname() == 'a.b' && url('/p').getEscapedPath() == '/p' && !isURL('a.b')",
        "ip('::1').isLoopback() && ip('10.0.0.1').family() == 4 && !isIP('1.2.3') && ip.isCanonical('::1')",
        "cidr('10.0.0.0/8').containsIP('10.9.8.7') && cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')",
        "semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.0.0-rc.1').isLessThan(semver('1.0.0'))",
        "semver('v1.2', true).minor() == 2", "format.dns1123Label().validate('A').hasValue()",
        "!format.dns1123Label().validate('a').hasValue()",
    ],
)  # fmt: skip
def test_holds(text: str):
    assert value(text) is True


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{'a': 1}.b", "no such key: b"), ("[1][2]", "index out of bounds: 2"), ("1 / 0", "division by zero"),
        ("9223372036854775807 + 1", "integer overflow"), ("optional.none().value()", "dereference"),
        ("quantity('x')", "quantities must match"), ("dyn(1) + dyn('a')", "no such overload"),
    ],
)  # fmt: skip
def test_an_evaluation_that_fails_says_why(text: str, why: str):
    with pytest.raises(CelError, match=why):
        value(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x + 1", "undeclared reference to 'x'"), ("1 + 'a'", r"no matching overload for '_\+_' applied to '\(int, string\)'"),
        ("f(1)", "undeclared reference to 'f'"), ("1 +", "Syntax error"), ("(" * 300 + "1" + ")" * 300, "recursion limit"),
        ("[1].all(x, 1)", r"'_&&_' applied to '\(bool, int\)'"),
    ],
)  # fmt: skip
def test_what_is_no_expression_is_refused_when_it_is_compiled(text: str, why: str):
    with pytest.raises(CompileError, match=why):
        compile_expression(text, {})


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
