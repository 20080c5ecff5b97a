"""Which functions and operators there are, on which types: a line for each overload, `id: function(types) -> type`.

A type before the dot is that of a method's target. Capital letters are type parameters. The ids are those of CEL's
implementations, since costs are agreed on per overload (`costs`, `estimates`).

Source: https://github.com/google/cel-spec/blob/master/doc/langdef.md#list-of-standard-definitions,
https://pkg.go.dev/github.com/google/cel-go/ext, https://kubernetes.io/docs/reference/using-api/cel/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Final, NamedTuple

from pybernetes.machinery.cel.types import Type


class Overload(NamedTuple):
    """`arguments` starts with the target of a method."""

    id: str
    is_method: bool
    arguments: Sequence[Type]
    result: Type


OPERATORS: Final = """
    logical_not: !_(bool) -> bool
    negate_int64: -_(int) -> int
    negate_double: -_(double) -> double
    negate_duration: -_(duration) -> duration
    conditional: _?_:_(bool, A, A) -> A
    logical_and: _&&_(bool, bool) -> bool
    logical_or: _||_(bool, bool) -> bool
    equals: _==_(A, A) -> bool
    not_equals: _!=_(A, A) -> bool
    in_list: @in(A, list(A)) -> bool
    in_map: @in(A, map(A, B)) -> bool
    index_list: _[_](list(A), int) -> A
    index_map: _[_](map(A, B), A) -> B
    optional_list_index_int: _[_](optional(list(V)), int) -> optional(V)
    optional_map_index_value: _[_](optional(map(K, V)), K) -> optional(V)
    list_optindex_optional_int: _[?_](list(V), int) -> optional(V)
    optional_list_optindex_optional_int: _[?_](optional(list(V)), int) -> optional(V)
    map_optindex_optional_value: _[?_](map(K, V), K) -> optional(V)
    optional_map_optindex_optional_value: _[?_](optional(map(K, V)), K) -> optional(V)
    add_int64: _+_(int, int) -> int
    add_uint64: _+_(uint, uint) -> uint
    add_double: _+_(double, double) -> double
    add_string: _+_(string, string) -> string
    add_bytes: _+_(bytes, bytes) -> bytes
    add_list: _+_(list(A), list(A)) -> list(A)
    add_timestamp_duration: _+_(timestamp, duration) -> timestamp
    add_duration_timestamp: _+_(duration, timestamp) -> timestamp
    add_duration_duration: _+_(duration, duration) -> duration
    subtract_int64: _-_(int, int) -> int
    subtract_uint64: _-_(uint, uint) -> uint
    subtract_double: _-_(double, double) -> double
    subtract_timestamp_timestamp: _-_(timestamp, timestamp) -> duration
    subtract_timestamp_duration: _-_(timestamp, duration) -> timestamp
    subtract_duration_duration: _-_(duration, duration) -> duration
    multiply_int64: _*_(int, int) -> int
    multiply_uint64: _*_(uint, uint) -> uint
    multiply_double: _*_(double, double) -> double
    divide_int64: _/_(int, int) -> int
    divide_uint64: _/_(uint, uint) -> uint
    divide_double: _/_(double, double) -> double
    modulo_int64: _%_(int, int) -> int
    modulo_uint64: _%_(uint, uint) -> uint
