"""What calls cost when they are evaluated, in the units of upstream's limits: about one step each.

What is always paid is a number, known when an expression is compiled; the rest depends on the sizes of arguments and result. A
call whose overload is not known before (an operand is of any type) costs one unit, as upstream has it.

Source: cel-go's runtime costs, and those of Kubernetes' libraries ("Resource constraints" in
https://kubernetes.io/docs/reference/using-api/cel/)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pybernetes.machinery.cel import types
from pybernetes.machinery.cel.declarations import Overload
from pybernetes.machinery.cel.library_kubernetes import Cidr, Ip, NamedFormat, Url, Version
from pybernetes.machinery.cel.types import Type
from pybernetes.machinery.cel.values import SetList, Uint, are_texts
from pybernetes.machinery.cel.weights import SEARCHED_EACH, TRAVERSAL, parts, size, traversal
from pybernetes.machinery.go_regexp import PatternTooLarge, compile_pattern
from pybernetes.machinery.quantity import Quantity

REGEX_LENGTH: Final = 0.25  # of a character of a pattern
LIST_BASE: Final = 10
MAP_BASE: Final = 30
STRUCT_BASE: Final = 40
_PIECES_FREE: Final = 100
# Of patterns that are computed
_READING: Final = 30
_REFUSING: Final = 50  # of a character
_REFUSING_LARGE: Final = 200_000
_PROGRAM: Final = 0.01  # of a character that an instruction may see
_PROGRAM_KNOWN: Final = 0.0035  # likewise, of literals: what is usual costs what it costs upstream
_LENGTH_FREE: Final = 10_000
# In the time of one unit, about
_ITEMS_LOOKED_AT: Final = 5
_ITEMS_COMPARED: Final = 10
_PARAMETERS: Final = 100  # characters
_ITEMS_COPIED: Final = 50
_CHARACTERS_COPIED: Final = 1000

Cost = Callable[[Sequence[Any], Any], int]  # of the arguments, a method's target first, and the result


def _by_target(factor: float) -> Cost:
    def cost(arguments: Sequence[Any], _: Any) -> int:
        target = arguments[0]
        return math.ceil((len(target) if type(target) is str else size(target)) * factor)

    return cost


def equality(arguments: Sequence[Any], _: Any) -> int:
    """Of what is compared, at most: what is in lists in lists counts, too, though not for upstream, since nothing else bounds
    how long it takes."""
    a, b = arguments
    if type(a) in _UNIT or (type(a) in _SCALARS and type(b) in _SCALARS):
        return 1
    if isinstance(a, list | dict) and isinstance(b, list | dict) and len(a) == len(b):
        return math.ceil(min(parts(a), parts(b)) * TRAVERSAL)
    return math.ceil(min(size(a), size(b)) * TRAVERSAL)


def _each(value: Any) -> int:
    """Of comparing with a value."""
    return max(1, math.ceil(parts(value) * TRAVERSAL)) if isinstance(value, list | dict) else 1


def _each_of(items: Any) -> int:
    """Of comparing with items, on average."""
    if not isinstance(items, list) or not items or not isinstance(items[0], list | dict):
        return 1
    return max(1, math.ceil(parts(items) / len(items) * TRAVERSAL))


def _membership(arguments: Sequence[Any], _: Any) -> int:
    wanted, items = arguments
    return size(items) * _each(wanted)


def _any_membership(arguments: Sequence[Any], result: Any) -> int:
    """One unit, as upstream has it, but for long lists."""
    is_list = isinstance(arguments[1], list)
    return 1 + (_membership(arguments, result) // _ITEMS_COMPARED if is_list else 0)


def _sum(arguments: Sequence[Any], _: Any) -> int:
    return math.ceil((size(arguments[0]) + size(arguments[1])) * TRAVERSAL)


def _gone_through(arguments: Sequence[Any], _: Any) -> int:
    """One unit, as upstream has it, but for long lists."""
    return 1 + (len(arguments[0]) // _ITEMS_LOOKED_AT if isinstance(arguments[0], list) else 0)


def _formatted(arguments: Sequence[Any], _: Any) -> int:
    """By the format, as upstream has it; and by what is shown if that is much, which nothing else bounds."""
    text, shown = arguments
    return math.ceil(size(text) * TRAVERSAL) + max(0, traversal(shown) - _PIECES_FREE)


def _joined(arguments: Sequence[Any], _: Any) -> int:
    """One unit, as upstream has it, but for what takes long to be copied; sets that are merged look for each in the other."""
    a, b = arguments
    if isinstance(a, list) and isinstance(b, list):
        compared = 0 if type(a) is not SetList or are_texts(a, b) else len(a) * len(b) * _each_of(a)
        return 1 + compared + (len(a) + len(b)) // _ITEMS_COPIED
    if isinstance(a, str | bytes) and isinstance(b, str | bytes):
        return 1 + (len(a) + len(b)) // _CHARACTERS_COPIED
    return 1


def _pattern(arguments: Sequence[Any], _: Any) -> int:
    return math.ceil((1 + size(arguments[0])) * TRAVERSAL) * math.ceil(size(arguments[1]) * REGEX_LENGTH)


def _finding_all(arguments: Sequence[Any], result: Any) -> int:
    return _pattern(arguments, result)


def of_pieces(arguments: Sequence[Any], result: Any) -> int:
    """Many that are found cost each, though not for upstream; and for each, all of the text may have been looked at."""
    many = max(0, size(result) - _PIECES_FREE)
    return many + many * size(arguments[0]) // SEARCHED_EACH


def by_program(cost: Cost, pattern: str) -> Cost:
    """Of a call with this pattern: by its program, too, where that is long for the pattern (`a{1000}`)."""
    try:
        program = compile_pattern(pattern).size
    except ValueError:
        return cost
    each = program * _PROGRAM_KNOWN
    if each <= TRAVERSAL * max(1, math.ceil(len(pattern) * REGEX_LENGTH)):
        return cost
    return lambda arguments, result: max(cost(arguments, result), math.ceil((1 + size(arguments[0])) * each))


def _of_new_patterns(cost: Cost) -> Cost:
    """With that of reading a pattern that is computed, and by its program if that is long, which upstream does for nothing."""

    def priced(arguments: Sequence[Any], result: Any) -> int:
        text, pattern, *_ = arguments
        paid = cost(arguments, result)
        if type(pattern) is not str:
            return paid
        try:
            program = compile_pattern(pattern).size
        except ValueError as error:
            compiling = _REFUSING_LARGE if isinstance(error, PatternTooLarge) else _READING
            return paid + compiling + len(pattern) * _REFUSING
        # What is optional many times over makes for a program that takes as long as the square of it.
        reading = _READING + program + len(pattern) ** 2 // 1000
        return max(paid, math.ceil((1 + size(text)) * program * _PROGRAM)) + reading

    return priced


def _long_text(arguments: Sequence[Any], _: Any) -> int:
    """One unit, as upstream has it, but for what takes long to be read."""
    text = str(arguments[0]) if type(arguments[0]) in (str, Url) else ""
    return 1 + math.ceil(max(0, len(text) - _LENGTH_FREE) * TRAVERSAL)


def _query(arguments: Sequence[Any], result: Any) -> int:
    """Likewise: it may consist of very many parameters."""
    long = len(str(arguments[0])) // _PARAMETERS if type(arguments[0]) is Url else 0
    return max(1 + long, _long_text(arguments, result))


def _contains(arguments: Sequence[Any], _: Any) -> int:
    return math.ceil(size(arguments[0]) * TRAVERSAL) * math.ceil(size(arguments[1]) * TRAVERSAL)


def _join(_: Sequence[Any], result: Any) -> int:
    return math.ceil(size(result) * 2 * TRAVERSAL)


def _contains_ip(arguments: Sequence[Any], _: Any) -> int:
    parsing = math.ceil(size(arguments[1]) * TRAVERSAL) if isinstance(arguments[1], str) else 0
    return math.ceil(2 * size(arguments[0]) * TRAVERSAL) + parsing


def _contains_cidr(arguments: Sequence[Any], result: Any) -> int:
    return _contains_ip(arguments, result) + math.ceil(size(arguments[0]) * TRAVERSAL) + 1


def _validate(arguments: Sequence[Any], _: Any) -> int:
    if not isinstance(arguments[0], NamedFormat):
        return 1
    return math.ceil((1 + size(arguments[1])) * TRAVERSAL) * math.ceil(arguments[0].regex_size * REGEX_LENGTH)


def _selector(arguments: Sequence[Any], _: Any) -> int:
    length = size(arguments[1])
    return LIST_BASE + math.ceil(length * TRAVERSAL) + math.ceil(length * 0.5) * (LIST_BASE + STRUCT_BASE)


# Of the lists library

_CALL_AND_LIST: Final = 1 + LIST_BASE


def _output(_: Sequence[Any], result: Any) -> int:
    return size(result) + _CALL_AND_LIST


def _flatten(arguments: Sequence[Any], _: Any) -> int:
    depth = arguments[1] if len(arguments) == 2 and isinstance(arguments[1], int) else 1
    within = parts(arguments[0]) if isinstance(arguments[0], list) else 0
    return max(size(arguments[0]) * depth, int(within * TRAVERSAL)) + _CALL_AND_LIST


def self_compared(place: int) -> Cost:
    def cost(arguments: Sequence[Any], _: Any) -> int:
        items = arguments[place]
        count = size(items)
        of_text = isinstance(items, list) and items and isinstance(items[0], str | bytes)
        return int(count * count * _each_of(items) * (2 + (TRAVERSAL if of_text else 0))) + _CALL_AND_LIST

    return cost


# Of sets: each is compared with each.


def _compared(times: int) -> Cost:
    def cost(arguments: Sequence[Any], _: Any) -> int:
        a, b = arguments
        return size(a) * size(b) * min(_each_of(a), _each_of(b)) * times + 1

    return cost


_SCALARS: Final = frozenset((int, float, bool, Uint, type(None)))
_UNIT: Final = frozenset((Quantity, Ip, Cidr, NamedFormat, Url, Version))
_TRAVERSED: Final = (
    "url", "lowerAscii", "upperAscii", "substring", "trim", "jsonpatch.escapeKey", "cidr", "isIP", "isCIDR", "ip", "quantity",
    "isQuantity", "semver", "isSemver",
)  # fmt: skip
_OF_FUNCTIONS: Final[Mapping[str, int | Cost]] = {
    **dict.fromkeys(_TRAVERSED, _by_target(TRAVERSAL)), "check": 350_000,
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"), lambda arguments, _: traversal(arguments[0])),
    **dict.fromkeys(("replace", "split", "ip.isCanonical"), _by_target(2 * TRAVERSAL)), "join": _join,
    **dict.fromkeys(("math.greatest", "math.least", "optional.unwrap", "unwrapOpt"), _gone_through),
    "find": _pattern, "findAll": _finding_all, "isURL": _long_text, "getQuery": _query,
    "containsIP": _contains_ip, "containsCIDR": _contains_cidr,
    "validate": _validate, "fieldSelector": _selector, "labelSelector": _selector, "_==_": equality, "_!=_": equality,
}  # fmt: skip
_COMPARISONS: Final = ("less", "less_equals", "greater", "greater_equals")
_OF_OVERLOADS: Final[Mapping[str, int | Cost]] = {
    **dict.fromkeys(
        ("starts_with_string", "ends_with_string", "string_to_bytes", "bytes_to_string", "strings_quote"),
        _by_target(TRAVERSAL),
    ),
    "string_format": _formatted, "string_to_double": _long_text, "in_list": _membership, "add_list": _joined,
    "add_string": _sum, "add_bytes": _sum, "matches_string": _pattern,
    "matches": _pattern, "contains_string": _contains, "cidr_ip": 1,
    **{f"{word}_{of}": equality for word in _COMPARISONS for of in ("string", "bytes")},
    "lists_range": lambda arguments, _: arguments[0] + _CALL_AND_LIST if type(arguments[0]) is int else 1,
    **dict.fromkeys(("list_slice", "list_reverse"), _output),
    **dict.fromkeys(("list_flatten", "list_flatten_int"), _flatten), "list_distinct": self_compared(0),
    "sets_contains_list_list": _compared(1), "sets_intersects_list_list": _compared(1),
    "sets_equivalent_list_list": _compared(2),
}  # fmt: skip


# Of operators whose operands may be of any type
_OF_ANY_OPERANDS: Final[Mapping[str, Cost]] = {"_+_": _joined, "@in": _any_membership}


# Those that go by the result; the others are paid for before they are called.
OF_RESULTS: Final = frozenset((_join, _output))
# With patterns that are computed
OF_NEW_PATTERNS: Final[Mapping[Cost, Cost]] = {cost: _of_new_patterns(cost) for cost in (_pattern, _finding_all)}
# What they find is paid for besides.
OF_PIECES: Final = frozenset((_finding_all,))


def of_call(name: str, overloads: Sequence[Overload], operands: Sequence[Type]) -> int | Cost:
    """What a call costs: a number if it is always the same. `operands`: their types, a method's target first."""
    only = overloads[0].id if len(overloads) == 1 else ""
    if only in ("equals", "not_equals") and all(types.kind(of) in _OF_ONE_UNIT for of in operands):
        return 1
    if only.endswith("sortByAssociatedKeys"):
        return self_compared(1)
    if not only and name in _OF_ANY_OPERANDS:
        return _OF_ANY_OPERANDS[name]
    if name == "sort" and only:
        return self_compared(0)
    found = _OF_OVERLOADS.get(only)
    return found if found is not None else _OF_FUNCTIONS.get(name, 1)


_OF_ONE_UNIT: Final = frozenset((
    "int", "uint", "double", "bool", "timestamp", "duration", "null", "type", "kubernetes.Quantity",
))  # fmt: skip
