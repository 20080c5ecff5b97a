"""What calls of functions, methods and operators may cost at worst, and how large their results may be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from pybernetes.machinery.cel import types
from pybernetes.machinery.cel.costs import LIST_BASE, REGEX_LENGTH, STRUCT_BASE
from pybernetes.machinery.cel.declarations import Overload
from pybernetes.machinery.cel.ranges import MOST, UNKNOWN, Operand, Range, added, multiplied, scaled
from pybernetes.machinery.cel.tree import Expr
from pybernetes.machinery.cel.weights import TRAVERSAL

Made = tuple[int, Range | None]


class Located(Protocol):
    def size_at(self, path: tuple[str, ...]) -> Range | None: ...


def call_cost(located: Located, expr: Expr, overload: Overload, operands: Sequence[Operand]) -> Made:
    """Of the call alone, its operands being paid for; the size of its result if it tells more than the type."""
    estimate = _OF_OVERLOADS.get(overload.id) or _OF_FUNCTIONS.get(expr.name)
    if overload.id.startswith("list_") and (overload.id.endswith("_sort")):
        estimate = _sort
    return estimate(located, overload, operands) if estimate is not None else (1, None)


def _size(operand: Operand) -> Range:
    return operand.size or UNKNOWN


def _fixed(cost: int) -> Estimate:
    return lambda *_: (cost, None)


def _argument(place: int, factor: float, *, sized: bool = False) -> Estimate:
    """Of going through one of the operands; `sized`: the result is as long."""

    def estimate(_: Located, __: Overload, operands: Sequence[Operand]) -> Made:
        size = _size(operands[place])
        return size.cost(factor), size if sized else None

    return estimate


Estimate = Callable[[Located, Overload, Sequence[Operand]], Made]


# The standard library


def _equality(_: Located, __: Overload, operands: Sequence[Operand]) -> Made:
    a, b = operands
    if a.type == b.type and types.kind(a.type) in _OF_ONE_UNIT:
        return 1, None
    if a.type == b.type == "kubernetes.NamedFormat":
        return scaled(_FORMAT_NAME_SIZE, TRAVERSAL), None
    return scaled(min(_size(a).high, _size(b).high), TRAVERSAL), None


def _order(_: Located, __: Overload, operands: Sequence[Operand]) -> Made:
    return scaled(min(_size(operands[0]).high, _size(operands[1]).high), TRAVERSAL), None


_OF_ONE_UNIT: Final = frozenset((
    "net.IP", "net.CIDR", "kubernetes.Quantity", "kubernetes.Semver", "kubernetes.URL",
    "kubernetes.authorization.Authorizer", "kubernetes.authorization.PathCheck", "kubernetes.authorization.GroupCheck",
    "kubernetes.authorization.ResourceCheck", "kubernetes.authorization.Decision",
))  # fmt: skip


def _concatenation(_: Located, overload: Overload, operands: Sequence[Operand]) -> Made:
    size = _size(operands[0]).plus(_size(operands[1]))
    return (1 if overload.id == "add_list" else size.cost(TRAVERSAL)), size


def _to_bytes(_: Located, __: Overload, operands: Sequence[Operand]) -> Made:
    size = _size(operands[0])
    return size.cost(TRAVERSAL), Range(size.low, multiplied(size.high, 4))


def _to_text(_: Located, __: Overload, operands: Sequence[Operand]) -> Made:
    size = _size(operands[0])
    return size.cost(TRAVERSAL), Range(size.low // 4, size.high)


def _quoted(_: Located, __: Overload, operands: Sequence[Operand]) -> Made:
    size = _size(operands[0])
    return size.cost(TRAVERSAL), Range(added(size.low, 2), added(multiplied(size.high, 2), 2))


def _pattern(_: Located, overload: Overload, operands: Sequence[Operand]) -> Made:
    text = _size(operands[0])
    cost = multiplied(text.plus(Range(1, 1)).cost(TRAVERSAL), _size(operands[1]).cost(REGEX_LENGTH))
    return cost, None if overload.id == "matches_string" else Range(0, text.high)


def _contained(_: Located, __: Overload, operands: Sequence[Operand]) -> Made:
    return multiplied(_size(operands[0]).cost(TRAVERSAL), _size(operands[1]).cost(TRAVERSAL)), None


# Strings


def _replaced(_: Located, __: Overload, operands: Sequence[Operand]) -> Made:
    text, old, new = (_size(operand) for operand in operands[:3])
    if old.low == 0:  # nothing is between all characters
        count_high, rest_high = added(text.high, 1), text.high
    elif new.high <= old.low:
        count_high, rest_high = 0, text.high
    else:
        count_high, rest_high = -(-text.high // old.low), 0
    if old.high == 0:
        count_low, rest_low = added(text.low, 1), text.low
    elif old.high <= new.low:
        count_low, rest_low = 0, text.low
    else:
        count_low, rest_low = -(-text.low // old.high), 0
    size = Range(count_low, count_high).times(new).plus(Range(rest_low, rest_high))
    return text.cost(2 * TRAVERSAL), size


def _split(_: Located, __: Overload, operands: Sequence[Operand]) -> Made:
    text = _size(operands[0])
    limit = _literal(operands[2]) if len(operands) == 3 else None
    return text.cost(2 * TRAVERSAL), Range(0, text.high if limit is None else limit % 2**64)


def _joined(located: Located, _: Overload, operands: Sequence[Operand]) -> Made:
    count = _size(operands[0])
    size = count.times(_item_size(located, operands[0]))
    if len(operands) == 2:
        size = size.plus(_size(operands[1]).times(Range(max(count.low - 1, 0), max(count.high - 1, 0))))
    return size.cost(TRAVERSAL), size


def _item_size(located: Located, operand: Operand) -> Range:
    path = (*operand.path, "@items") if operand.path else ()
    return located.size_at(path) or UNKNOWN


# Lists


def _traversed(located: Located, _: Overload, operands: Sequence[Operand]) -> Made:
    target = operands[0]
    if types.kind(target.type) not in ("list", "map"):
        return _size(target).cost(TRAVERSAL), None
    each = 1
    if target.type[1] in ("string", "bytes"):
        each += _item_size(located, target).cost(TRAVERSAL)
    return multiplied(_size(target).high, each), None


def _allocated(size: Range, factor: float) -> Made:
    return added(size.cost(factor), 1, LIST_BASE), size


def _sort(_: Located, overload: Overload, operands: Sequence[Operand]) -> Made:
    size = _size(operands[0])
    of_text = overload.arguments[0] in (("list", "string"), ("list", "bytes"))
    return _allocated(size.times(size), 2 + TRAVERSAL if of_text else 2)


def _distinct(_: Located, __: Overload, operands: Sequence[Operand]) -> Made:
    size = _size(operands[0])
    return _allocated(size.times(size), 2)


def _reversed(_: Located, __: Overload, operands: Sequence[Operand]) -> Made:
    return _allocated(_size(operands[0]), 1)


def _flattened(_: Located, __: Overload, operands: Sequence[Operand]) -> Made:
    depth = _literal(operands[1], MOST) if len(operands) == 2 else 1
    return _allocated(_size(operands[0]), float(depth if depth is not None else MOST))


def _sliced(_: Located, __: Overload, operands: Sequence[Operand]) -> Made:
    start, end = _literal(operands[1], 0) or 0, _literal(operands[2], _size(operands[0]).high) or 0
    count = (end - start) % 2**64
    return _allocated(Range(count, count), 1)


def _ranged(_: Located, __: Overload, operands: Sequence[Operand]) -> Made:
    count = _literal(operands[0], MOST)
    return _allocated(Range(count or 0, count or 0), 1)


def _literal(operand: Operand, otherwise: int | None = None) -> int | None:
    """The number that is written there."""
    expr = operand.expr
    if expr is None or expr.kind != "literal" or type(expr.value) is not int:
        return otherwise
    return expr.value


def _sets(times: int) -> Estimate:
    def estimate(_: Located, __: Overload, operands: Sequence[Operand]) -> Made:
        pairs = multiplied(_size(operands[0]).high, _size(operands[1]).high)
        return added(multiplied(pairs, times), 1), None

    return estimate


# Kubernetes' libraries


def _contains_ip(_: Located, overload: Overload, operands: Sequence[Operand]) -> Made:
    parsing = _size(operands[1]).cost(TRAVERSAL) if overload.id.endswith("_string") else 0
    return added(scaled(2 * _ADDRESS_BYTES, TRAVERSAL), parsing), None


def _contains_cidr(located: Located, overload: Overload, operands: Sequence[Operand]) -> Made:
    comparing, _ = _contains_ip(located, overload, operands)
    return added(comparing, scaled(_ADDRESS_BYTES, TRAVERSAL), 1), None


_ADDRESS_BYTES: Final = 16
_FORMAT_NAME_SIZE: Final = 64
_FORMAT_REGEX_SIZE: Final = 128


def _validated(_: Located, __: Overload, operands: Sequence[Operand]) -> Made:
    return scaled(_size(operands[1]).cost(TRAVERSAL), _FORMAT_REGEX_SIZE * REGEX_LENGTH), None


def _selector(_: Located, __: Overload, operands: Sequence[Operand]) -> Made:
    length = _size(operands[1])
    requirements = scaled(length.cost(0.5), LIST_BASE + STRUCT_BASE)
    return added(LIST_BASE, length.cost(TRAVERSAL), requirements), None


_OF_FUNCTIONS: Final[Mapping[str, Estimate]] = {
    "check": _fixed(350_000), **dict.fromkeys(("fieldSelector", "labelSelector"), _selector),
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"), _traversed),
    **dict.fromkeys(
        ("url", "jsonpatch.escapeKey", "lowerAscii", "upperAscii", "substring", "trim"), _argument(0, TRAVERSAL, sized=True)
    ),
    "replace": _replaced, "split": _split, "join": _joined, "find": _pattern, "findAll": _pattern,
    **dict.fromkeys(
        ("cidr", "isIP", "isCIDR", "ip", "quantity", "isQuantity", "semver", "isSemver"), _argument(0, TRAVERSAL)
    ),
    "ip.isCanonical": _argument(0, 2 * TRAVERSAL), "containsIP": _contains_ip, "containsCIDR": _contains_cidr,
    "validate": _validated, "_==_": _equality, "_!=_": _order,
}  # fmt: skip
_OF_OVERLOADS: Final[Mapping[str, Estimate]] = {
    "string_format": _argument(0, TRAVERSAL), "string_to_bytes": _to_bytes, "bytes_to_string": _to_text,
    "strings_quote": _quoted, "starts_with_string": _argument(1, TRAVERSAL), "ends_with_string": _argument(1, TRAVERSAL),
    "in_list": _argument(1, 1), "matches_string": _pattern, "contains_string": _contained, "cidr_ip": _fixed(1),
    **dict.fromkeys(("add_string", "add_bytes", "add_list"), _concatenation),
    **{f"{word}_{of}": _order for word in ("less", "less_equals", "greater", "greater_equals") for of in ("string", "bytes")},
    "list_slice": _sliced, "lists_range": _ranged, "list_reverse": _reversed, "list_distinct": _distinct,
    "list_flatten": _flattened, "list_flatten_int": _flattened, "sets_contains_list_list": _sets(1),
    "sets_intersects_list_list": _sets(1), "sets_equivalent_list_list": _sets(2),
}  # fmt: skip
