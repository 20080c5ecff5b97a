"""Checked expressions compiled into Python functions, each part into one closure.

What a part always costs (its price) is not spent by itself: it is added to that of the part around it, up to where something
decides whether it is evaluated at all (a branch, a turn of a loop), and spent there at once, before. So an evaluation that
fails in the middle of a part may be charged a few units which upstream would not. What depends on values is spent where they
are known. `CostExceeded` ends an evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pybernetes.machinery.cel import calls, checker, costs, library, loops, operators, types
from pybernetes.machinery.cel.calls import present
from pybernetes.machinery.cel.checker import PLAIN, Extension
from pybernetes.machinery.cel.frames import Frame, Part, constant, draw, spend
from pybernetes.machinery.cel.parser import parse
from pybernetes.machinery.cel.tree import PART_UNITS, Expr
from pybernetes.machinery.cel.types import Type
from pybernetes.machinery.cel.values import NONE, CelError, CompileError, MessageValue, Optional
from pybernetes.machinery.turns import SLICE_UNITS
from pybernetes.machinery.turns import spend as take_turns

# What one evaluation may cost: upstream's bound for one rule, in units of about one step each.
COST_LIMIT: Final = 1_000_000


class Program:
    """A compiled expression. `result` is its type, as far as it is known; `names` the variables that it reads; `tree` the
    checked expression."""

    __slots__ = ("_price", "_run", "_slots", "_variables", "names", "result", "text", "tree")

    def __init__(self, text: str, tree: Expr, names: frozenset[str], extension: Extension = PLAIN) -> None:
        self.text = text
        self.tree = tree
        self.result: Type = types.settled(tree.type)
        self.names = names
        compiler = Compiler(names, extension.functions)
        part = compiler.compile(tree)
        self._run, self._price = part.run, part.price
        self._variables = tuple(sorted(names))
        self._slots = [None] * (len(compiler.slots) - len(names))

    def evaluate(self, variables: Mapping[str, Any], *, limit: int = COST_LIMIT) -> tuple[Any, int]:
        """The value, and what it cost; long ones are worth doing `by_turns`. Raises `CelError`."""
        handed = limit if limit < SLICE_UNITS else SLICE_UNITS
        try:
            frame = [
                handed - self._price, *[variables[name] for name in self._variables], *self._slots, limit - handed
            ]  # fmt: skip
        except KeyError as error:
            raise CelError(f"no such attribute(s): {error.args[0]}") from None
        try:
            if frame[0] < 0:
                draw(frame)
            value = self._run(frame)
        except RecursionError:
            raise CelError("expression nests too deeply") from None
        except CelError as error:
            error.cost = limit - frame[0] - frame[-1]
            raise
        finally:
            take_turns(SLICE_UNITS - frame[0])
        return value, limit - frame[0] - frame[-1]


def compile_expression(text: str, variables: Mapping[str, Type], extension: Extension = PLAIN) -> Program:
    """`variables`: name to type (`types`). A name may have a dot: `authorizer.requestResource`. Long ones are worth compiling
    `by_turns`. Raises `CompileError`."""
    try:
        tree, names = checker.check(text, parse(text), variables, extension)
        return Program(text, tree, names, extension)
    except RecursionError:
        raise CompileError(text, 0, "expression recursion limit exceeded") from None


# Conversions of constants are done once.
_CONVERSIONS: Final = frozenset((
    "bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "type", "uint",
))  # fmt: skip


class Compiler:
    def __init__(self, names: frozenset[str], functions: Mapping[str, Callable[..., Any]]) -> None:
        self._functions = functions
        self.slots = {name: place for place, name in enumerate(sorted(names), 1)}

    def compile(self, expr: Expr) -> Part:
        take_turns(PART_UNITS)
        made: Part = getattr(self, f"_{expr.kind}")(expr)
        return made

    def slot(self, name: str) -> int:
        """The place of a variable that a macro binds."""
        return self.slots.setdefault(name, len(self.slots) + 1)

    # Leaves

    def _literal(self, expr: Expr) -> Part:
        return constant(expr.value)

    def _ident(self, expr: Expr) -> Part:
        place = self.slots[expr.name]
        return Part(lambda frame: frame[place], 1, is_attribute=True)

    def _list(self, expr: Expr) -> Part:
        parts = [self.compile(part) for part in expr.parts]
        if all(part.is_constant for part in parts) and not any(expr.value):
            return constant([part.run([]) for part in parts])
        runs = [part.run for part in parts]
        price = costs.LIST_BASE + sum(part.price for part in parts)
        if not any(expr.value):
            return Part(lambda frame: [run(frame) for run in runs], price)
        pairs = list(zip(expr.value, runs, strict=True))

        def run(frame: Frame) -> Any:
            found = []
            for optional, part in pairs:
                value = part(frame)
                if not optional:
                    found.append(value)
                elif present(value):
                    found.append(value.value)
            return found

        return Part(run, price)

    def _map(self, expr: Expr) -> Part:
        parts = [self.compile(part) for part in expr.parts]
        entries = [(optional, parts[2 * place].run, parts[2 * place + 1].run) for place, optional in enumerate(expr.value)]

        def run(frame: Frame) -> Any:
            found: dict[Any, Any] = {}
            for optional, key_run, value_run in entries:
                key, value = key_run(frame), value_run(frame)
                if optional:
                    if not present(value):
                        continue
                    value = value.value
                operators.insert(found, key, value)
            return found

        price = costs.MAP_BASE + sum(part.price for part in parts)
        is_constant = all(part.is_constant for part in parts) and not any(expr.value)
        return Part(run, 0 if is_constant else price)

    def _message(self, expr: Expr) -> Part:
        parts = [self.compile(part) for part in expr.parts]
        fields = [(optional, field, part.run) for (optional, field), part in zip(expr.value, parts, strict=True)]
        name = expr.name

        def run(frame: Frame) -> Any:
            made = MessageValue(name, {})
            for optional, field, part in fields:
                value = part(frame)
                if not optional:
                    made[field] = value
                elif present(value):
                    made[field] = value.value
            return made

        return Part(run, costs.STRUCT_BASE + sum(part.price for part in parts))

    # Fields

    def _select(self, expr: Expr) -> Part:
        (inner,) = expr.parts
        part, name = self.compile(inner), expr.name
        price = part.price + (1 if part.is_attribute else 2)
        read, plain = part.run, types.unescaped(name)
        if types.kind(inner.type) in ("object", "meta"):  # fields that are null are absent

            def run_field(frame: Frame) -> Any:
                value = read(frame)
                if type(value) is dict:
                    found = value.get(plain)
                    if found is not None:
                        return found
                    raise CelError(f"no such key: {plain}")
                return operators.select(value, plain, plain)

            return Part(run_field, price, is_attribute=True)

        def run(frame: Frame) -> Any:
            value = read(frame)
            if type(value) is dict and name in value:
                return value[name]
            return operators.select(value, name, plain)

        return Part(run, price, is_attribute=True)

    def _has(self, expr: Expr) -> Part:
        (inner,) = expr.parts
        part, name = self.compile(inner), expr.name
        plain, of_object = types.unescaped(name), types.kind(inner.type) in ("object", "meta")
        read = part.run
        return Part(
            lambda frame: operators.has(read(frame), name, plain, null_is_absent=of_object),
            part.price + (0 if part.is_attribute else 1),
        )

    def _opt_select(self, expr: Expr) -> Part:
        (inner,) = expr.parts
        part, name = self.compile(inner), expr.name
        read, plain = part.run, types.unescaped(name)

        def run(frame: Frame) -> Any:
            found = operators.optional_select(read(frame), name, plain)
            if found.present:
                spend(frame, 1)
            return found

        return Part(run, part.price + (0 if part.is_attribute else 1), is_attribute=True)

    # Calls

    def _call(self, expr: Expr) -> Part:
        name, parts = expr.name, [self.compile(part) for part in expr.parts]
        special = calls.SPECIAL.get(name)
        if special is not None:
            return special(*parts)
        function = self._functions.get(name) or library.implementation(name, is_method=expr.overloads[0].is_method)
        if name in _CONVERSIONS and all(part.is_constant for part in parts):
            try:
                return constant(function(*[part.run([]) for part in parts]))
            except CelError:
                pass  # it fails whenever it is evaluated, and only then
        return calls.compiled(name, function, expr.overloads, [part.type for part in expr.parts], parts)

    # Macros

    def _bind(self, expr: Expr) -> Part:
        place = self.slot(expr.variables[0])
        value, body = self.compile(expr.parts[0]), self.compile(expr.parts[1])
        value_run, body_run = value.run, body.run

        def run(frame: Frame) -> Any:
            frame[place] = value_run(frame)
            return body_run(frame)

        return Part(run, value.price + body.price)

    def _opt_map(self, expr: Expr) -> Part:
        place, flat = self.slot(expr.variables[0]), expr.name == "optFlatMap"
        subject, body = self.compile(expr.parts[0]), self.compile(expr.parts[1])
        subject_run, body_run = subject.run, body.run
        # Upstream asks the optional twice: whether it has a value, and for it.
        present_price = subject.price + 1 + body.price + (0 if flat else 1)

        def run(frame: Frame) -> Any:
            value = subject_run(frame)
            if not present(value):
                spend(frame, 1)
                return NONE
            spend(frame, present_price)
            frame[place] = value.value
            made = body_run(frame)
            return made if flat else Optional(True, made)

        return Part(run, subject.price + 1)

    def _loop(self, expr: Expr) -> Part:
        places = [self.slot(name) for name in expr.variables]
        subject, *bodies = [self.compile(part) for part in expr.parts]
        return loops.compiled(expr.name, subject, places, bodies)
