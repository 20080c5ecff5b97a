"""Macros: calls that are no functions, since they bind variables or do not evaluate what they are given.

Source: CEL language definition, "Macros"; cel-go extensions "TwoVarComprehensions", "Bindings", "OptionalTypes", "Lists".
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import TYPE_CHECKING, Final

from pybernetes.machinery.cel import types
from pybernetes.machinery.cel.parser import Node
from pybernetes.machinery.cel.tree import Expr
from pybernetes.machinery.cel.types import DYN, FREE, Type

if TYPE_CHECKING:
    from pybernetes.machinery.cel.checker import Checker

Macro = Callable[["Checker", int, "Node | None", Sequence[Node]], Expr]


def find(scope: Container[str], target: Node | None, name: str, arguments: Sequence[Node]) -> Macro | None:
    """The macro of a call, if it is one."""
    if target is None:
        return _has if name == "has" and len(arguments) == 1 else None
    if target[0] == "ident" and target[2] == "cel" and "cel" not in scope and name == "bind" and len(arguments) == 3:
        return _bind
    if name in ("optMap", "optFlatMap") and len(arguments) == 2:
        return lambda checker, at, node, given: _opt_map(checker, at, node, given, name)
    variables = _LOOPS.get((name, len(arguments)))
    if variables is None:
        return None
    if (name, len(arguments)) == ("map", 3) or variables == 1:
        return lambda checker, at, node, given: _loop(checker, at, node, given, name, 1)
    return lambda checker, at, node, given: _loop(checker, at, node, given, name, 2)


def _has(checker: Checker, at: int, _: Node | None, arguments: Sequence[Node]) -> Expr:
    field = arguments[0]
    if field[0] != "select":
        return checker.fail(field[1], "invalid argument to has() macro")
    checked = checker.check(field)  # is there such a field
    if checked.kind != "select":
        return checker.fail(field[1], "invalid argument to has() macro")
    return Expr("has", at, "bool", checked.parts, checked.name)


def _bind(checker: Checker, at: int, _: Node | None, arguments: Sequence[Node]) -> Expr:
    variable, value, body = arguments
    if variable[0] != "ident":
        return checker.fail(variable[1], "cel.bind() variable names must be simple identifiers")
    bound = checker.check(value)
    variables, (result,) = checker.with_variables([(variable[2], bound.type)], [body])
    return Expr("bind", at, result.type, (bound, result), variables=variables)


def _opt_map(checker: Checker, at: int, target: Node | None, arguments: Sequence[Node], macro: str) -> Expr:
    assert target is not None
    variable, body = arguments
    if variable[0] != "ident":
        return checker.fail(variable[1], f"{macro}() variable name must be a simple identifier")
    optional = checker.call(at, "hasValue", (checker.check(target),), is_method=True)
    if optional.kind != "call":
        return optional
    (subject,) = optional.parts
    inner = subject.type[1] if types.kind(subject.type) == "optional" else DYN
    variables, (result,) = checker.with_variables([(variable[2], inner)], [body])
    of = ("optional", result.type)
    if macro == "optFlatMap":
        checker.expect(at, "_?_:_", ["bool", result.type, ("optional", FREE)])
        of = result.type
    return Expr("opt_map", at, of, (subject, result), macro, variables=variables)


def _loop(checker: Checker, at: int, target: Node | None, arguments: Sequence[Node], macro: str, count: int) -> Expr:
    assert target is not None
    subject = checker.check(target)
    for variable in arguments[:count]:
        if variable[0] != "ident":
            return checker.fail(variable[1], "argument must be a simple name")
    names = [variable[2] for variable in arguments[:count]]
    if len(set(names)) != len(names):
        return checker.fail(arguments[1][1], f"duplicate variable name: {names[1]}")
    elements = _elements(subject.type, count)
    if elements is None:
        why = "cannot be range of a comprehension (must be list, map, or dynamic)"
        return checker.fail(subject.at, f"expression of type '{types.shown(subject.type)}' {why}")
    variables, bodies = checker.with_variables(list(zip(names, elements, strict=True)), arguments[count:])
    return Expr(
        "loop", at, _result(checker, at, macro, subject.type, elements, bodies), (subject, *bodies), macro, variables=variables
    )


def _elements(of: Type, count: int) -> list[Type] | None:
    """What the variables of a macro are: one is an item of a list or a key of a map, two are its place or key and the value."""
    kind = types.kind(of)
    if kind == "list":
        return [of[1]] if count == 1 else ["int", of[1]]
    if kind == "map":
        return [of[1]] if count == 1 else [of[1], of[2]]
    return [DYN] * count if kind in (DYN, FREE) else None


def _result(checker: Checker, at: int, macro: str, subject: Type, elements: Sequence[Type], bodies: Sequence[Expr]) -> Type:
    """The type of a macro; tests must be bool, as operands of the operators that upstream's macros consist of."""
    *tests, last = [body.type for body in bodies]
    if macro in ("all", "exists"):
        checker.expect(at, "_&&_" if macro == "all" else "_||_", ["bool", last])
        return "bool"
    if macro in ("exists_one", "existsOne"):
        checker.expect(at, "_?_:_", [last, "int", "int"])
        return "bool"
    if macro == "filter":
        checker.expect(at, "_?_:_", [last, ("list", elements[0]), ("list", elements[0])])
        return ("list", elements[0])
    of: Type = ("map", elements[0], last) if macro == "transformMap" else ("list", last)
    if macro == "transformMapEntry":
        of = last if types.kind(last) == "map" else ("map", DYN, DYN)
    if macro == "sortBy":
        checker.call(at, "sort", (Expr("literal", at, ("list", last)),), is_method=True)
        of = ("list", elements[0])
    for test in tests:
        checker.expect(at, "_?_:_", [test, of, of])
    return of


# How many variables a macro binds, by its name and number of arguments.
_LOOPS: Final[dict[tuple[str, int], int]] = {
    **{(name, 2): 1 for name in ("all", "exists", "exists_one", "existsOne", "map", "filter", "sortBy")},
    ("map", 3): 1,
    **{(name, 3): 2 for name in ("all", "exists", "existsOne", "exists_one")},
    **{(name, count): 2 for name in ("transformList", "transformMap", "transformMapEntry") for count in (3, 4)},
}