"""
STANDARD: Final = """
    size_string: size(string) -> int
    size_bytes: size(bytes) -> int
    size_list: size(list(A)) -> int
    size_map: size(map(A, B)) -> int
    string_size: string.size() -> int
    bytes_size: bytes.size() -> int
    list_size: list(A).size() -> int
    map_size: map(A, B).size() -> int
    type: type(A) -> type(A)
    to_dyn: dyn(A) -> dyn
    bool_to_bool: bool(bool) -> bool
    string_to_bool: bool(string) -> bool
    bytes_to_bytes: bytes(bytes) -> bytes
    string_to_bytes: bytes(string) -> bytes
    double_to_double: double(double) -> double
    int64_to_double: double(int) -> double
    uint64_to_double: double(uint) -> double
    string_to_double: double(string) -> double
    duration_to_duration: duration(duration) -> duration
    int64_to_duration: duration(int) -> duration
    string_to_duration: duration(string) -> duration
    int64_to_int64: int(int) -> int
    uint64_to_int64: int(uint) -> int
    double_to_int64: int(double) -> int
    string_to_int64: int(string) -> int
    timestamp_to_int64: int(timestamp) -> int
    duration_to_int64: int(duration) -> int
    uint64_to_uint64: uint(uint) -> uint
    int64_to_uint64: uint(int) -> uint
    double_to_uint64: uint(double) -> uint
    string_to_uint64: uint(string) -> uint
    string_to_string: string(string) -> string
    bool_to_string: string(bool) -> string
    int64_to_string: string(int) -> string
    uint64_to_string: string(uint) -> string
    double_to_string: string(double) -> string
    bytes_to_string: string(bytes) -> string
    timestamp_to_string: string(timestamp) -> string
    duration_to_string: string(duration) -> string
    timestamp_to_timestamp: timestamp(timestamp) -> timestamp
    int64_to_timestamp: timestamp(int) -> timestamp
    string_to_timestamp: timestamp(string) -> timestamp
    contains_string: string.contains(string) -> bool
    starts_with_string: string.startsWith(string) -> bool
    ends_with_string: string.endsWith(string) -> bool
    matches: matches(string, string) -> bool
    matches_string: string.matches(string) -> bool
    duration_to_hours: duration.getHours() -> int
    duration_to_minutes: duration.getMinutes() -> int
    duration_to_seconds: duration.getSeconds() -> int
    duration_to_milliseconds: duration.getMilliseconds() -> int
    timestamp_to_year: timestamp.getFullYear() -> int
    timestamp_to_year_with_tz: timestamp.getFullYear(string) -> int
    timestamp_to_month: timestamp.getMonth() -> int
    timestamp_to_month_with_tz: timestamp.getMonth(string) -> int
    timestamp_to_day_of_year: timestamp.getDayOfYear() -> int
    timestamp_to_day_of_year_with_tz: timestamp.getDayOfYear(string) -> int
    timestamp_to_day_of_month: timestamp.getDayOfMonth() -> int
    timestamp_to_day_of_month_with_tz: timestamp.getDayOfMonth(string) -> int
    timestamp_to_day_of_month_1_based: timestamp.getDate() -> int
    timestamp_to_day_of_month_1_based_with_tz: timestamp.getDate(string) -> int
    timestamp_to_day_of_week: timestamp.getDayOfWeek() -> int
    timestamp_to_day_of_week_with_tz: timestamp.getDayOfWeek(string) -> int
    timestamp_to_hours: timestamp.getHours() -> int
    timestamp_to_hours_with_tz: timestamp.getHours(string) -> int
    timestamp_to_minutes: timestamp.getMinutes() -> int
    timestamp_to_minutes_with_tz: timestamp.getMinutes(string) -> int
    timestamp_to_seconds: timestamp.getSeconds() -> int
    timestamp_to_seconds_tz: timestamp.getSeconds(string) -> int
    timestamp_to_milliseconds: timestamp.getMilliseconds() -> int
    timestamp_to_milliseconds_with_tz: timestamp.getMilliseconds(string) -> int
    optional_of: optional.of(V) -> optional(V)
    optional_none: optional.none() -> optional(V)
    optional_ofNonZeroValue: optional.ofNonZeroValue(V) -> optional(V)
    optional_unwrap: optional.unwrap(list(optional(V))) -> list(V)
    optional_unwrapOpt: list(optional(V)).unwrapOpt() -> list(V)
    optional_hasValue: optional(V).hasValue() -> bool
    optional_value: optional(V).value() -> V
    optional_or_optional: optional(V).or(optional(V)) -> optional(V)
    optional_orValue_value: optional(V).orValue(V) -> V
    list_first: list(V).first() -> optional(V)
    list_last: list(V).last() -> optional(V)
