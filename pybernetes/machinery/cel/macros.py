"""Macros: calls that are no functions, since they bind variables or do not evaluate what they are given.

Source: CEL language definition, "Macros"; cel-go extensions "TwoVarComprehensions", "Bindings", "OptionalTypes".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from pybernetes.machinery.cel import operators
from pybernetes.machinery.cel.parser import Node
from pybernetes.machinery.cel.types import DYN, Type
from pybernetes.machinery.cel.values import NONE, CelError, CostExceeded, Optional, no_overload

if TYPE_CHECKING:
    from pybernetes.machinery.cel.compiler import Compiler, Frame, Run

Made = tuple["Run", Type]
Macro = Callable[["Compiler", int, "Node | None", Sequence[Node]], Made]


def find(target: Node | None, name: str, arguments: Sequence[Node]) -> Macro | None:
    """The macro of a call, if it is one."""
    if target is None:
        return _has if name == "has" and len(arguments) == 1 else None
    if target[0] == "ident" and target[2] == "cel" and name == "bind" and len(arguments) == 3:
        return _bind
    if name in ("optMap", "optFlatMap") and len(arguments) == 2 and arguments[0][0] == "ident":
        return _opt_map if name == "optMap" else _opt_flat_map
    known = _BY_SHAPE.get((name, len(arguments)))
    if known is None or arguments[0][0] != "ident":
        return None
    if known is _two_variables and arguments[1][0] != "ident":
        return None
    return lambda compiler, at, node, given: known(compiler, at, node, given, name)


def _has(compiler: Compiler, at: int, _: Node | None, arguments: Sequence[Node]) -> Made:
    field = arguments[0]
    if field[0] != "select":
        raise compiler.fail(at, "invalid argument to has() macro")
    compiler.compile(field)  # is there such a field
    part, _kind = compiler.compile(field[2])
    name = field[3]
    return (lambda frame: operators.has(part(frame), name)), "bool"


def _bind(compiler: Compiler, at: int, _: Node | None, arguments: Sequence[Node]) -> Made:
    variable = arguments[0]
    if variable[0] != "ident":
        raise compiler.fail(at, "cel.bind() variable names must be simple identifiers")
    name = variable[2]
    value, kind = compiler.compile(arguments[1])
    body, result = compiler.bound([(name, kind)], arguments[2])

    def run(frame: Frame) -> Any:
        return _with(frame, name, value(frame), body)

    return run, result


def _with(frame: Frame, name: str, value: Any, body: Run) -> Any:
    variables = frame.variables
    missing = object()
    was = variables.get(name, missing)
    variables[name] = value
    try:
        return body(frame)
    finally:
        if was is missing:
            del variables[name]
        else:
            variables[name] = was


def _opt_map(compiler: Compiler, at: int, target: Node | None, arguments: Sequence[Node]) -> Made:
    return _optional(compiler, target, arguments, flat=False)


def _opt_flat_map(compiler: Compiler, at: int, target: Node | None, arguments: Sequence[Node]) -> Made:
    return _optional(compiler, target, arguments, flat=True)


def _optional(compiler: Compiler, target: Node | None, arguments: Sequence[Node], *, flat: bool) -> Made:
    assert target is not None
    part, _ = compiler.compile(target)
    name = arguments[0][2]
    body, _ = compiler.bound([(name, DYN)], arguments[1])

    def run(frame: Frame) -> Any:
        value = part(frame)
        if not isinstance(value, Optional):
            raise no_overload()
        if not value.present:
            return NONE
        made = _with(frame, name, value.value, body)
        return made if flat else Optional(True, made)

    return run, "optional"


# Over lists and maps

_Step = Callable[["Frame", Callable[[], Any], Any], Any]


def _items(value: Any) -> Iterable[Any]:
    if isinstance(value, list | dict):
        return value if isinstance(value, list) else list(value)
    raise no_overload()


def _pairs(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, list):
        return enumerate(value)
    if isinstance(value, dict):
        return value.items()
    raise no_overload()


def _element(of: Type) -> Type:
    """What the one variable of a macro over this is: items of lists, keys of maps."""
    if isinstance(of, tuple) and of[0] == "list":
        return of[1]
    return "string" if isinstance(of, tuple) else DYN


def _one_variable(compiler: Compiler, at: int, target: Node | None, arguments: Sequence[Node], macro: str) -> Made:
    assert target is not None
    part, kind = compiler.compile(target)
    if isinstance(kind, str) and kind not in (DYN, "optional"):
        raise compiler.fail(
            at, f"expression of type '{kind}' cannot be range of a comprehension (must be list, map, or dynamic)"
        )
    name = arguments[0][2]
    element = _element(kind)
    bodies = [compiler.bound([(name, element)], argument) for argument in arguments[1:]]
    if macro != "map" and bodies[0][1] not in ("bool", DYN):
        raise compiler.fail(at, f"expected type 'bool' but found '{bodies[0][1]}'")
    return _loop(
        part, (name,), [body for body, _ in bodies], _items_one, macro, [_weight(node) for node in arguments[1:]]
    ), _result(macro, kind, bodies[-1][1])


def _two_variables(compiler: Compiler, at: int, target: Node | None, arguments: Sequence[Node], macro: str) -> Made:
    assert target is not None
    part, kind = compiler.compile(target)
    first, second = arguments[0][2], arguments[1][2]
    is_list = isinstance(kind, tuple) and kind[0] == "list"
    names = [
        (first, "int" if is_list else "string" if isinstance(kind, tuple) else DYN),
        (second, kind[1] if isinstance(kind, tuple) and kind[0] in ("list", "map") else DYN),
    ]
    bodies = [compiler.bound(names, argument) for argument in arguments[2:]]
    runs = [body for body, _ in bodies]
    weights = [_weight(node) for node in arguments[2:]]
    return _loop(part, (first, second), runs, _pairs, macro, weights), _result(macro, kind, bodies[-1][1])


def _weight(node: Node) -> int:
    from pybernetes.machinery.cel.compiler import weight

    return weight(node)


def _result(macro: str, kind: Type, body: Type) -> Type:
    if macro in ("all", "exists", "exists_one", "existsOne"):
        return "bool"
    if macro in ("map", "transformList"):
        return ("list", body)
    if macro == "filter":
        return kind if isinstance(kind, tuple) and kind[0] == "list" else ("list", DYN)
    return ("map", DYN)


def _items_one(value: Any) -> Iterable[tuple[Any]]:
    return ((item,) for item in _items(value))


def _loop(
    part: Run, names: Sequence[str], bodies: Sequence[Run], turns: Callable[[Any], Iterable[Any]], macro: str,
    weights: Sequence[int],
) -> Run:  # fmt: skip
    """The body is evaluated with the names bound to each element in turn; every turn is paid for."""
    gather = _GATHER[macro]
    price = sum(weights)

    def run(frame: Frame) -> Any:
        value = part(frame)
        variables = frame.variables
        before = {name: variables[name] for name in names if name in variables}

        def bound() -> Iterable[Any]:
            for turn in turns(value):
                frame.spend(price)
                for name, element in zip(names, turn, strict=True):
                    variables[name] = element
                yield turn

        try:
            return gather(frame, bound(), bodies, value)
        finally:
            for name in names:
                variables.pop(name, None)
            variables.update(before)

    return run


def _all(frame: Frame, turns: Iterable[Any], bodies: Sequence[Run], _: Any) -> bool:
    failed: CelError | None = None
    for _turn in turns:
        try:
            if bodies[0](frame) is False:
                return False
        except CostExceeded:
            raise
        except CelError as error:
            failed = failed or error
    if failed is not None:
        raise failed
    return True


def _exists(frame: Frame, turns: Iterable[Any], bodies: Sequence[Run], _: Any) -> bool:
    failed: CelError | None = None
    for _turn in turns:
        try:
            if bodies[0](frame) is True:
                return True
        except CostExceeded:
            raise
        except CelError as error:
            failed = failed or error
    if failed is not None:
        raise failed
    return False


def _exists_one(frame: Frame, turns: Iterable[Any], bodies: Sequence[Run], _: Any) -> bool:
    return sum(bodies[0](frame) is True for _turn in turns) == 1


def _map(frame: Frame, turns: Iterable[Any], bodies: Sequence[Run], _: Any) -> list[Any]:
    *tests, body = bodies
    return [body(frame) for _turn in turns if not tests or tests[0](frame) is True]


def _filter(frame: Frame, turns: Iterable[Any], bodies: Sequence[Run], _: Any) -> list[Any]:
    return [turn[0] for turn in turns if bodies[0](frame) is True]


def _transform_map(frame: Frame, turns: Iterable[Any], bodies: Sequence[Run], _: Any) -> dict[Any, Any]:
    *tests, body = bodies
    return {turn[0]: body(frame) for turn in turns if not tests or tests[0](frame) is True}


def _transform_map_entry(frame: Frame, turns: Iterable[Any], bodies: Sequence[Run], _: Any) -> dict[Any, Any]:
    *tests, body = bodies
    made: dict[Any, Any] = {}
    for _turn in turns:
        if not tests or tests[0](frame) is True:
            for key, value in body(frame).items():
                if key in made:
                    raise CelError(f"insert failed: key {key!r} already exists")
                made[key] = value
    return made


_GATHER: Final[dict[str, Callable[..., Any]]] = {
    "all": _all, "exists": _exists, "exists_one": _exists_one, "existsOne": _exists_one, "map": _map, "filter": _filter,
    "transformList": _map, "transformMap": _transform_map, "transformMapEntry": _transform_map_entry,
}  # fmt: skip
_BY_SHAPE: Final[dict[tuple[str, int], Callable[..., Made]]] = {
    **{(name, 2): _one_variable for name in ("all", "exists", "exists_one", "existsOne", "map", "filter")},
    ("map", 3): _one_variable,
    **{(name, 3): _two_variables for name in ("all", "exists", "existsOne", "exists_one")},
    **{(name, count): _two_variables for name in ("transformList", "transformMap", "transformMapEntry") for count in (3, 4)},
}
