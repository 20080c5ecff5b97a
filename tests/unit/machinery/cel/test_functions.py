"""The functions that expressions have: CEL's extensions and Kubernetes' libraries of 1.36.

Source: https://kubernetes.io/docs/reference/using-api/cel/, https://pkg.go.dev/github.com/google/cel-go/ext
"""

from __future__ import annotations

import pytest

from pybernetes.machinery.cel import CelError, compile_expression

EXTENSIONS = r"""
'hello'.charAt(0) == 'h'
'hello'.charAt(5) == ''
'hello'.indexOf('l') == 2
'hello'.indexOf('l', 3) == 3
'hello'.lastIndexOf('l') == 3
'hello'.lastIndexOf('l', 2) == 2
'hello'.indexOf('') == 0
'hello'.lastIndexOf('') == 5
'hello'.indexOf('', 5) == 5
'hello'.indexOf('z') == -1
'hello'.indexOf('h', 9) == -1
'hello'.lastIndexOf('hello', 6) == -1
'HeLLo'.lowerAscii() == 'hello'
'HeLLo'.upperAscii() == 'HELLO'
'É'.lowerAscii() == 'É'
'aaa'.replace('a', 'b') == 'bbb'
'aaa'.replace('a', 'b', 2) == 'bba'
'aaa'.replace('a', 'b', 0) == 'aaa'
'aaa'.replace('a', 'b', -1) == 'bbb'
'ab'.replace('', '_') == '_a_b_'
'a,b,c'.split(',') == ['a', 'b', 'c']
'a,b,c'.split(',', 2) == ['a', 'b,c']
'a,b,c'.split(',', 0) == []
'a,b,c'.split(',', 1) == ['a,b,c']
'a,b,c'.split(',', -1) == ['a', 'b', 'c']
'abc'.split('') == ['a', 'b', 'c']
'hello'.substring(1) == 'ello'
'hello'.substring(1, 3) == 'el'
'hello'.substring(5) == ''
'tacocat'.substring(0, 0) == ''
' \t\n a \u2003'.trim() == 'a'
['a', 'b'].join() == 'ab'
['a', 'b'].join(', ') == 'a, b'
[].join('x') == ''
strings.quote('a\n"b"') == '"a\\n\\"b\\""'
'%s %s %s'.format([true, null, 'x']) == 'true null x'
'%d %d'.format([1, 2u]) == '1 2'
'%%'.format([]) == '%'
'%.3f %f %e'.format([1.23456, 2.5, 1234.5]) == '1.235 2.500000 1.234500\u202f×\u202f10⁰³'
'%.1f'.format([1234567.89]) == '1,234,567.9'
'%f %f'.format(['NaN', 1.0/0.0]) == 'NaN ∞'
'%.2e'.format([0.00015]) == '1.50\u202f×\u202f10⁻⁰⁴'
'%x %X %x %X'.format([255, 255, 'hi', b'hi']) == 'ff FF 6869 6869'
'%o %b %b'.format([8, 5, true]) == '10 101 1'
'%s'.format([['a', 'b"c']]) == '["a", "b\\"c"]'
'%s'.format([[1.5, 2.0]]) == '[1.500000, 2.000000]'
'%s'.format([[b'a']]) == '[b"a"]'
'%s'.format([{'b': 1, 'a': 2}]) == '{"a":2, "b":1}'
'%s'.format([{1: [null]}]) == '{1:[null]}'
'%s'.format([[duration('1h')]]) == '[duration("3600s")]'
'%s'.format([duration('1h')]) == '3600s'
'%s'.format([timestamp('2020-01-01T00:00:00Z')]) == '2020-01-01T00:00:00Z'
'%s'.format([int]) == 'int'
'%s'.format([1.5]) == '1.5'
'%s'.format([b'ab']) == 'ab'
'a1b22'.find('[0-9]+') == '1'
'a1b22'.findAll('[0-9]+') == ['1', '22']
'a1b22'.findAll('[0-9]+', 1) == ['1']
'abc'.find('z') == ''
[1, 2, 2, 3].isSorted()
!['b', 'a'].isSorted()
[].isSorted()
[1, 2].sum() == 3
[1.5, 2.5].sum() == 4.0
[1u, 2u].sum() == 3u
[duration('1s'), duration('2s')].sum() == duration('3s')
['b', 'a'].min() == 'a'
[1, 3].max() == 3
[1, 2, 1].indexOf(1) == 0
[1, 2, 1].lastIndexOf(1) == 2
[1].indexOf(5) == -1
[1, 2, 3, 4].slice(1, 3) == [2, 3]
[1].slice(1, 1) == []
[[1], [2, 3]].flatten() == [1, 2, 3]
[[[1]], [[2], [3]]].flatten(2) == [1, 2, 3]
[[1]].flatten(0) == [[1]]
[1, 2, 2].distinct() == [1, 2]
[3, 1].reverse() == [1, 3]
lists.range(3) == [0, 1, 2]
[3, 1, 2].sort() == [1, 2, 3]
['bb', 'a'].sortBy(s, size(s)) == ['a', 'bb']
sets.contains([1, 2], [1])
sets.contains([1], [])
!sets.contains([], [1])
sets.equivalent([1, 1], [1])
sets.intersects([1, 2], [2])
!sets.intersects([1], [])
math.greatest(1, 2, 3) == 3
math.least([4, 2]) == 2
math.abs(-3) == 3
math.sign(-2.5) == -1.0
math.ceil(1.2) == 2.0
math.floor(-1.2) == -2.0
math.round(2.5) == 3.0
math.round(-2.5) == -3.0
math.trunc(-1.9) == -1.0
math.isNaN(0.0/0.0)
math.isInf(1.0/0.0)
math.isFinite(1.0)
'éa'.charAt(1) == 'a'
'😀b'.substring(1) == 'b'
'aé😀'.indexOf('😀') == 2
"""