"""
EXTENSIONS: Final = """
    string_char_at_int: string.charAt(int) -> string
    string_index_of_string: string.indexOf(string) -> int
    string_index_of_string_int: string.indexOf(string, int) -> int
    string_last_index_of_string: string.lastIndexOf(string) -> int
    string_last_index_of_string_int: string.lastIndexOf(string, int) -> int
    string_lower_ascii: string.lowerAscii() -> string
    string_upper_ascii: string.upperAscii() -> string
    string_replace_string_string: string.replace(string, string) -> string
    string_replace_string_string_int: string.replace(string, string, int) -> string
    string_split_string: string.split(string) -> list(string)
    string_split_string_int: string.split(string, int) -> list(string)
    string_substring_int: string.substring(int) -> string
    string_substring_int_int: string.substring(int, int) -> string
    string_trim: string.trim() -> string
    string_format: string.format(list(dyn)) -> string
    strings_quote: strings.quote(string) -> string
    list_join: list(string).join() -> string
    list_join_string: list(string).join(string) -> string
    sets_contains_list_list: sets.contains(list(T), list(T)) -> bool
    sets_equivalent_list_list: sets.equivalent(list(T), list(T)) -> bool
    sets_intersects_list_list: sets.intersects(list(T), list(T)) -> bool
    list_slice: list(T).slice(int, int) -> list(T)
    list_flatten: list(list(T)).flatten() -> list(T)
    list_flatten_int: list(dyn).flatten(int) -> list(dyn)
    lists_range: lists.range(int) -> list(int)
    list_reverse: list(T).reverse() -> list(T)
    list_distinct: list(T).distinct() -> list(T)
    math_@min: math.least(dyn...) -> dyn
    math_@max: math.greatest(dyn...) -> dyn
    math_ceil_double: math.ceil(double) -> double
    math_floor_double: math.floor(double) -> double
    math_round_double: math.round(double) -> double
    math_trunc_double: math.trunc(double) -> double
    math_abs_int: math.abs(int) -> int
    math_abs_uint: math.abs(uint) -> uint
    math_abs_double: math.abs(double) -> double
    math_sign_int: math.sign(int) -> int
    math_sign_uint: math.sign(uint) -> uint
    math_sign_double: math.sign(double) -> double
    math_isNaN_double: math.isNaN(double) -> bool
    math_isInf_double: math.isInf(double) -> bool
    math_isFinite_double: math.isFinite(double) -> bool
