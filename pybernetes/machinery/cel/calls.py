"""Calls of functions, methods and operators, compiled: what they pay, and what they do with values that they are not made for.

`&&` and `||` are commutative even over errors, as CEL wants them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pybernetes.machinery.cel import costs, operators
from pybernetes.machinery.cel.declarations import Overload
from pybernetes.machinery.cel.frames import Frame, Part, Run, draw, spend
from pybernetes.machinery.cel.types import Type
from pybernetes.machinery.cel.values import CelError, CostExceeded, Optional, equal, no_overload


def compiled(
    name: str, function: Callable[..., Any], overloads: Sequence[Overload], operands: Sequence[Type], parts: Sequence[Part]
) -> Part:
    """A call that evaluates all of its parts. `operands`: their types."""
    price = sum(part.price for part in parts)
    if name == "@in" and parts[1].is_constant:
        return Part(_member_of(parts[0].run, parts[1].run([])), price)
    cost = costs.of_call(name, overloads, operands)
    runs = [part.run for part in parts]
    if name in _EQUALITIES:
        return Part(_equality(runs[0], runs[1], cost, is_equal=name == "_==_"), price + 1)
    if isinstance(cost, int):
        compare = _COMPARISONS.get(name)
        run = _comparison(compare, function, *runs) if compare is not None else _call_of(function, runs, name)
        return Part(run, price + cost)
    counts_pieces = cost in costs.OF_PIECES
    if cost in costs.OF_NEW_PATTERNS:
        pattern = parts[1].run([]) if parts[1].is_constant else None
        cost = costs.by_program(cost, pattern) if type(pattern) is str else costs.OF_NEW_PATTERNS[cost]
    return Part(_paid_call(function, runs, name, cost, counts_pieces=counts_pieces), price + 1)


def present(value: Any) -> bool:
    """Whether there is something in an optional."""
    if not isinstance(value, Optional):
        raise no_overload()
    return value.present


def _call_of(function: Callable[..., Any], runs: Sequence[Run], name: str) -> Run:
    if len(runs) == 1:
        (only,) = runs

        def run_one(frame: Frame) -> Any:
            try:
                return function(only(frame))
            except _UNFIT as error:
                raise _unfit(error, name) from None

        return run_one
    if len(runs) == 2:
        a, b = runs

        def run_two(frame: Frame) -> Any:
            try:
                return function(a(frame), b(frame))
            except _UNFIT as error:
                raise _unfit(error, name) from None

        return run_two

    def run(frame: Frame) -> Any:
        try:
            return function(*[part(frame) for part in runs])
        except _UNFIT as error:
            raise _unfit(error, name) from None

    return run


def _paid_call(function: Callable[..., Any], runs: Sequence[Run], name: str, cost: costs.Cost, *, counts_pieces: bool) -> Run:
    """One unit is in the price: that is what a call costs whose operands fail."""
    if cost in costs.OF_RESULTS:

        def run_first(frame: Frame) -> Any:
            values = [part(frame) for part in runs]
            try:
                result = function(*values)
            except _UNFIT as error:
                raise _unfit(error, name) from None
            spend(frame, cost(values, result) - 1)
            return result

        return run_first
    if not counts_pieces:
        return _paid_before(function, runs, name, cost)

    def run_and_count(frame: Frame) -> Any:
        values = [part(frame) for part in runs]
        spend(frame, cost(values, None) - 1)
        try:
            result = function(*values)
        except _UNFIT as error:
            raise _unfit(error, name) from None
        spend(frame, costs.of_pieces(values, result))
        return result

    return run_and_count


def _paid_before(function: Callable[..., Any], runs: Sequence[Run], name: str, cost: costs.Cost) -> Run:
    if len(runs) == 2:
        a, b = runs

        def run_two(frame: Frame) -> Any:
            x, y = a(frame), b(frame)
            price = cost((x, y), None)
            if price != 1:
                spend(frame, price - 1)
            try:
                return function(x, y)
            except _UNFIT as error:
                raise _unfit(error, name) from None

        return run_two

    def run(frame: Frame) -> Any:
        values = [part(frame) for part in runs]
        frame[0] -= cost(values, None) - 1
        if frame[0] < 0:
            draw(frame)
        try:
            return function(*values)
        except _UNFIT as error:
            raise _unfit(error, name) from None

    return run


_UNFIT: Final = (TypeError, OverflowError, ValueError)


def _unfit(error: Exception, name: str) -> CelError:
    """For values which the function is not made for: their types were not known when it was compiled."""
    if isinstance(error, TypeError):
        return CelError(f"no such overload: {name}")
    return CelError("integer overflow" if isinstance(error, OverflowError) else f"{name}: {error}")


_EQUALITIES: Final = ("_==_", "_!=_")


def _equality(a: Run, b: Run, cost: int | costs.Cost, *, is_equal: bool) -> Run:
    """Texts and numbers are compared at once; one unit is paid already."""
    paid = not isinstance(cost, int)

    def run(frame: Frame) -> Any:
        x, y = a(frame), b(frame)
        kind = type(x)
        if kind is type(y) and (kind is str or kind is int):
            if kind is str and not 0 < min(len(x), len(y)) <= 10:
                spend(frame, costs.equality((x, y), None) - 1)
            return (x == y) is is_equal
        if paid:
            spend(frame, costs.equality((x, y), None) - 1)
        return equal(x, y) is is_equal

    return run


def _comparison(compare: Callable[[int, int], bool], otherwise: Callable[..., Any], a: Run, b: Run) -> Run:
    """`compare` is of integers."""

    def run(frame: Frame) -> Any:
        x, y = a(frame), b(frame)
        return compare(x, y) if type(x) is int and type(y) is int else otherwise(x, y)

    return run


_COMPARISONS: Final = {"_<_": operator.lt, "_<=_": operator.le, "_>_": operator.gt, "_>=_": operator.ge}


def _member_of(item: Run, items: Any) -> Run:
    if isinstance(items, list) and all(type(known) is str for known in items):
        words = frozenset(items)

        def run(frame: Frame) -> Any:
            value = item(frame)
            return type(value) is str and value in words

        return run
    return lambda frame: operators.is_in(item(frame), items)


def _index(target: Part, place: Part) -> Part:
    a, b = target.run, place.run

    def run(frame: Frame) -> Any:
        value, at = a(frame), b(frame)
        if type(value) is list and type(at) is int and 0 <= at < len(value):
            return value[at]
        return operators.index(value, at)

    price = target.price + (0 if target.is_attribute else 1) + (place.price if place.is_attribute else place.price + 1)
    return Part(run, price, is_attribute=True)


def _optional_index(target: Part, place: Part) -> Part:
    a, b = target.run, place.run

    def run(frame: Frame) -> Any:
        found = operators.optional_index(a(frame), b(frame))
        if found.present:
            spend(frame, 1)
        return found

    price = target.price + (0 if target.is_attribute else 1) + (place.price - 1 if place.is_attribute else place.price)
    return Part(run, price, is_attribute=True)


def _or(target: Part, other: Part, *, is_value: bool) -> Part:
    a, b, price = target.run, other.run, other.price

    def run(frame: Frame) -> Any:
        value = a(frame)
        if present(value):
            return value.value if is_value else value
        spend(frame, price)
        return b(frame)

    return Part(run, target.price)


def _conditional(test: Part, yes: Part, no: Part) -> Part:
    condition, left, right = test.run, yes.run, no.run
    # The one attribute of a branch is part of the conditional's own.
    left_price, right_price = (part.price - part.is_attribute for part in (yes, no))

    def run(frame: Frame) -> Any:
        value = condition(frame)
        if value is True:
            frame[0] -= left_price
            if frame[0] < 0:
                draw(frame)
            return left(frame)
        if value is False:
            frame[0] -= right_price
            if frame[0] < 0:
                draw(frame)
            return right(frame)
        raise no_overload()

    return Part(run, test.price)


def _both(left: Part, right: Part) -> Part:
    return _connected(left, right, decisive=False)


def _either(left: Part, right: Part) -> Part:
    return _connected(left, right, decisive=True)


def _connected(left: Part, right: Part, *, decisive: bool) -> Part:
    """`decisive`: the value of an operand that settles it, whatever the other one is."""
    a, b, price, neutral = left.run, right.run, right.price, not decisive

    def run(frame: Frame) -> Any:
        try:
            value = a(frame)
        except CostExceeded:
            raise
        except CelError:
            spend(frame, price)
            if b(frame) is decisive:
                return decisive
            raise
        if value is decisive:
            return decisive
        frame[0] -= price
        if frame[0] < 0:
            draw(frame)
        other = b(frame)
        if other is decisive or (value is neutral and other is neutral):
            return other
        raise no_overload()

    return Part(run, left.price)


# What does not evaluate all of its parts, or is part of an attribute.
SPECIAL: Final[Mapping[str, Callable[..., Part]]] = {
    "_?_:_": _conditional, "_&&_": _both, "_||_": _either, "_[_]": _index, "_[?_]": _optional_index,
    "or": lambda target, other: _or(target, other, is_value=False),
    "orValue": lambda target, other: _or(target, other, is_value=True),
}  # fmt: skip