KUBERNETES = r"""
quantity('1k') == quantity('1000')
quantity('1Ki').asInteger() == 1024
quantity('0.5').isInteger() == false
quantity('1.5').asApproximateFloat() == 1.5
quantity('-1').sign() == -1
quantity('1').compareTo(quantity('2')) == -1
quantity('1').add(quantity('2')) == quantity('3')
quantity('5').sub(2) == quantity('3')
quantity('1').isGreaterThan(quantity('500m'))
isQuantity('1.3Gi')
!isQuantity('200K')
!isQuantity('x')
url('https://user:pw@example.com:8080/a%20b?k=v&k=w#f').getScheme() == 'https'
url('https://user:pw@example.com:8080/').getHost() == 'example.com:8080'
url('https://example.com:8080/').getHostname() == 'example.com'
url('https://example.com:8080/').getPort() == '8080'
url('https://example.com/').getPort() == ''
url('https://[::1]:80/').getHostname() == '::1'
url('https://[::1]:80/').getHost() == '[::1]:80'
url('https://example.com/path with spaces/').getEscapedPath() == '/path%20with%20spaces/'
url('https://example.com/?k1=a&k2=b&k2=c').getQuery() == {'k1': ['a'], 'k2': ['b', 'c']}
url('/p').getHost() == ''
isURL('https://a.b/')
isURL('/x')
!isURL('a.b')
!isURL('../x')
!isURL('')
isURL('http://a.b:80')
ip('127.0.0.1').family() == 4
ip('::1').family() == 6
ip('0.0.0.0').isUnspecified()
ip('127.0.0.1').isLoopback()
ip('224.0.0.1').isLinkLocalMulticast()
ip('ff02::1').isLinkLocalMulticast()
ip('169.254.1.1').isLinkLocalUnicast()
ip('fe80::1').isLinkLocalUnicast()
ip('8.8.8.8').isGlobalUnicast()
ip('10.0.0.1').isGlobalUnicast()
!ip('255.255.255.255').isGlobalUnicast()
isIP('127.0.0.1')
!isIP('127.0.0.256')
!isIP('01.2.3.4')
isIP('::1')
!isIP('::ffff:1.2.3.4')
ip.isCanonical('127.0.0.1')
ip.isCanonical('2001:db8::abcd')
!ip.isCanonical('2001:DB8::ABCD')
string(ip('::1')) == '::1'
ip('::1') == ip('0:0::1')
cidr('192.168.0.0/24').containsIP('192.168.0.1')
cidr('192.168.0.0/24').containsIP(ip('192.168.0.1'))
!cidr('192.168.0.0/24').containsIP('192.168.1.1')
cidr('192.168.0.0/16').containsCIDR('192.168.10.0/24')
cidr('192.168.0.0/16').containsCIDR(cidr('192.168.10.0/24'))
!cidr('192.168.1.0/24').containsCIDR('192.168.0.0/16')
cidr('192.168.0.1/24').ip() == ip('192.168.0.1')
cidr('192.168.0.1/24').masked() == cidr('192.168.0.0/24')
cidr('192.168.0.1/24').prefixLength() == 24
cidr('::1/128').ip().family() == 6
isCIDR('10.0.0.0/8')
!isCIDR('10.0.0.0/33')
!isCIDR('10.0.0.0')
string(cidr('10.0.0.0/8')) == '10.0.0.0/8'
semver('1.2.3').major() == 1
semver('1.2.3').minor() == 2
semver('1.2.3').patch() == 3
isSemver('1.0.0-alpha.1+b')
!isSemver('1.0')
isSemver('v1.0', true)
semver('v01.1', true) == semver('1.1.0')
!isSemver('v1.0.0')
semver('1.0.0').compareTo(semver('1.0.1')) == -1
semver('1.0.0').isLessThan(semver('1.0.1'))
semver('1.0.0-rc1').isLessThan(semver('1.0.0'))
format.dns1123Label().validate('ok') == optional.none()
format.dns1123Label().validate('Bad').hasValue()
format.named('dns1123Label').hasValue()
!format.named('x').hasValue()
format.named('uuid').value().validate('x').value() == ['does not match the UUID format']
format.dns1123LabelPrefix().validate('ok-').hasValue() == false
format.uri().validate('https://a') == optional.none()
format.qualifiedName().validate('a.b/c') == optional.none()
format.labelValue().validate('') == optional.none()
format.date().validate('2020-01-01') == optional.none()
format.datetime().validate('2020-01-01T00:00:00Z') == optional.none()
format.byte().validate('YQ==') == optional.none()
"""


