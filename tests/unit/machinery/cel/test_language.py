"""The language: what expressions are equal to, and how they fail. Values follow the CEL specification.

Source: https://github.com/google/cel-spec/blob/master/doc/langdef.md
"""

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.machinery.cel import CelError, CompileError, compile_expression


def value(text: str, **variables: Any) -> Any:
    return compile_expression(text, dict.fromkeys(variables, "dyn")).evaluate(variables)[0]


def lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if line]


OPERATORS = r"""
9223372036854775807 == 0x7fffffffffffffff
-9223372036854775808 + 1 == -9223372036854775807
18446744073709551615u == 0xffffffffffffffffu
1 < 2u
2u > 1
1 < 1.5
1u < 1.5
1.5 > 1
-1 < 0u
1.0 / 0.0 > 1e308
-1.0 / 0.0 < -1e308
0.0/0.0 != 0.0/0.0
-7 / 2 == -3
-7 % 2 == -1
7 % -2 == 1
5u - 3u == 2u
7u / 2u == 3u
7u % 4u == 3u
'\u00e9' == 'é'
size('\U0001F600') == 1
'😀'.size() == 1
'\x41\101\n\t\\\"\'\`\?\a\b\f\r\v' == 'AA\n\t\\\"\'\`\?\a\b\f\r\v'
b'\xff\377' == b'\377\xff'
size(b'é') == 2
b'abc' < b'abd'
rb'\n' == b'\\n'
br"\n" == b'\\n'
'a' < 'b'
'A' < 'a'
'' < 'a'
'é' > 'z'
false < true
!(true < false)
[1, 2] == [1, 2]
[1] != [1, 2]
{'a': 1} == {'a': 1}
{'a': 1} != {'a': 2}
[[1], [2]] == [[1], [2]]
{1: 'a'}[1] == 'a'
{true: 'b'}[true] == 'b'
1 in [1, 2]
!(3 in [1, 2])
'a' in {'a': 1}
(1 / 0 > 0) || true
true || (1 / 0 > 0)
!((1 / 0 > 0) && false)
!(false && (1 / 0 > 0))
(true ? 1 : 1 / 0) == 1
(false ? 1 / 0 : 2) == 2
'abc'.matches('b')
!'abc'.matches('^b')
matches('abc', 'a.c')
{'a': 1}['a'] == 1
{'a-b': 1}['a-b'] == 1
1 + 2 * 3 - 4 / 2 % 3 == 5
!true == false
[] == []
{} == {}
null == null
"a" + 'b' == "ab"
b'a' + b'b' == b'ab'
{'k': 1,} == {'k': 1}
[1,] == [1]
'abc'.contains('b')
'abc'.startsWith('ab')
'abc'.endsWith('bc')
!'abc'.contains('z')
'abc'.contains('')
'\\d' == r'\d'
size([1, 2]) == 2
size({'a': 1}) == 1
size('') == 0
size(b'ab') == 2
'x' in ['x']
!('x' in [])
(1 > 2 ? 'a' : 2 > 1 ? 'b' : 'c') == 'b'
'a\u0000b'.size() == 3
"""

CONVERSIONS = r"""
dyn(1) == 1.0
dyn(1u) == 1
dyn(1) != 1.5
dyn(9007199254740993) != 9007199254740992.0
!(dyn(1) == true)
!(dyn(0) == false)
dyn('1') != 1
bytes('é') == b'\xc3\xa9'
string(b'\xc3\xa9') == 'é'
dyn([1]) == dyn([1.0])
{1: 'a'}[dyn(1u)] == 'a'
{1: 'a'}[dyn(1.0)] == 'a'
[1, 2, 3][dyn(1.0)] == 2
dyn(1.0) in [1]
type(1) == int
type(1u) == uint
type(1.0) == double
type('') == string
type(b'') == bytes
type(true) == bool
type([]) == list
type({}) == map
type(null) == null_type
type(type(1)) == type
int(3.9) == 3
int(-3.9) == -3
int(7u) == 7
int('-5') == -5
int('+5') == 5
uint(3.9) == 3u
uint(7) == 7u
uint('5') == 5u
double('1.5') == 1.5
double(3) == 3.0
double(3u) == 3.0
double('-Inf') < 0.0
string(1) == '1'
string(1u) == '1'
string(1.5) == '1.5'
string(true) == 'true'
string(b'a') == 'a'
string('x') == 'x'
string(-0.0) == '-0'
string(1e21) == '1e+21'
string(1e20) == '1e+20'
string(100000.0) == '100000'
string(0.000001) == '1e-06'
string(0.0001) == '0.0001'
string(123456789.5) == '1.234567895e+08'
string(0.1) == '0.1'
string(1.0/0.0) == '+Inf'
string(-5.0) == '-5'
bool('true')
!bool('false')
bool('1')
!bool('0')
bool('t')
bool('TRUE')
bool('True')
!bool('F')
dyn(null) != 0
"""

