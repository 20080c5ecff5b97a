"""An expression's types: which overload each call is, and where parts do not fit together.

A parsed tree enters, a tree of `Expr` leaves: macros are recognised, names of functions are told from fields, and variables
that macros bind have names of their own (`x@1`), so that those who read the tree need no scopes.

Source: https://github.com/google/cel-spec/blob/master/doc/langdef.md#overview-of-type-checking
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pybernetes.machinery.cel import conversions, declarations, library_texts, macros, text_format, types
from pybernetes.machinery.cel.declarations import Overload
from pybernetes.machinery.cel.parser import Node, dotted
from pybernetes.machinery.cel.tree import PART_UNITS, Expr
from pybernetes.machinery.cel.types import DYN, FREE, Type
from pybernetes.machinery.cel.values import CelError, CompileError, TypeValue, type_name
from pybernetes.machinery.turns import spend

TYPE_NAMES: Final = frozenset((
    "int", "uint", "double", "bool", "string", "bytes", "list", "map", "null_type", "type", "google.protobuf.Duration",
    "google.protobuf.Timestamp", "optional_type",
))  # fmt: skip
_BINARY: Final[Mapping[str, str]] = {"in": "@in"}
# Functions whose literal arguments are looked at when the expression is compiled.
_LITERALS: Final[Mapping[str, Any]] = {
    "duration": conversions.to_duration, "timestamp": conversions.to_timestamp,
    "matches": lambda text: library_texts.matches("", text),
}  # fmt: skip


def no_messages(_: str) -> Type | None:
    return None


@dataclass(frozen=True, slots=True)
class Extension:
    """What expressions of some kind may use besides what all may: types of messages by name, functions that are declared and
    what they do."""

    messages: Callable[[str], Type | None] = no_messages
    declared: Mapping[str, Sequence[Overload]] = field(default_factory=dict)
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)


PLAIN: Final = Extension()


def check(text: str, tree: Node, variables: Mapping[str, Type], extension: Extension = PLAIN) -> tuple[Expr, frozenset[str]]:
    """The checked expression, and the variables that it reads. Raises `CompileError` with all that is wrong."""
    checker = Checker(variables, extension)
    checked = checker.check(tree)
    if checker.errors:
        raise CompileError.of_all(text, checker.errors)
    return checked, frozenset(checker.names)


class Checker:
    """One check. What is wrong is collected (`fail`) and counts as anything from there on, so that it is told once."""

    def __init__(self, variables: Mapping[str, Type], extension: Extension) -> None:
        self._extension = extension
        self.scope: dict[str, tuple[str, Type]] = {name: (name, of) for name, of in variables.items()}
        self.names: set[str] = set()
        self.errors: list[tuple[int, str]] = []
        self._bound = 0

    def fail(self, at: int, why: str) -> Expr:
        self.errors.append((at, why))
        return Expr("literal", at, DYN)

    def check(self, node: Node) -> Expr:
        spend(PART_UNITS)
        checked: Expr = getattr(self, f"_{node[0]}")(*node[1:])
        return checked

    def with_variables(self, names: Sequence[tuple[str, Type]], nodes: Sequence[Node]) -> tuple[tuple[str, ...], list[Expr]]:
        """Parts that see further variables; the names that these have in them."""
        before = dict(self.scope)
        made = []
        for name, of in names:
            self._bound += 1
            made.append(f"{name}@{self._bound}")
            self.scope[name] = (made[-1], of)
        checked = [self.check(node) for node in nodes]
        self.scope = before
        return tuple(made), checked

    # Leaves

    def _literal(self, at: int, value: Any) -> Expr:
        kind = type_name(value)
        return Expr("literal", at, "null" if kind == "null_type" else kind, value=value)

    def _ident(self, at: int, name: str) -> Expr:
        found = self.scope.get(name)
        if found is not None:
            if "@" not in found[0]:
                self.names.add(name)
            return Expr("ident", at, found[1], name=found[0])
        if name in TYPE_NAMES:
            return Expr("literal", at, ("type", name), value=TypeValue(name))
        return self.fail(at, f"undeclared reference to '{name}' (in container '')")

    def _list(self, at: int, items: Sequence[tuple[bool, Node]], *, mixed: bool = False) -> Expr:
        item_type: Type = DYN if mixed else FREE
        parts = []
        for optional, node in items:
            item = self.check(node)
            item_type = self._joined(item, item_type, optional=optional)
            parts.append(item)
        return Expr("list", at, ("list", item_type), tuple(parts), value=tuple(optional for optional, _ in items))

    def _map(self, at: int, entries: Sequence[tuple[bool, Node, Node]]) -> Expr:
        key_type: Type = FREE
        value_type: Type = FREE
        parts = []
        for optional, key_node, value_node in entries:
            key, value = self.check(key_node), self.check(value_node)
            key_type = self._joined(key, key_type)
            value_type = self._joined(value, value_type, optional=optional)
            parts += [key, value]
        return Expr("map", at, ("map", key_type, value_type), tuple(parts), value=tuple(entry[0] for entry in entries))

    def _joined(self, item: Expr, before: Type, *, optional: bool = False) -> Type:
        """The type of items so far and one more: literals of lists and maps are homogeneous."""
        of = item.type
        if optional:
            if types.kind(of) not in ("optional", DYN):
                self.fail(item.at, f"expected type 'optional_type({types.shown(of)})' but found '{types.shown(of)}'")
            of = of[1] if types.kind(of) == "optional" else DYN
        if not types.fits(before, of, {}):
            self.fail(item.at, f"expected type '{types.shown(before)}' but found '{types.shown(of)}'")
            return before
        return types.most_general(before, of)

    def _message(self, at: int, name: str, fields: Sequence[tuple[bool, str, int, Node]]) -> Expr:
        of = self._extension.messages(name)
        if of is None:
            return self.fail(at, f"undeclared reference to '{name}' (in container '')")
        parts = []
        for optional, field_name, where, node in fields:
            part = self.check(node)
            parts.append(part)
            wanted = types.field(of, field_name)
            given = part.type[1] if optional and types.kind(part.type) == "optional" else part.type
            if wanted is None:
                self.fail(where, f"undefined field '{field_name}'")
            elif not types.fits(wanted, given, {}):
                shown = f"'{types.shown(wanted)}' but provided type is '{types.shown(given)}'"
                self.fail(where, f"expected type of field '{field_name}' is {shown}")
        named = tuple((optional, types.unescaped(field_name)) for optional, field_name, _, _ in fields)
        return Expr("message", at, of, tuple(parts), name, value=named)

    # Operators

    def _if(self, at: int, condition: Node, yes: Node, no: Node) -> Expr:
        return self.call(at, "_?_:_", (self.check(condition), self.check(yes), self.check(no)))

    def _unary(self, at: int, operator: str, inner: Node) -> Expr:
        return self.call(at, f"{operator}_", (self.check(inner),))

    def _binary(self, at: int, operator: str, left: Node, right: Node) -> Expr:
        return self.call(at, _BINARY.get(operator, f"_{operator}_"), (self.check(left), self.check(right)))

    def _index(self, at: int, target: Node, index: Node) -> Expr:
        return self.call(at, "_[_]", (self.check(target), self.check(index)))

    def _opt_index(self, at: int, target: Node, index: Node) -> Expr:
        return self.call(at, "_[?_]", (self.check(target), self.check(index)))

    # Fields

    def _select(self, at: int, target: Node, name: str) -> Expr:
        qualified = f"{dotted(target)}.{name}"
        if qualified in self.scope:
            return self._ident(at, qualified)
        if qualified in TYPE_NAMES and qualified.partition(".")[0] not in self.scope:
            return Expr("literal", at, ("type", qualified), value=TypeValue(qualified))
        part = self.check(target)
        return Expr("select", at, self._field(at, part.type, name), (part,), name)

    def _opt_select(self, at: int, target: Node, name: str) -> Expr:
        part = self.check(target)
        inner = part.type[1] if types.kind(part.type) == "optional" else part.type
        of = self._field(at, inner, name)
        return Expr("opt_select", at, ("optional", of), (part,), name)

    def _field(self, at: int, of: Type, name: str) -> Type:
        result = types.field(of, name)
        if result is not None:
            return result
        inner = of[1] if types.kind(of) == "optional" else of
        if types.kind(inner) in types.STRUCTURED:
            self.fail(at, f"undefined field '{name}'")
        else:
            self.fail(at, f"type '{types.shown(of)}' does not support field selection")
        return DYN

    # Calls

    def _call(self, at: int, target: Node | None, name: str, arguments: Sequence[Node]) -> Expr:
        macro = macros.find(self.scope, target, name, arguments)
        if macro is not None:
            return macro(self, at, target, arguments)
        if target is not None:
            qualified = f"{dotted(target)}.{name}"
            if qualified.partition(".")[0] not in self.scope and self._declared(qualified):
                return self.call(at, qualified, tuple(self.check(argument) for argument in arguments))
            if name == "format" and len(arguments) == 1 and arguments[0][0] == "list":  # texts are formatted out of all types
                subject, formatted = self.check(target), self._list(*arguments[0][1:], mixed=True)
                self._check_format(at, subject, formatted.parts)
                return self.call(at, name, (subject, formatted), is_method=True)
        given = tuple(self.check(node) for node in ((target, *arguments) if target is not None else arguments))
        return self.call(at, name, given, is_method=target is not None)

    def call(self, at: int, name: str, given: tuple[Expr, ...], *, is_method: bool = False) -> Expr:
        declared = self._declared(name)
        if not declared:
            return self.fail(at, f"undeclared reference to '{name}' (in container '')")
        found, result = self._resolved(declared, [part.type for part in given], is_method=is_method)
        if not found:
            return self._no_overload(at, name, [part.type for part in given], is_method=is_method)
        if name in _LITERALS:
            self._check_literal(name, given[-1])
        return Expr("call", at, result, given, name, overloads=found)

    def _declared(self, name: str) -> Sequence[Overload]:
        return declarations.lookup(name) or self._extension.declared.get(name, ())

    def expect(self, at: int, name: str, given: Sequence[Type]) -> None:
        """Fail as upstream does, whose macros are calls of operators."""
        if not self._resolved(declarations.lookup(name), given, is_method=False)[0]:
            self._no_overload(at, name, given, is_method=False)

    @staticmethod
    def _resolved(declared: Sequence[Overload], given: Sequence[Type], *, is_method: bool) -> tuple[tuple[Overload, ...], Type]:
        """The overloads that fit, and their result: anything if they are several that differ in it."""
        found: list[Overload] = []
        result: Type = FREE
        for overload in declared:
            wanted = overload.arguments
            if wanted and wanted[-1] == "dyn...":
                wanted = [DYN] * len(given)
            if overload.is_method != is_method or len(wanted) != len(given):
                continue
            bound: dict[str, Type] = {}
            if all(types.fits(a, b, bound) for a, b in zip(wanted, given, strict=True)):
                of = types.substituted(overload.result, bound)
                result = of if not found or of == result else DYN
                found.append(overload)
        return tuple(found), result

    def _no_overload(self, at: int, name: str, given: Sequence[Type], *, is_method: bool) -> Expr:
        shown = [types.shown(of) for of in given]
        signature = f"{shown[0]}.({', '.join(shown[1:])})" if is_method else f"({', '.join(shown)})"
        return self.fail(at, f"found no matching overload for '{name}' applied to '{signature}'")

    def _check_format(self, at: int, template: Expr, items: Sequence[Expr]) -> None:
        """A template and items that are written out must fit."""
        if template.kind != "literal" or type(template.value) is not str:
            return
        try:
            wanted = [part for part in text_format.clauses(template.value) if isinstance(part, text_format.Clause)]
        except CelError as error:
            self.fail(at, str(error))
            return
        for clause, item in zip(wanted, items, strict=False):
            why = "" if item.type in (DYN, FREE) else text_format.type_error(clause.verb, types.runtime_name(item.type))
            if why:
                self.fail(item.at, why)
        if len(wanted) > len(items):
            self.fail(at, f"index {len(items)} out of range")
        elif len(wanted) < len(items):
            self.fail(at, f"too many arguments supplied to string.format (expected {len(wanted)}, got {len(items)})")

    def _check_literal(self, name: str, argument: Expr) -> None:
        if argument.kind != "literal" or type(argument.value) is not str:
            return
        try:
            _LITERALS[name](argument.value)
        except CelError:
            self.fail(argument.at, f"invalid {name} argument")
