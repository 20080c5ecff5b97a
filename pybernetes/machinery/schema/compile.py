"""The hot path of decoding: each struct compiled, once, into one Python function.

`conformer(struct)` gives a function over a value that makes it what Go would have after decoding and encoding again: nulls and
empty optional values dropped, always-written structs added, times and resource lists in canonical form. It works in place.

Anything else that is to be done or said (an unknown field, a wrong type, a null in a list) raises `Unfit`: then `decode` walks
over the same value once more, slowly, knowing where it is. So the fast function carries no paths, and because all of this is
idempotent it may stop anywhere.

Signature of the functions: `(parent, key, value) -> bool`; True asks the caller to drop the field. A new value is stored as
`parent[key]`, which is safe while the caller iterates over `parent`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any, Final

from pybernetes.machinery import quantity
from pybernetes.machinery.schema.types import Field, Kind, Node, Struct, struct

Conformer = Callable[[Any, Any, Any], bool]


class Unfit(Exception):
    """Not what the fast path handles: look closely."""


_INT32: Final = 2**31
_INT64: Final = 2**63


def _any(parent: Any, key: Any, value: Any) -> bool:
    return value is None


def _quantity(parent: Any, key: Any, value: Any) -> bool:
    if type(value) is not str:
        if value is None:
            return True
        raise Unfit
    try:
        quantity.parse(value)
    except ValueError:
        raise Unfit from None
    return False


def _int_or_string(parent: Any, key: Any, value: Any) -> bool:
    if type(value) is str or (type(value) is int and -_INT32 <= value < _INT32):
        return False
    if value is None:
        return True
    raise Unfit


def _time(parent: Any, key: Any, value: Any) -> bool:
    # 2026-11-21T10:00:00Z: what is written otherwise is brought into this form on the slow path.
    if type(value) is str and len(value) == 20 and value[10] == "T" and value[19] == "Z":
        try:
            datetime.fromisoformat(value)
        except ValueError:
            raise Unfit from None
        return False
    if value is None:
        return True
    raise Unfit


def _micro_time(parent: Any, key: Any, value: Any) -> bool:
    if type(value) is str and len(value) == 27 and value[10] == "T" and value[26] == "Z":
        try:
            datetime.fromisoformat(value)
        except ValueError:
            raise Unfit from None
        return False
    if value is None:
        return True
    raise Unfit


def _resource_list(parent: Any, key: Any, value: Any) -> bool:
    if type(value) is not dict:
        if value is None:
            return True
        raise Unfit
    for name, amount in value.items():
        if type(amount) is not str:
            raise Unfit
        try:
            canonical = quantity.canonical_resource(amount)
        except ValueError:
            raise Unfit from None
        if canonical != amount:
            value[name] = canonical
    return not value


def _text_map(parent: Any, key: Any, value: Any) -> bool:
    if type(value) is not dict:
        if value is None:
            return True
        raise Unfit
    for text in value.values():
        if type(text) is not str:
            raise Unfit
    return not value


def _text_list(parent: Any, key: Any, value: Any) -> bool:
    if type(value) is not list:
        if value is None:
            return True
        raise Unfit
    for text in value:
        if type(text) is not str:
            raise Unfit
    return not value


def _text(keeps_zero: bool) -> Conformer:
    def conform(parent: Any, key: Any, value: Any) -> bool:
        if type(value) is str:
            return not value and not keeps_zero
        if value is None:
            return True
        raise Unfit

    return conform


def _boolean(keeps_zero: bool) -> Conformer:
    def conform(parent: Any, key: Any, value: Any) -> bool:
        if type(value) is bool:
            return not value and not keeps_zero
        if value is None:
            return True
        raise Unfit

    return conform


def _integer(bound: int, keeps_zero: bool) -> Conformer:
    def conform(parent: Any, key: Any, value: Any) -> bool:
        if type(value) is int and -bound <= value < bound:
            return not value and not keeps_zero
        if value is None:
            return True
        raise Unfit

    return conform


def _double(parent: Any, key: Any, value: Any) -> bool:
    if type(value) is float or type(value) is int:
        return False
    if value is None:
        return True
    raise Unfit


def _list(item: Conformer) -> Conformer:
    def conform(parent: Any, key: Any, value: Any) -> bool:
        if type(value) is not list:
            if value is None:
                return True
            raise Unfit
        for index, element in enumerate(value):
            if item(value, index, element):
                raise Unfit
        return not value

    return conform


def _map(item: Conformer) -> Conformer:
    def conform(parent: Any, key: Any, value: Any) -> bool:
        if type(value) is not dict:
            if value is None:
                return True
            raise Unfit
        for name, element in value.items():
            if item(value, name, element):
                raise Unfit
        return not value

    return conform


def _bytes(parent: Any, key: Any, value: Any) -> bool:
    """Base64 in its canonical form only: the exact length, and nothing but the alphabet."""
    if type(value) is str:
        if len(value) % 4 == 0 and _is_base64(value):
            return not value
        raise Unfit
    if value is None:
        return True
    raise Unfit


def _is_base64(text: str) -> bool:
    import binascii

    try:
        # Strict, as Go is; the comparison refuses ends that carry bits which no byte has.
        binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _or_boolean(structure: Conformer) -> Conformer:
    def conform(parent: Any, key: Any, value: Any) -> bool:
        return False if type(value) is bool else structure(parent, key, value)

    return conform


def _or_list(structure: Conformer, items: Conformer) -> Conformer:
    def conform(parent: Any, key: Any, value: Any) -> bool:
        return items(parent, key, value) if type(value) is list else structure(parent, key, value)

    return conform


_SIMPLE: Final[dict[Kind, Conformer]] = {
    Kind.BYTES: _bytes,
    Kind.TIME: _time,
    Kind.MICRO_TIME: _micro_time,
    Kind.QUANTITY: _quantity,
    Kind.INT_OR_STRING: _int_or_string,
    Kind.DOUBLE: _double,
    Kind.ANY: _any,
}


def _node(node: Node, keeps_zero: bool) -> Conformer:
    match node.kind:
        case Kind.STRING:
            return _text(keeps_zero)
        case Kind.BOOLEAN:
            return _boolean(keeps_zero)
        case Kind.INT32:
            return _integer(_INT32, keeps_zero)
        case Kind.INT64:
            return _integer(_INT64, keeps_zero)
        case Kind.LIST:
            assert node.item is not None
            if node.item.kind == Kind.STRUCT and not node.item.alternative:
                return _list_of_structs(node.item.struct_name)
            return _text_list if node.item.kind == Kind.STRING else _list(_node(node.item, keeps_zero=True))
        case Kind.MAP:
            assert node.item is not None
            if node.is_resource_list:
                return _resource_list
            return _text_map if node.item.kind == Kind.STRING else _map(_node_in_map(node.item))
        case Kind.STRUCT:
            structure = _later(node.struct_name)
            match node.alternative:
                case "bool":
                    return _or_boolean(structure)
                case "array":
                    return _or_list(structure, _list(structure))
                case "strings":
                    return _or_list(structure, _text_list)
            return structure
        case _:
            return _SIMPLE[node.kind]


def _node_in_map(node: Node) -> Conformer:
    """Values of maps are kept when they are empty (the key is what counts)."""
    conform = _node(node, keeps_zero=True)
    if node.kind not in (Kind.LIST, Kind.MAP, Kind.BYTES):
        return conform

    def keep_empty(parent: Any, key: Any, value: Any) -> bool:
        if value is None:
            raise Unfit
        conform(parent, key, value)
        return False

    return keep_empty


def _later(name: str) -> Conformer:
    """The conformer of a struct, compiled when it first meets a value: types are recursive, and most are never used."""
    compiled: Conformer | None = None

    def conform(parent: Any, key: Any, value: Any) -> bool:
        nonlocal compiled
        if compiled is None:
            compiled = conformer(struct(name))
        return compiled(parent, key, value)

    return conform


def _later_field(handlers: dict[str, Conformer], field: str, name: str) -> Conformer:
    """As `_later`; puts the compiled function into its own place, so that later calls go there directly."""

    def conform(parent: Any, key: Any, value: Any) -> bool:
        handlers[field] = compiled = conformer(struct(name))
        return compiled(parent, key, value)

    return conform


def _list_of_structs(name: str) -> Conformer:
    compiled: Conformer | None = None

    def conform(parent: Any, key: Any, value: Any) -> bool:
        nonlocal compiled
        if type(value) is not list:
            if value is None:
                return True
            raise Unfit
        if compiled is None:
            compiled = conformer(struct(name))
        for element in value:
            if compiled(None, None, element):
                raise Unfit
        return not value

    return conform


# The defaults of parameters are the fastest names that Python has.
_SOURCE: Final = """
def conform_{name}(parent, key, value, plain=PLAIN.get, handlers=HANDLERS.get):
    if type(value) is not dict:
        if value is None:
            return True
        raise Unfit
    dropped = None
    for name, content in value.items():
        if content and type(content) is plain(name):
            continue
        handler = handlers(name)
        if handler is None:
            raise Unfit
        if handler(value, name, content):
            if dropped is None:
                dropped = [name]
            else:
                dropped.append(name)
    if dropped is not None:
        for name in dropped:
            del value[name]
{additions}
    return False