TIMES = r"""
type(duration('1s')) == google.protobuf.Duration
type(timestamp('2020-01-01T00:00:00Z')) == google.protobuf.Timestamp
int(timestamp('1970-01-01T00:00:10Z')) == 10
string(duration('1h30m')) == '5400s'
string(duration('1.5s')) == '1.5s'
string(duration('-1s')) == '-1s'
string(duration('0s')) == '0s'
string(timestamp('2020-01-02T03:04:05.678Z')) == '2020-01-02T03:04:05.678Z'
duration('1h') + duration('30m') == duration('90m')
duration('1h') - duration('30m') == duration('30m')
-duration('1s') == duration('-1s')
timestamp('2020-01-01T00:00:00Z') < timestamp('2020-01-01T00:00:01Z')
timestamp('2020-01-02T00:00:00Z') - timestamp('2020-01-01T00:00:00Z') == duration('24h')
timestamp('2020-01-01T12:00:00Z').getHours('America/New_York') == 7
timestamp('2020-01-01T12:00:00Z').getHours('-05:00') == 7
timestamp('2020-01-01T12:00:00Z').getHours('05:30') == 17
timestamp('2020-12-31T23:59:59.999Z').getFullYear() == 2020
timestamp('2020-12-31T23:59:59.999Z').getMonth() == 11
timestamp('2020-12-31T23:59:59.999Z').getDate() == 31
timestamp('2020-12-31T23:59:59.999Z').getDayOfMonth() == 30
timestamp('2020-12-31T23:59:59.999Z').getDayOfYear() == 365
timestamp('2020-12-31T23:59:59.999Z').getDayOfWeek() == 4
timestamp('2020-12-31T23:59:59.999Z').getMilliseconds() == 999
duration('3730.5s').getHours() == 1
duration('3730.5s').getMinutes() == 62
duration('3730.5s').getSeconds() == 3730
duration('3730.5s').getMilliseconds() == 3730500
duration('-1.5s').getSeconds() == -1
duration('-1.5s').getMilliseconds() == -1500
int(duration('1s')) == 1000000000
timestamp(1) == timestamp('1970-01-01T00:00:01Z')
duration(5) == duration('5ns')
timestamp('2020-01-01T00:00:00+02:00') == timestamp('2019-12-31T22:00:00Z')
"""

MACROS = r"""
[1, 2, 0].exists(x, 10 / x == 5)
!([1, 0].all(x, 10 / x > 10))
has({'a': 1}.a)
!has({'a': 1}.b)
[1, 2, 3].exists_one(x, x > 2)
![1, 2, 3].exists_one(x, x > 1)
[1].existsOne(x, x == 1)
[1, 2].map(x, x * 2) == [2, 4]
[1, 2, 3].map(x, x > 1, x * 2) == [4, 6]
{'a': 1, 'b': 2}.map(k, k) == ['a', 'b']
{'a': 1}.filter(k, k == 'a') == ['a']
{'a': 1}.all(k, k == 'a')
{'a': 1, 'b': 2}.exists(k, k == 'b')
[1, 2].all(i, v, v == i + 1)
[1, 2, 3].transformList(i, v, v * i) == [0, 2, 6]
[1, 2, 3].transformList(i, v, i > 0, v) == [2, 3]
{'a': 1, 'b': 2}.transformMap(k, v, v * 2) == {'a': 2, 'b': 4}
{'a': 1, 'b': 2}.transformMap(k, v, k == 'a', v) == {'a': 1}
{'a': 'x'}.transformMapEntry(k, v, {v: k}) == {'x': 'a'}
['a', 'b'].transformMapEntry(i, v, {v: i}) == {'a': 0, 'b': 1}
cel.bind(a, 1, cel.bind(b, a + 1, a + b)) == 3
{'a': 1}.exists(k, v, k == 'a' && v == 1)
[5, 6].existsOne(i, v, i == 1 && v == 6)
"""