"""
KUBERNETES: Final = """
    list_a_index_of_int: list(A).indexOf(A) -> int
    list_a_last_index_of_int: list(A).lastIndexOf(A) -> int
    string_find_string: string.find(string) -> string
    string_find_all_string: string.findAll(string) -> list(string)
    string_find_all_string_int: string.findAll(string, int) -> list(string)
    string_to_url: url(string) -> kubernetes.URL
    is_url_string: isURL(string) -> bool
    url_get_scheme: kubernetes.URL.getScheme() -> string
    url_get_host: kubernetes.URL.getHost() -> string
    url_get_hostname: kubernetes.URL.getHostname() -> string
    url_get_port: kubernetes.URL.getPort() -> string
    url_get_escaped_path: kubernetes.URL.getEscapedPath() -> string
    url_get_query: kubernetes.URL.getQuery() -> map(string, list(string))
    string_to_quantity: quantity(string) -> kubernetes.Quantity
    is_quantity_string: isQuantity(string) -> bool
    quantity_sign: kubernetes.Quantity.sign() -> int
    quantity_is_integer: kubernetes.Quantity.isInteger() -> bool
    quantity_get_int: kubernetes.Quantity.asInteger() -> int
    quantity_get_float: kubernetes.Quantity.asApproximateFloat() -> double
    quantity_add: kubernetes.Quantity.add(kubernetes.Quantity) -> kubernetes.Quantity
    quantity_add_int: kubernetes.Quantity.add(int) -> kubernetes.Quantity
    quantity_sub: kubernetes.Quantity.sub(kubernetes.Quantity) -> kubernetes.Quantity
    quantity_sub_int: kubernetes.Quantity.sub(int) -> kubernetes.Quantity
    quantity_less_than: kubernetes.Quantity.isLessThan(kubernetes.Quantity) -> bool
    quantity_greater_than: kubernetes.Quantity.isGreaterThan(kubernetes.Quantity) -> bool
    quantity_cmp: kubernetes.Quantity.compareTo(kubernetes.Quantity) -> int
    string_to_ip: ip(string) -> net.IP
    is_ip: isIP(string) -> bool
    ip_is_canonical: ip.isCanonical(string) -> bool
    ip_family: net.IP.family() -> int
    ip_is_unspecified: net.IP.isUnspecified() -> bool
    ip_is_loopback: net.IP.isLoopback() -> bool
    ip_is_link_local_multicast: net.IP.isLinkLocalMulticast() -> bool
    ip_is_link_local_unicast: net.IP.isLinkLocalUnicast() -> bool
    ip_is_global_unicast: net.IP.isGlobalUnicast() -> bool
    ip_to_string: string(net.IP) -> string
    string_to_cidr: cidr(string) -> net.CIDR
    is_cidr: isCIDR(string) -> bool
    cidr_contains_ip_string: net.CIDR.containsIP(string) -> bool
    cidr_contains_ip: net.CIDR.containsIP(net.IP) -> bool
    cidr_contains_cidr_string: net.CIDR.containsCIDR(string) -> bool
    cidr_contains_cidr: net.CIDR.containsCIDR(net.CIDR) -> bool
    cidr_ip: net.CIDR.ip() -> net.IP
    cidr_masked: net.CIDR.masked() -> net.CIDR
    cidr_prefix_length: net.CIDR.prefixLength() -> int
    cidr_to_string: string(net.CIDR) -> string
    string_to_semver: semver(string) -> kubernetes.Semver
    string_bool_to_semver: semver(string, bool) -> kubernetes.Semver
    is_semver_string: isSemver(string) -> bool
    is_semver_string_bool: isSemver(string, bool) -> bool
    semver_major: kubernetes.Semver.major() -> int
    semver_minor: kubernetes.Semver.minor() -> int
    semver_patch: kubernetes.Semver.patch() -> int
    semver_less_than: kubernetes.Semver.isLessThan(kubernetes.Semver) -> bool
    semver_greater_than: kubernetes.Semver.isGreaterThan(kubernetes.Semver) -> bool
    semver_cmp: kubernetes.Semver.compareTo(kubernetes.Semver) -> int
    format_named: format.named(string) -> optional(kubernetes.NamedFormat)
    format_validate: kubernetes.NamedFormat.validate(string) -> optional(list(string))
"""
_AUTHORIZER: Final = """
    authorizer_path: authorization.Authorizer.path(string) -> authorization.PathCheck
    authorizer_group: authorization.Authorizer.group(string) -> authorization.GroupCheck
    authorizer_serviceaccount: authorization.Authorizer.serviceAccount(string, string) -> authorization.Authorizer
    groupcheck_resource: authorization.GroupCheck.resource(string) -> authorization.ResourceCheck
    resourcecheck_subresource: authorization.ResourceCheck.subresource(string) -> authorization.ResourceCheck
    resourcecheck_namespace: authorization.ResourceCheck.namespace(string) -> authorization.ResourceCheck
    resourcecheck_name: authorization.ResourceCheck.name(string) -> authorization.ResourceCheck
    resourcecheck_fieldselector: authorization.ResourceCheck.fieldSelector(string) -> authorization.ResourceCheck
    resourcecheck_labelselector: authorization.ResourceCheck.labelSelector(string) -> authorization.ResourceCheck
    pathcheck_check: authorization.PathCheck.check(string) -> authorization.Decision
    resourcecheck_check: authorization.ResourceCheck.check(string) -> authorization.Decision
    decision_allowed: authorization.Decision.allowed() -> bool
    decision_reason: authorization.Decision.reason() -> string
    decision_errored: authorization.Decision.errored() -> bool
    decision_error: authorization.Decision.error() -> string
