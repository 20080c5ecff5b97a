"""The macros that go over lists and maps, compiled.

Upstream has each of them as a fold: a condition, a step and a result, which all cost something. The prices here are theirs: a
turn of `all` costs what its test costs and 3 units (the condition's two, the step's one), and so on.

Source: https://github.com/google/cel-spec/blob/master/doc/langdef.md#macros
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from pybernetes.machinery.cel import costs, library, operators
from pybernetes.machinery.cel.frames import Frame, Part, Run, draw, spend
from pybernetes.machinery.cel.values import CelError, CostExceeded, no_overload

_END: Final = object()
Turns = Callable[[Frame, Any], Iterator[Any]]  # binds the variables to each element in turn


def compiled(macro: str, subject: Part, places: Sequence[int], bodies: Sequence[Part]) -> Part:
    """`places`: of its variables in the frame."""
    turns = _one(places[0]) if len(places) == 1 else _two(*places)
    run, price = _MACROS[macro](subject.run, turns, bodies)
    return Part(run, subject.price + price)


def _one(place: int) -> Turns:
    def turns(frame: Frame, value: Any) -> Iterator[Any]:
        for item in _items(value):
            frame[place] = item
            yield item

    return turns


def _two(first: int, second: int) -> Turns:
    def turns(frame: Frame, value: Any) -> Iterator[Any]:
        pairs: Iterable[tuple[Any, Any]]
        if isinstance(value, list):
            pairs = enumerate(value)
        elif isinstance(value, dict):
            pairs = value.items()
        else:
            raise no_overload()
        for key, item in pairs:
            frame[first], frame[second] = key, item
            yield key

    return turns


def _items(value: Any) -> Iterable[Any]:
    if isinstance(value, list | dict):
        return value
    raise no_overload()


def _quantified(*, decisive: bool, turn: int, leaving: int) -> Callable[..., tuple[Run, int]]:
    """`all` and `exists`: `decisive` is the value of a test that settles it. Errors count only if nothing does."""

    def compile_(subject: Run, turns: Turns, bodies: Sequence[Part]) -> tuple[Run, int]:
        (body,) = bodies
        test, price, neutral = body.run, body.price + turn, not decisive

        def run(frame: Frame) -> Any:
            failed: CelError | None = None
            elements = turns(frame, subject(frame))
            for _ in elements:
                frame[0] -= price
                if frame[0] < 0:
                    draw(frame)
                try:
                    value = test(frame)
                except CostExceeded:
                    raise
                except CelError as error:
                    failed = failed or error
                    continue
                if value is decisive:
                    if next(elements, _END) is not _END:  # the condition says so before the next turn
                        spend(frame, leaving)
                    return decisive
                if value is not neutral:
                    failed = failed or no_overload()
            if failed is not None:
                raise failed
            return neutral

        return run, 1

    return compile_


def _holds(value: Any) -> bool:
    if value is True or value is False:
        return bool(value)
    raise no_overload()


def _exists_one(subject: Run, turns: Turns, bodies: Sequence[Part]) -> tuple[Run, int]:
    test, price = bodies[0].run, bodies[0].price

    def run(frame: Frame) -> Any:
        found = 0
        for _ in turns(frame, subject(frame)):
            spend(frame, price)
            if _holds(test(frame)):
                spend(frame, 2)
                found += 1
        return found == 1

    return run, 2


def _append_price(body: Part) -> int:
    """Of adding a list of one item to what is there already."""
    return 2 + (0 if body.is_constant else costs.LIST_BASE + body.price)


def _map(subject: Run, turns: Turns, bodies: Sequence[Part]) -> tuple[Run, int]:
    *tests, body = bodies
    item, price = body.run, _append_price(body)
    if tests:
        return _map_some(subject, turns, tests[0], item, price), 1

    def run(frame: Frame) -> Any:
        found = []
        for _ in turns(frame, subject(frame)):
            frame[0] -= price
            if frame[0] < 0:
                draw(frame)
            found.append(item(frame))
        return found

    return run, 1


def _map_some(subject: Run, turns: Turns, tested: Part, item: Run, price: int) -> Run:
    test, test_price = tested.run, tested.price

    def run(frame: Frame) -> Any:
        found = []
        for _ in turns(frame, subject(frame)):
            spend(frame, test_price)
            if _holds(test(frame)):
                spend(frame, price)
                found.append(item(frame))
        return found

    return run


def _filter(subject: Run, turns: Turns, bodies: Sequence[Part]) -> tuple[Run, int]:
    test, price = bodies[0].run, bodies[0].price
    kept_price = 3 + costs.LIST_BASE

    def run(frame: Frame) -> Any:
        found = []
        for item in turns(frame, subject(frame)):
            spend(frame, price)
            if _holds(test(frame)):
                spend(frame, kept_price)
                found.append(item)
        return found

    return run, 1


def _transform_map(subject: Run, turns: Turns, bodies: Sequence[Part]) -> tuple[Run, int]:
    *tests, body = bodies
    item, price = body.run, 3 + body.price

    def run(frame: Frame) -> Any:
        made: dict[Any, Any] = {}
        for key in turns(frame, subject(frame)):
            if not tests or _tested(frame, tests[0]):
                spend(frame, price)
                operators.insert(made, key, item(frame))
        return made

    return run, 1


def _transform_map_entry(subject: Run, turns: Turns, bodies: Sequence[Part]) -> tuple[Run, int]:
    *tests, body = bodies
    entries, price = body.run, 2 + body.price

    def run(frame: Frame) -> Any:
        made: dict[Any, Any] = {}
        for _ in turns(frame, subject(frame)):
            if not tests or _tested(frame, tests[0]):
                spend(frame, price)
                given = entries(frame)
                if not isinstance(given, dict):
                    raise no_overload()
                for key, value in given.items():
                    operators.insert(made, key, value)
        return made

    return run, 1


def _tested(frame: Frame, test: Part) -> bool:
    spend(frame, test.price)
    return _holds(test.run(frame))


def _sort_by(subject: Run, turns: Turns, bodies: Sequence[Part]) -> tuple[Run, int]:
    key, price = bodies[0].run, _append_price(bodies[0])
    cost = costs.self_compared(1)

    def run(frame: Frame) -> Any:
        items, keys = [], []
        for item in turns(frame, subject(frame)):
            spend(frame, price)
            items.append(item)
            keys.append(key(frame))
        spend(frame, cost((items, keys), None))
        return library.sorted_by(items, keys)

    return run, 3  # the bound list is read twice, the mapped one once


_MACROS: Final[dict[str, Callable[..., tuple[Run, int]]]] = {
    "all": _quantified(decisive=False, turn=3, leaving=2), "exists": _quantified(decisive=True, turn=4, leaving=3),
    "exists_one": _exists_one, "existsOne": _exists_one, "map": _map, "filter": _filter, "transformList": _map,
    "transformMap": _transform_map, "transformMapEntry": _transform_map_entry, "sortBy": _sort_by,
}  # fmt: skip