OPTIONALS = r"""
optional.of(1).hasValue()
!optional.none().hasValue()
optional.of(1).value() == 1
optional.none().orValue(2) == 2
optional.none().or(optional.of(3)).value() == 3
!optional.ofNonZeroValue(0).hasValue()
!optional.ofNonZeroValue('').hasValue()
!optional.ofNonZeroValue([]).hasValue()
optional.ofNonZeroValue(1).hasValue()
!optional.ofNonZeroValue(false).hasValue()
!optional.ofNonZeroValue(null).hasValue()
!optional.ofNonZeroValue({}).hasValue()
{'a': {'b': 1}}.?a.?b == optional.of(1)
!{'a': {'b': 1}}.?x.?y.hasValue()
{'a': [1]}.?a[?0].orValue(9) == 1
{'a': [1]}.?a[?5].orValue(9) == 9
[1][?0] == optional.of(1)
{'a': 1}[?'b'] == optional.none()
{'a': {'b': 1}}.?a.b == optional.of(1)
{'a': {'b': 1}}.?a['b'] == optional.of(1)
!{'a': {'b': 1}}.?a['c'].hasValue()
!{'a': {'b': 1}}.?a.c.hasValue()
!optional.of([1])[1].hasValue()
!has(dyn(null).a)
!has(dyn('a').a)
!dyn(null).?a.hasValue()
[?optional.of(1), ?optional.none(), 2] == [1, 2]
{?'a': optional.of(1), ?'b': optional.none()} == {'a': 1}
optional.of(2).optMap(x, x * 2) == optional.of(4)
optional.of(2).optFlatMap(x, optional.none()) == optional.none()
optional.none().optMap(x, x) == optional.none()
[1, 2].first() == optional.of(1)
[1, 2].last().value() == 2
![].first().hasValue()
optional.unwrap([optional.of(1), optional.none()]) == [1]
[optional.of(1)].unwrapOpt() == [1]
"""


@pytest.mark.parametrize("text", lines(OPERATORS + CONVERSIONS + TIMES + MACROS + OPTIONALS))
def test_holds(text: str):
    assert value(text) is True