"""


@cache
def conformer(structure: Struct) -> Conformer:
    """The compiled function of a struct."""
    plain: dict[str, type] = {}
    handlers: dict[str, Conformer] = {}
    for name, field in structure.fields.items():
        if field.node.kind == Kind.STRING:
            plain[name] = str
        elif field.node.kind == Kind.BOOLEAN:
            plain[name] = bool
        if field.node.kind == Kind.STRUCT and not field.node.alternative:
            handlers[name] = _later_field(handlers, name, field.node.struct_name)
        else:
            handlers[name] = _handler(field)
    additions = [f"    if {name!r} not in value: value[{name!r}] = {zero!r}" for name, zero in zero_values(structure).items()]
    source = _SOURCE.format(name=structure.go_name, additions="\n".join(additions))
    namespace: dict[str, Any] = {"Unfit": Unfit, "PLAIN": plain, "HANDLERS": handlers}
    exec(compile(source, f"<schema {structure.name}>", "exec"), namespace)
    compiled: Conformer = namespace[f"conform_{structure.go_name}"]
    return compiled


def _handler(field: Field) -> Conformer:
    conform = _node(field.node, field.keeps_zero)
    if field.node.kind in (Kind.LIST, Kind.MAP) and field.required and not field.null_when_empty:

        def keep_empty(parent: Any, key: Any, value: Any) -> bool:
            # Required: an empty list or map is written, null stays out.
            conform(parent, key, value)
            return value is None

        return keep_empty
    return conform


@cache
def zero_values(structure: Struct) -> dict[str, Any]:
    """What Go writes for fields that nobody gave: required scalars, and structs that are no pointers. Copy before use."""
    zeros: dict[str, Any] = {}
    for name, field in structure.fields.items():
        if field.null_when_empty:
            zeros[name] = None
            continue
        match field.node.kind:
            case Kind.STRUCT if field.present:
                zeros[name] = zero_values(field.node.struct)
            case Kind.STRING if field.required:
                zeros[name] = ""
            case Kind.INT32 | Kind.INT64 if field.required:
                zeros[name] = 0
            case Kind.BOOLEAN if field.required:
                zeros[name] = False
    return zeros


def blank_values(structure: Struct) -> dict[str, Any]:
    """`zero_values`, with the required lists and maps, which only an object that was never decoded can lack."""
    blank: dict[str, Any] = {}
    zeros = zero_values(structure)
    for name, field in structure.fields.items():
        if field.node.kind is Kind.STRUCT and field.present:
            blank[name] = blank_values(field.node.struct)
        elif name in zeros:
            blank[name] = zeros[name]
        elif field.required and field.node.kind in (Kind.LIST, Kind.MAP):
            blank[name] = None
    return blank