@pytest.mark.parametrize("text", [line for line in (EXTENSIONS + KUBERNETES).split("\n") if line])
def test_holds(text: str):
    assert compile_expression(text, {}).evaluate({})[0] is True


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("'a'.charAt(2)", "index out of range: 2"), ("'a'.substring(2)", "index out of range: 2"),
        ("'abc'.substring(2, 1)", "invalid substring range. start: 2, end: 1"),
        ("'a'.indexOf('a', -1)", "index out of range: -1"),
        ("[].min()", "min called on empty list"), ("[].max()", "max called on empty list"),
        ("[dyn(1), dyn('a')].sort()", "list elements must have the same type"),
        ("[[1]].flatten(-1)", "level must be non-negative"),
        ("[1].slice(0, 2)", "cannot slice(0, 2), list is length 1"), ("lists.range(-1)", "size must be non-negative, got -1"),
        ("[1].slice(-1, 1)", "cannot slice(-1, 1), negative indexes not supported"),
        ("'%d'.format(dyn(['a']))", "error during formatting: decimal clause can only be used on integers, was given string"),
        ("'%f'.format(dyn([1]))", "error during formatting: fixed-point clause can only be used on doubles, was given int"),
        ("'%s %s'.format(dyn(['a']))", "index 1 out of range"), ("'a'.matches(dyn('('))", "error parsing regexp"),
        ("'%q'.format(dyn([]))", 'unrecognized formatting clause "q"'), ("'%'.format(dyn([]))", "unexpected end of string"),
        ("quantity('1.5').asInteger()", "cannot convert value to integer"), ("url('a.b')", "invalid URI for request"),
        ("url('https://a/%zz')", 'invalid URL escape "%zz"'),
        ("ip('::ffff:1.2.3.4')", "IPv4-mapped IPv6 address is not allowed"),
        ("ip('1.2.3')", 'ParseAddr("1.2.3")'), ("cidr('1.2.3.4')", "no valid prefix"),
        ("semver('1.2')", "No Major.Minor.Patch elements found"),
    ],
)  # fmt: skip
def test_a_call_that_fails_says_why(text: str, why: str):
    with pytest.raises(CelError) as caught:
        compile_expression(text, {}).evaluate({})
    assert why in str(caught.value)