def test_texts_may_span_lines_and_comments_end_with_theirs():
    assert value('"""a\nb""" == \'a\\nb\'') is True
    assert value("// nothing\n1 == 1 // but this\n") is True
    assert value("'a' + // one\n'b' == 'ab'") is True
    assert value('"""it\'s "so\\"""" == \'it\\\'s "so"\'') is True


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("9223372036854775807 + 1", "integer overflow"), ("-(-9223372036854775808)", "integer overflow"),
        ("-9223372036854775808 / -1", "integer overflow"), ("9223372036854775807 * 2", "integer overflow"),
        ("18446744073709551615u + 1u", "unsigned integer overflow"), ("0u - 1u", "unsigned integer overflow"),
        ("1 / 0", "division by zero"), ("1u / 0u", "division by zero"), ("1 % 0", "modulus by zero"),
        ("{'a': 1}.b", "no such key: b"),
        ("{'a': 1}['b']", "no such key: b"), ("[1][1]", "index out of bounds: 1"), ("[1][-1]", "index out of bounds: -1"),
        ("[1][dyn(0.5)]", "index value 0.5 in list"), ("{1: 2}[dyn(true)]", "no such key: true"),
        ("dyn(null).a", "no such key: a"), ("dyn(1).a", "no such key: a"), ("dyn('a')['b']", "no such key: b"),
        ("dyn([1]).a", "index type 'string' in list"), ("has(dyn([1]).a)", "index type 'string' in list"),
        ("[1][?dyn('a')]", "index type 'string' in list"),
        ("dyn(1) + dyn('a')", "no such overload"),
        ("dyn([1]) < dyn([2])", "no such overload"), ("dyn(1) && true", "no such overload"),
        ("dyn(1) ? 1 : 2", "no such overload"),
        ("[1].all(x, dyn(x))", "no such overload"), ("int('x')", "type conversion error from 'string' to 'int'"),
        ("int(1e19)", "integer overflow"), ("int(0.0 / 0.0)", "integer overflow"), ("uint(-1)", "unsigned integer overflow"),
        ("double('1_0')", "type conversion error from 'string' to 'double'"), ("string(b'\\xff')", "invalid UTF-8 in bytes"),
        ("timestamp(253402300800)", "timestamp overflow"), ("duration(9223372036854775807) + duration(1)", "duration overflow"),
        ("timestamp('9999-12-31T23:59:59Z') + duration('1s')", "timestamp overflow"),
        ("optional.none().value()", "dereference"),
        ("timestamp(dyn('2020-13-01T00:00:00Z'))", "from 'string' to 'google.protobuf.Timestamp'"),
        ("{'a': 1, 'a': 2}", "insert failed: key a already exists"), ("dyn(5).map(x, x)", "no such overload"),
        ("timestamp(0).getHours('No/Where')", "unknown time zone No/Where"), ("false || 1 / 0 > 0", "division by zero"),
        ("true && 1 / 0 > 0", "division by zero"), ("[0, 1].all(x, 1 / x > 0)", "division by zero"),
        ("[0, 1].exists(x, 1 / x > 5)", "division by zero"), ("[1, 0].exists_one(x, 1 / x > 5)", "division by zero"),
    ],
)  # fmt: skip
def test_an_evaluation_that_fails_says_why(text: str, why: str):
    with pytest.raises(CelError) as caught:
        value(text)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("text", "column", "why"),
    [
        ("x", 1, "undeclared reference to 'x' (in container '')"), ("f(1)", 2, "undeclared reference to 'f' (in container '')"),
        ("'a'.foo()", 8, "undeclared reference to 'foo' (in container '')"),
        ("1 + 'a'", 3, "found no matching overload for '_+_' applied to '(int, string)'"),
        ("1 == 1.0", 3, "found no matching overload for '_==_' applied to '(int, double)'"),
        ("1 in 'a'", 3, "found no matching overload for '@in' applied to '(int, string)'"),
        ("'a' in [1]", 5, "found no matching overload for '@in' applied to '(string, list(int))'"),
        ("{'a': 1}[1]", 9, "found no matching overload for '_[_]' applied to '(map(string, int), int)'"),
        ("true ? 1 : 'a'", 6, "found no matching overload for '_?_:_' applied to '(bool, int, string)'"),
        ("!1", 1, "found no matching overload for '!_' applied to '(int)'"), ("-1u", 1, "applied to '(uint)'"),
        ("'a'.size(1)", 9, "found no matching overload for 'size' applied to 'string.(int)'"),
        ("type(1) == 'int'", 9, "found no matching overload for '_==_' applied to '(type(int), string)'"),
        ("optional.of(1) == 1", 16, "found no matching overload for '_==_' applied to '(optional_type(int), int)'"),
        ("timestamp('2020-01-01T00:00:00Z') + 1", 35, "applied to '(google.protobuf.Timestamp, int)'"),
        ("[1, 'a']", 5, "expected type 'int' but found 'string'"),
        ("{'a': 1, 2: 3}", 10, "expected type 'string' but found 'int'"),
        ("[1].all(x, 1)", 8, "found no matching overload for '_&&_' applied to '(bool, int)'"),
        ("[1].filter(x, x)", 11, "found no matching overload for '_?_:_' applied to '(int, list(int), list(int))'"),
        ("{'a': 1}.a.b", 11, "type 'int' does not support field selection"), ("has(1)", 5, "invalid argument to has() macro"),
        ("[1].map(1, 2)", 9, "argument must be a simple name"), ("'a'.matches('(')", 13, "invalid matches argument"),
        ("duration('1 day')", 10, "invalid duration argument"), ("timestamp('now')", 11, "invalid timestamp argument"),
        ("'a'.all(x, true)", 1, "expression of type 'string' cannot be range of a comprehension"),
        ("'%d'.format(['a'])", 14, "error during formatting: decimal clause can only be used on integers, was given string"),
        ("'%d'.format([1, 2])", 12, "too many arguments supplied to string.format (expected 1, got 2)"),
        ("'%d %d'.format([1])", 15, "index 1 out of range"), ("for", 1, "reserved identifier: for"),
        ("9223372036854775808", 1, "invalid int literal"), ("18446744073709551616u", 1, "invalid uint literal"),
        ("1e999", 1, "invalid double literal"), ("1 2", 3, "Syntax error: mismatched input '2' expecting <EOF>"),
        ("'\\q'", 1, "Syntax error: token recognition error"), ("'\\ud800'", 1, "Syntax error: token recognition error"),
    ],
)  # fmt: skip
def test_what_is_no_expression_is_pointed_at(text: str, column: int, why: str):
    with pytest.raises(CompileError) as caught:
        value(text)
    first, shown, pointer = str(caught.value).split("\n")
    assert first.startswith(f"ERROR: <input>:1:{column}: ") and why in first
    assert (shown, pointer) == (f" | {text}", f" | {'.' * (column - 1)}^")


