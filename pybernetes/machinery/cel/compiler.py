"""Expressions compiled into Python functions, each part into one closure.

Evaluation counts: every turn of a macro and every call spends from the frame's budget in proportion to what it does, and
`CostExceeded` ends it. `&&` and `||` are commutative even over errors, as CEL wants them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pybernetes.machinery.cel import library, macros, operators, types
from pybernetes.machinery.cel.parser import Node, parse
from pybernetes.machinery.cel.types import DYN, Type
from pybernetes.machinery.cel.values import (
    NONE,
    CelError,
    CompileError,
    CostExceeded,
    MessageValue,
    Optional,
    TypeValue,
    type_name,
)

# What one evaluation may cost: upstream's bound for one rule, in units of about one step each.
COST_LIMIT: Final = 1_000_000


class Frame:
    """The variables, and what may still be spent."""

    __slots__ = ("left", "variables")

    def __init__(self, variables: dict[str, Any], limit: int) -> None:
        self.variables = variables
        self.left = limit

    def spend(self, cost: int) -> None:
        """Raises `CostExceeded`."""
        self.left -= cost
        if self.left < 0:
            raise CostExceeded("operation cancelled: actual cost limit exceeded")


Run = Callable[[Frame], Any]


class Program:
    """A compiled expression. `result` is its type, as far as it is known; `names` the variables that it reads."""

    __slots__ = ("_run", "names", "result", "text")

    def __init__(self, text: str, run: Run, result: Type, names: frozenset[str]) -> None:
        self.text = text
        self.result = result
        self.names = names
        self._run = run

    def evaluate(self, variables: Mapping[str, Any], *, limit: int = COST_LIMIT) -> tuple[Any, int]:
        """The value, and what it cost. Raises `CelError`."""
        frame = Frame(dict(variables), limit)
        try:
            value = self._run(frame)
        except RecursionError:
            raise CelError("expression nests too deeply") from None
        except CelError as error:
            error.cost = limit - frame.left
            raise
        return value, limit - frame.left


def no_messages(name: str) -> Type | None:
    return None


@dataclass(frozen=True, slots=True)
class Extension:
    """What expressions of some kind may use besides what all may: types of messages by name, functions."""

    messages: Callable[[str], Type | None] = no_messages
    functions: Mapping[str, library.Function] = field(default_factory=dict)


PLAIN: Final = Extension()


def compile_expression(text: str, variables: Mapping[str, Type], extension: Extension = PLAIN) -> Program:
    """`variables`: name to type (`types`). A name may have a dot: `authorizer.requestResource`. Raises `CompileError`."""
    compiler = Compiler(text, variables, extension)
    run, result = compiler.compile(parse(text))
    return Program(text, run, result, frozenset(compiler.names))


_TYPE_NAMES: Final = {
    "int": "int", "uint": "uint", "double": "double", "bool": "bool", "string": "string", "bytes": "bytes", "list": "list",
    "map": "map", "null_type": "null_type", "type": "type",
}  # fmt: skip


class Compiler:
    def __init__(self, text: str, variables: Mapping[str, Type], extension: Extension = PLAIN) -> None:
        self.text = text
        self.extension = extension
        self.scope: dict[str, Type] = dict(variables)
        self.globals = frozenset(variables)
        self.names: set[str] = set()

    def fail(self, at: int, why: str) -> CompileError:
        return CompileError(self.text, at, why)

    def compile(self, node: Node) -> tuple[Run, Type]:
        made: tuple[Run, Type] = getattr(self, f"_{node[0]}")(*node[1:])
        return made

    def bound(self, names: Sequence[tuple[str, Type]], node: Node) -> tuple[Run, Type]:
        """A part that sees further variables."""
        before = {name: self.scope.get(name) for name, _ in names}
        self.scope.update(names)
        made = self.compile(node)
        for name, was in before.items():
            if was is None:
                self.scope.pop(name, None)
            else:
                self.scope[name] = was
        return made

    # Leaves

    def _literal(self, _: int, value: Any) -> tuple[Run, Type]:
        kind = type_name(value)
        return (lambda frame: value), "null" if kind == "null_type" else kind

    def _ident(self, at: int, name: str) -> tuple[Run, Type]:
        if name in self.scope:
            if name in self.globals:
                self.names.add(name)
            return (lambda frame: frame.variables[name]), self.scope[name]
        if name in _TYPE_NAMES:
            value = TypeValue(_TYPE_NAMES[name])
            return (lambda frame: value), "type"
        raise self.fail(at, f"undeclared reference to '{name}' (in container '')")

    def _list(self, _: int, items: Sequence[tuple[bool, Node]]) -> tuple[Run, Type]:
        parts = [(optional, *self.compile(item)) for optional, item in items]
        runs = [(optional, run) for optional, run, _ in parts]
        kinds = [kind for _, _, kind in parts]
        item_type = kinds[0] if kinds and all(kind == kinds[0] for kind in kinds) else DYN

        def run(frame: Frame) -> Any:
            frame.spend(1 + len(runs))
            found = []
            for optional, part in runs:
                value = part(frame)
                if not optional:
                    found.append(value)
                elif value.present:
                    found.append(value.value)
            return found

        return run, ("list", item_type)

    def _map(self, _: int, entries: Sequence[tuple[bool, Node, Node]]) -> tuple[Run, Type]:
        parts = [(optional, self.compile(key)[0], self.compile(value)[0]) for optional, key, value in entries]

        def run(frame: Frame) -> Any:
            frame.spend(1 + len(parts))
            found = {}
            for optional, key_run, value_run in parts:
                key, value = key_run(frame), value_run(frame)
                if optional:
                    if not value.present:
                        continue
                    value = value.value
                if key in found:
                    raise CelError(f"insert failed: key {key!r} already exists")
                found[key] = value
            return found

        return run, ("map", DYN)

    def _message(self, at: int, name: str, fields: Sequence[tuple[bool, str, int, Node]]) -> tuple[Run, Type]:
        result = self.extension.messages(name)
        if result is None:
            raise self.fail(at, f"undeclared reference to '{name}' (in container '')")
        runs = []
        for optional, field_name, where, node in fields:
            part, kind = self.compile(node)
            wanted = types.field(result, field_name)
            if wanted is None:
                raise self.fail(where, f"undefined field '{field_name}'")
            if not optional and wanted != DYN and kind not in (DYN, wanted):
                shown = f"'{types.shown(wanted)}' but provided type is '{types.shown(kind)}'"
                raise self.fail(where, f"expected type of field '{field_name}' is {shown}")
            runs.append((optional, field_name, part))

        def run(frame: Frame) -> Any:
            frame.spend(1 + len(runs))
            made = MessageValue(name, {})
            for optional, field_name, part in runs:
                value = part(frame)
                if optional:
                    if not value.present:
                        continue
                    value = value.value
                made[types.unescaped(field_name)] = value
            return made

        return run, result

    # Operators

    def _if(self, at: int, condition: Node, yes: Node, no: Node) -> tuple[Run, Type]:
        test, kind = self.compile(condition)
        if kind not in ("bool", DYN):
            raise self.fail(at, f"found no matching overload for '_?_:_' applied to '({types.shown(kind)}, dyn, dyn)'")
        (left, left_type), (right, right_type) = self.compile(yes), self.compile(no)

        def run(frame: Frame) -> Any:
            value = test(frame)
            if value is True:
                return left(frame)
            if value is False:
                return right(frame)
            raise CelError("no such overload")

        return run, left_type if left_type == right_type else DYN

    def _unary(self, at: int, operator: str, inner: Node) -> tuple[Run, Type]:
        part, kind = self.compile(inner)
        wanted = ("bool",) if operator == "!" else ("int", "double", "duration")
        if kind != DYN and kind not in wanted:
            raise self.fail(at, f"found no matching overload for '{operator}_' applied to '({types.shown(kind)})'")
        apply = operators.negate if operator == "-" else operators.invert
        return (lambda frame: apply(part(frame))), kind

    def _binary(self, at: int, operator: str, left: Node, right: Node) -> tuple[Run, Type]:
        (a, a_type), (b, b_type) = self.compile(left), self.compile(right)
        result = operators.result_type(operator, a_type, b_type)
        if result is None:
            applied = f"({types.shown(a_type)}, {types.shown(b_type)})"
            shown = "@in" if operator == "in" else f"_{operator}_"
            raise self.fail(at, f"found no matching overload for '{shown}' applied to '{applied}'")
        if operator == "&&":
            return _both(a, b), "bool"
        if operator == "||":
            return _either(a, b), "bool"
        apply = operators.BINARY[operator]

        def run(frame: Frame) -> Any:
            x, y = a(frame), b(frame)
            frame.spend(operators.cost(x, y))
            return apply(x, y)

        return run, result

    # Fields and elements

    def _select(self, at: int, target: Node, name: str) -> tuple[Run, Type]:
        if target[0] == "ident" and (qualified := f"{target[2]}.{name}") in self.globals:
            return self._ident(at, qualified)
        part, kind = self.compile(target)
        result = types.field(kind, name)
        if result is None:
            if isinstance(kind, str):
                raise self.fail(at, f"type '{types.shown(kind)}' does not support field selection")
            raise self.fail(at, f"undefined field '{name}'")
        return (lambda frame: operators.select(part(frame), name)), result

    def _opt_select(self, at: int, target: Node, name: str) -> tuple[Run, Type]:
        part, kind = self.compile(target)
        if types.field(kind, name) is None:
            raise self.fail(at, f"undefined field '{name}'")
        return (lambda frame: operators.optional_select(part(frame), name)), "optional"

    def _index(self, _: int, target: Node, index: Node) -> tuple[Run, Type]:
        (part, kind), (place, _) = self.compile(target), self.compile(index)
        result = kind[1] if isinstance(kind, tuple) and kind[0] in ("list", "map") else DYN
        return (lambda frame: operators.index(part(frame), place(frame))), result

    def _opt_index(self, _: int, target: Node, index: Node) -> tuple[Run, Type]:
        (part, _), (place, _) = self.compile(target), self.compile(index)

        def run(frame: Frame) -> Any:
            value = part(frame)
            if isinstance(value, Optional):
                if not value.present:
                    return NONE
                value = value.value
            try:
                return Optional(True, operators.index(value, place(frame)))
            except CelError:
                return NONE

        return run, "optional"

    # Calls

    def _call(self, at: int, target: Node | None, name: str, arguments: Sequence[Node]) -> tuple[Run, Type]:
        macro = macros.find(target, name, arguments)
        if macro is not None:
            return macro(self, at, target, arguments)
        if target is not None and target[0] == "ident" and target[2] not in self.scope:
            qualified = f"{target[2]}.{name}"
            if qualified in library.FUNCTIONS or qualified in self.extension.functions:
                return self._function(at, qualified, arguments)
        if target is None:
            if name not in library.FUNCTIONS:
                raise self.fail(at, f"undeclared reference to '{name}' (in container '')")
            return self._function(at, name, arguments)
        if name not in library.METHODS:
            raise self.fail(at, f"undeclared reference to '{name}' (in container '')")
        function, result = library.METHODS[name]
        return self._apply(function, (target, *arguments), result, name)

    def _function(self, at: int, name: str, arguments: Sequence[Node]) -> tuple[Run, Type]:
        function, result = library.FUNCTIONS.get(name) or self.extension.functions[name]
        return self._apply(function, arguments, result, name)

    def _apply(self, function: Callable[..., Any], arguments: Sequence[Node], result: Type, name: str) -> tuple[Run, Type]:
        runs = [self.compile(argument)[0] for argument in arguments]
        price = library.PRICES.get(name, 1)

        def run(frame: Frame) -> Any:
            values = [part(frame) for part in runs]
            frame.spend(price + sum(map(operators.size_cost, values)))
            try:
                return function(*values)
            except TypeError:
                raise CelError(f"no such overload: {name}") from None
            except OverflowError:
                raise CelError("integer overflow") from None

        return run, result


def _both(a: Run, b: Run) -> Run:
    def run(frame: Frame) -> Any:
        try:
            left = a(frame)
        except CostExceeded:
            raise
        except CelError:
            if b(frame) is False:
                return False
            raise
        if left is False:
            return False
        right = b(frame)
        if right is False or (left is True and right is True):
            return right
        raise CelError("no such overload")

    return run


def _either(a: Run, b: Run) -> Run:
    def run(frame: Frame) -> Any:
        try:
            left = a(frame)
        except CostExceeded:
            raise
        except CelError:
            if b(frame) is True:
                return True
            raise
        if left is True:
            return True
        right = b(frame)
        if right is True or (left is False and right is False):
            return right
        raise CelError("no such overload")

    return run


def weight(node: Node) -> int:
    """How many parts an expression has: what one turn of a macro over it costs."""
    if node and isinstance(node[0], str):
        return 1 + sum(weight(part) for part in node[2:] if isinstance(part, tuple))
    return sum(weight(part) for part in node if isinstance(part, tuple))
