"""What evaluating an expression may cost at worst, told from the sizes of its variables: whether it may be stored at all.

Costs have the units of `costs`. Sizes are ranges: what is not known is somewhere between nothing and everything, and so is the
cost of going through it. Macros are estimated as the folds and conditionals that upstream makes of them.

These estimates decide which definitions are accepted, so they follow upstream's to the unit, with its oddities: a list of
constants costs its creation, though it is made only once; elements of a computed list are as large as `self` can be.

Source: cel-go's cost estimates, and those of Kubernetes' libraries ("Resource use by validation functions" in
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from pybernetes.machinery.cel import types
from pybernetes.machinery.cel.costs import LIST_BASE, MAP_BASE, STRUCT_BASE
from pybernetes.machinery.cel.estimates_calls import call_cost
from pybernetes.machinery.cel.ranges import MOST, UNKNOWN, Entries, Operand, Range, added, multiplied
from pybernetes.machinery.cel.sizes import Sizes
from pybernetes.machinery.cel.tree import PART_UNITS, Expr
from pybernetes.machinery.cel.values import TypeValue
from pybernetes.machinery.turns import spend

_ONE: Final = Range(1, 1)
_NO_ELEMENTS: Final = Entries("list", _ONE, Range(0, 0))


class _Local(NamedTuple):
    """A variable that a macro binds."""

    path: tuple[str, ...] = ()
    size: Range | None = None
    entries: Entries | None = None


def worst_cost(tree: Expr, sizes: Sizes) -> int:
    """`sizes`: of `self`, and so of `oldSelf`. At most 2**64 - 1, which stands for "no bound"."""
    return _Estimator(sizes).of(tree).cost


class _Estimator:
    def __init__(self, sizes: Sizes) -> None:
        self._sizes = sizes
        self._locals: dict[str, _Local] = {}

    def of(self, expr: Expr) -> Operand:
        spend(PART_UNITS)
        made: Operand = getattr(self, f"_{expr.kind}")(expr)
        return made

    def _sized(
        self, expr: Expr, cost: int, path: tuple[str, ...] = (), size: Range | None = None, entries: Entries | None = None
    ) -> Operand:
        """`size`: if it is known; else it is what the path leads to, or that of the type."""
        return Operand(cost, expr.type, path, size or self.size_at(path) or _size_of_type(expr.type), entries, expr)

    def size_at(self, path: tuple[str, ...]) -> Range | None:
        """Of what a variable's parts lead to. The first name is the variable, and all are as large as `self`."""
        found = self._sizes.at(path[1:]) if path else None
        return Range(0, found.elements_max) if found is not None else None

    # Leaves

    def _literal(self, expr: Expr) -> Operand:
        value = expr.value
        if isinstance(value, TypeValue):  # names of types are variables
            return self._sized(expr, 1, (value.name,))
        size = Range(len(value), len(value)) if isinstance(value, str | bytes) else _ONE
        return Operand(0, expr.type, (), size, None, expr)

    def _ident(self, expr: Expr) -> Operand:
        local = self._locals.get(expr.name)
        if local is None:
            return self._sized(expr, 1, (expr.name,))
        found = self._sized(expr, 1, local.path, entries=local.entries)
        return found if found.size is not None else found._replace(size=local.size)

    def _list(self, expr: Expr) -> Operand:
        parts = [self.of(part) for part in expr.parts]
        entries = Entries("list", _ONE, _union(parts))
        size = Range(len(parts), len(parts))
        return Operand(added(LIST_BASE, *(part.cost for part in parts)), expr.type, (), size, entries, expr)

    def _map(self, expr: Expr) -> Operand:
        parts = [self.of(part) for part in expr.parts]
        size = Range(len(parts) // 2, len(parts) // 2)
        entries = Entries("map", _union(parts[::2]), _union(parts[1::2]))
        return Operand(added(MAP_BASE, *(part.cost for part in parts)), expr.type, (), size, entries, expr)

    def _message(self, expr: Expr) -> Operand:
        return self._sized(expr, added(STRUCT_BASE, *(self.of(part).cost for part in expr.parts)))

    # Fields

    def _select(self, expr: Expr) -> Operand:
        inner = self.of(expr.parts[0])
        step = 1 if types.kind(inner.type) in types.STRUCTURED else 0
        return self._sized(expr, added(inner.cost, step), (*inner.path, expr.name))

    def _has(self, expr: Expr) -> Operand:
        return self._sized(expr, self.of(expr.parts[0]).cost)

    def _opt_select(self, expr: Expr) -> Operand:
        return self._sized(expr, added(1, self.of(expr.parts[0]).cost))

    # Calls

    def _call(self, expr: Expr) -> Operand:
        operands = [self.of(part) for part in expr.parts]
        name = expr.name
        paid = [operand.cost for operand in operands]
        if name == "dyn":
            return operands[0]._replace(cost=added(1, *paid), type=types.DYN, path=())
        if name in ("_&&_", "_||_"):
            return self._sized(expr, added(*paid))
        if name == "_?_:_":
            return self._conditional(expr, *operands)
        if name == "_[_]":
            return self._index(expr, *operands)
        found = [call_cost(self, expr, overload, operands) for overload in expr.overloads]
        sizes = [size for _, size in found if size is not None]
        size = None
        for other in sizes:
            size = other if size is None else size.union(other)
        entries = None
        if name == "_+_" and operands[0].entries is not None and operands[1].entries is not None:
            entries = operands[0].entries.union(operands[1].entries)
        return self._sized(expr, added(max(cost for cost, _ in found), *paid), size=size, entries=entries)

    def _conditional(self, expr: Expr, test: Operand, yes: Operand, no: Operand) -> Operand:
        size = (yes.size or UNKNOWN).union(no.size or UNKNOWN)
        entries = yes.entries.union(no.entries) if yes.entries is not None and no.entries is not None else None
        return self._sized(expr, added(test.cost, max(yes.cost, no.cost)), size=size, entries=entries)

    def _index(self, expr: Expr, target: Operand, place: Operand) -> Operand:
        step = "@values" if any(overload.id == "index_map" for overload in expr.overloads) else "@items"
        path = (*target.path, step) if expr.overloads[0].id.startswith("index_") else ()
        size = target.entries.value if path and target.entries is not None else None
        return self._sized(expr, added(1, target.cost, place.cost), path, size=size)

    # Macros

    def _bind(self, expr: Expr) -> Operand:
        value = self.of(expr.parts[0])
        body = self._with(expr.variables, [_Local(value.path, value.size, value.entries)], expr.parts[1])
        return self._sized(expr, added(LIST_BASE, value.cost, body.cost), size=body.size, entries=body.entries)

    def _opt_map(self, expr: Expr) -> Operand:
        subject = self.of(expr.parts[0])
        inner = subject.type[1] if types.kind(subject.type) == "optional" else types.DYN
        body = self._with(expr.variables, [_Local((), _size_of_type(inner))], expr.parts[1])
        wrapping = 0 if expr.name == "optFlatMap" else 1
        present = added(wrapping, LIST_BASE, subject.cost, 1, body.cost)
        return self._sized(expr, added(subject.cost, 1, max(present, 1)), size=_size_of_type(expr.type) or UNKNOWN)

    def _loop(self, expr: Expr) -> Operand:
        over = self.of(expr.parts[0])
        local = self._elements(over, len(expr.variables))
        bodies = [self._with(expr.variables, local, body) for body in expr.parts[1:]]
        count = over.size or UNKNOWN
        start, turn, end = _folded(expr.name, bodies)
        cost = added(over.cost, start, multiplied(count.high, turn), end)
        if expr.name == "sortBy":
            return self._sorted(expr, cost, over, bodies[0], count)
        if start == 0:
            return self._sized(expr, cost, size=_ONE)
        kept = bodies[-1].size or UNKNOWN
        if expr.name == "filter":
            kept = self._variable_size(local[0], expr.parts[0].type) or UNKNOWN
        entries = None if expr.name.startswith("transformMap") else _NO_ELEMENTS.union(Entries("list", _ONE, kept))
        return self._sized(expr, cost, size=count, entries=entries)

    def _with(self, variables: Sequence[str], bound: Sequence[_Local], body: Expr) -> Operand:
        self._locals.update(zip(variables, bound, strict=True))
        return self.of(body)

    @staticmethod
    def _elements(over: Operand, count: int) -> list[_Local]:
        """What one or two variables over lists and maps are."""
        entries = over.entries
        is_list = (entries.container if entries is not None else types.kind(over.type)) == "list"
        key = _Local((*over.path, "@indices" if is_list else "@keys"), entries.key if entries is not None else None)
        value = _Local((*over.path, "@items" if is_list else "@values"), entries.value if entries is not None else None)
        if count == 2:
            return [key, value]
        return [value if is_list else key]

    def _variable_size(self, local: _Local, of: types.Type) -> Range | None:
        element = of[1] if types.kind(of) in ("list", "map") else types.DYN
        return self.size_at(local.path) or _size_of_type(element) or local.size

    def _sorted(self, expr: Expr, cost: int, over: Operand, key: Operand, count: Range) -> Operand:
        """`sortBy` binds the list, and sorts it by the list of its keys."""
        factor = 2.1 if key.type in ("string", "bytes") else 2
        sorting = added(count.times(count).cost(factor), 1, LIST_BASE)
        return self._sized(expr, added(cost, sorting), size=count.times(count), entries=over.entries)


def _folded(macro: str, bodies: Sequence[Operand]) -> tuple[int, int, int]:
    """What the fold costs that upstream makes of a macro: to start, each turn, to end."""
    *tests, body = [operand.cost for operand in bodies]
    tested = added(*tests)
    if macro in ("all", "exists"):
        return 0, added(3 if macro == "all" else 4, body), 1
    if macro in ("exists_one", "existsOne"):
        return 0, added(2, body), 2
    if macro == "filter":
        return LIST_BASE, added(3 + LIST_BASE, body), 1
    if macro == "transformMap":
        return MAP_BASE, added(3, tested, body), 1
    if macro == "transformMapEntry":
        return MAP_BASE, added(2, tested, body), 1
    turn = added(2 + LIST_BASE, tested, body)
    if macro == "sortBy":
        return 2 * LIST_BASE, turn, 3
    return LIST_BASE, turn, 1


def _size_of_type(of: types.Type) -> Range | None:
    if types.kind(of) == "optional":
        return _size_of_type(of[1])
    return _ONE if of in _SCALARS else None


_SCALARS: Final = ("bool", "int", "uint", "double", "duration", "timestamp")


def _union(parts: Sequence[Operand]) -> Range:
    """Of the sizes of items; none have none."""
    if not parts:
        return Range(0, 0)
    found = Range(MOST, 0)
    for part in parts:
        found = found.union(part.size or UNKNOWN)
    return found