def test_all_that_is_wrong_is_told_in_its_order():
    with pytest.raises(CompileError) as caught:
        value("a + (b +\n c)")
    assert str(caught.value) == (
        "ERROR: <input>:1:1: undeclared reference to 'a' (in container '')\n | a + (b +\n | ^\n"
        "ERROR: <input>:1:6: undeclared reference to 'b' (in container '')\n | a + (b +\n | .....^\n"
        "ERROR: <input>:2:2: undeclared reference to 'c' (in container '')\n |  c)\n | .^"
    )


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("1 + 1", "int"), ("d + 1", "int"), ("d + d", "dyn"), ("[1].map(x, string(x))", ("list", "string")), ("[]",
        ("list", "dyn")),
        ("[[]] + [[1]]", ("list", ("list", "int"))), ("{'a': 1}.transformMap(k, v, k)", ("map", "string", "string")),
        ("true ? null : duration('1s')", "duration"), ("optional.of(1).optMap(x, 'a')", ("optional", "string")),
        ("[1, 2].first().value()", "int"), ("d.x", "dyn"), ("d.x > 1", "bool"), ("[d].all(x, x)", "bool"), ("dyn(1)", "dyn"),
        ("url('/').getQuery()", ("map", "string", ("list", "string"))), ("cel.bind(x, 1, [x])", ("list", "int")),
    ],
)  # fmt: skip
def test_types_are_known_where_they_can_be(text: str, result: Any):
    assert compile_expression(text, {"d": "dyn"}).result == result


def test_variables_of_macros_hide_others_and_end_with_them():
    assert value("[1, 2].map(x, [x * 10].map(x, x + 1)) == [[11], [21]] && x == 'out'", x="out") is True
    assert value("[1].all(x, [2].exists(y, y > x)) && [3].map(y, y) == [y]", y=3) is True


def test_nulls_are_no_fields_of_objects_but_values_of_maps():
    schema = {"type": "object", "properties": {"a": {"type": "string", "nullable": True}}}
    program = compile_expression("has(self.a) || has(m.a)", {"self": ("object", schema, False), "m": ("map", "string", "dyn")})
    assert program.evaluate({"self": {"a": None}, "m": {}})[0] is False
    assert program.evaluate({"self": {"a": None}, "m": {"a": None}})[0] is True
