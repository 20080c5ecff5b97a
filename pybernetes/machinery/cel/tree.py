"""The checked tree of an expression: what the checker makes, and what compiler and cost estimator read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pybernetes.machinery.cel.declarations import Overload
from pybernetes.machinery.cel.types import Type

PART_UNITS: Final = 10  # of time (`machinery/turns`): what each step of compiling takes for a part


@dataclass(slots=True, eq=False)
class Expr:
    """A part of an expression. `kind` says what the other fields mean:

    literal: `value`. ident: the variable `name`. select, has, opt_select: the field `name` of the one part.
    call: the function `name` on the parts, a method's target first; `overloads` are those that fit, one if the types are known.
    list: the parts; map: keys and values in turn. `value` has, for each item or entry, whether it is an optional one.
    message: of the type `name`; `value` has, for each part, whether it is an optional one, and its field.
    loop: the macro `name` over the first part; the others see `variables`.
    bind: the second part sees the first one as `variables`. opt_map: likewise with an optional's value; `name` is the macro's.
    """

    kind: str
    at: int
    type: Type
    parts: tuple[Expr, ...] = ()
    name: str = ""
    value: Any = None
    overloads: tuple[Overload, ...] = ()
    variables: tuple[str, ...] = ()