"""
_ORDERED: Final = ("bool", "int", "uint", "double", "string", "bytes", "timestamp", "duration")
_NUMBERS: Final = ("int", "uint", "double")
_LINE: Final = re.compile(r"(\S+): (?:(.+)\.)?([^.\s()]+)\((.*)\) -> (.+)")


def lookup(name: str) -> Sequence[Overload]:
    """All overloads of a function, method or operator; none if there is no such name. Functions of a namespace have its name
    before theirs: `sets.contains`."""
    return _table().get(name, ())


@cache
def _table() -> Mapping[str, Sequence[Overload]]:
    found: dict[str, list[Overload]] = {}
    authorizer = _AUTHORIZER.replace("authorization.", "kubernetes.authorization.")
    for text in (OPERATORS, STANDARD, EXTENSIONS, KUBERNETES, authorizer, "\n".join(_repeated())):
        for name, overloads in parsed(text).items():
            found.setdefault(name, []).extend(overloads)
    return found


def parsed(text: str) -> Mapping[str, Sequence[Overload]]:
    """Declarations, by the names of functions and methods."""
    found: dict[str, list[Overload]] = {}
    for line in text.split("\n"):
        if line.strip():
            name, overload = _parsed(line.strip())
            found.setdefault(name, []).append(overload)
    return found


def _repeated() -> Iterator[str]:
    """What there is for each of several types."""
    from pybernetes.machinery.cel.library_kubernetes import FORMAT_NAMES

    for symbol, word in (("<", "less"), ("<=", "less_equals"), (">", "greater"), (">=", "greater_equals")):
        for a in _ORDERED:
            yield f"{word}_{a}: _{symbol}_({a}, {a}) -> bool"
        for a in _NUMBERS:
            for b in _NUMBERS:
                if a != b:
                    yield f"{word}_{a}_{b}: _{symbol}_({a}, {b}) -> bool"
    for a in _ORDERED:
        yield f"list_{a}_is_sorted_bool: list({a}).isSorted() -> bool"
        yield f"list_{a}_min_{a}: list({a}).min() -> {a}"
        yield f"list_{a}_max_{a}: list({a}).max() -> {a}"
        yield f"list_{a}_sort: list({a}).sort() -> list({a})"
        yield f"list_{a}_sortByAssociatedKeys: list(T).@sortByAssociatedKeys(list({a})) -> list(T)"
    for a in (*_NUMBERS, "duration"):
        yield f"list_{a}_sum_{a}: list({a}).sum() -> {a}"
    for name in FORMAT_NAMES:
        yield f"format_{name}: format.{name}() -> kubernetes.NamedFormat"


def _parsed(line: str) -> tuple[str, Overload]:
    match = _LINE.fullmatch(line)
    assert match is not None, line
    id_, target, name, arguments, result = match.groups()
    given = list(_types(arguments))
    if target is None:
        return name, Overload(id_, False, given, _type(result))
    if target in _NAMESPACES:
        return f"{target}.{name}", Overload(id_, False, given, _type(result))
    return name, Overload(id_, True, [_type(target), *given], _type(result))


_NAMESPACES: Final = frozenset(("optional", "strings", "sets", "lists", "math", "ip", "format", "jsonpatch"))


def _types(text: str) -> Iterator[Type]:
    """Separated by commas that are in no brackets."""
    depth, start = 0, 0
    for at, character in enumerate(text + ","):
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            if text[start:at].strip():
                yield _type(text[start:at].strip())
            start = at + 1


def _type(text: str) -> Type:
    head, bracket, rest = text.partition("(")
    return (head, *_types(rest[:-1])) if bracket else text
