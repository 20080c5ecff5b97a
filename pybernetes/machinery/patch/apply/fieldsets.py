"""Sets of fields, and what can be done with them.

A set is kept as it is written (`FieldsV1`): a tree of dicts, whose keys are path elements.

    f:<name>    the field of a struct, or the key of a map
    k:{…}       the item of a list with these values in its key fields (JSON, fields in the order of their names)
    v:<value>   the item of a list that is a set (JSON)
    i:<index>   the item of a list at that place (nobody writes these any more)

A node stands for its own path if it is empty, or has a member "."; the root stands for nothing. So sets need no decoding, and
two of them are one and the same when the dicts are equal. All functions here leave their arguments alone and may share parts
of them in the result: sets are never altered.

Source: API reference, "FieldsV1"; the serialisation is that of `sigs.k8s.io/structured-merge-diff`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

import orjson

FieldSet: TypeAlias = dict[str, Any]

SELF: Final = "."
LEAF: Final[FieldSet] = {}
EMPTY: Final[FieldSet] = {}

_PLAIN = re.compile(r"[ !#-%'-;=?-\[\]-~]*").fullmatch  # nothing that JSON, or Go's HTML-safe JSON, would escape
_HTML: Final = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def union(one: FieldSet, other: FieldSet) -> FieldSet:
    """What is in either of them."""
    if not one or one is other:
        return other
    if not other:
        return one
    found = dict(one)
    for key, node in other.items():
        mine = found.get(key)
        found[key] = node if mine is None else _union(mine, node)
    return found


def _union(one: FieldSet, other: FieldSet) -> FieldSet:
    if one == other:
        return one
    if not one:
        return {SELF: LEAF, **other}
    if not other:
        return {SELF: LEAF, **one}
    return union(one, other)


def difference(one: FieldSet, other: FieldSet) -> FieldSet:
    """What is in the first and not in the second. That a path goes says nothing of what lies below it."""
    found: FieldSet = {}
    for key, node in one.items():
        theirs = other.get(key)
        if theirs is None:
            found[key] = node
        elif node and theirs:
            if left := difference(node, theirs):
                found[key] = _plain(left)
        elif node:  # they have the path alone, and nothing below it
            if left := {name: inner for name, inner in node.items() if name != SELF}:
                found[key] = left
        elif theirs and SELF not in theirs:
            found[key] = node
    return found


def _plain(node: FieldSet) -> FieldSet:
    """A path with nothing below it is written as a leaf."""
    return LEAF if len(node) == 1 and SELF in node else node


def recursive_difference(one: FieldSet, other: FieldSet) -> FieldSet:
    """What is in the first, and neither in the second nor below a path in it."""
    found: FieldSet = {}
    for key, node in one.items():
        theirs = other.get(key)
        if theirs is None:
            found[key] = node
        elif theirs and SELF not in theirs:
            if not node:
                found[key] = node
            elif left := recursive_difference(node, theirs):
                found[key] = _plain(left)
    return found


def intersection(one: FieldSet, other: FieldSet) -> FieldSet:
    """What is in both of them."""
    found: FieldSet = {}
    for key, node in one.items():
        theirs = other.get(key)
        if theirs is None:
            continue
        if not node:
            if not theirs or SELF in theirs:
                found[key] = LEAF
        elif not theirs:
            if SELF in node:
                found[key] = LEAF
        elif both := intersection(node, theirs):
            found[key] = _plain(both)
    return found


def contains(fields: FieldSet, path: tuple[str, ...]) -> bool:
    """Whether the path itself is in the set."""
    node: FieldSet | None = fields
    for element in path:
        if not node:
            return False
        node = node.get(element)
        if node is None:
            return False
    return node is not None and (not node or SELF in node)


def of_path(path: tuple[str, ...]) -> FieldSet:
    """The set of that one path."""
    found = LEAF
    for element in reversed(path):
        found = {element: found}
    return found


def paths(fields: FieldSet, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """All members: those of a level first, then what is below them."""
    for element in sorted(fields):
        if element != SELF and (not fields[element] or SELF in fields[element]):
            yield (*prefix, element)
    for element in sorted(fields):
        if element != SELF and fields[element]:
            yield from paths(fields[element], (*prefix, element))


def ordered(fields: FieldSet) -> FieldSet:
    """The same set with its elements in the order in which it is stored."""
    return {key: ordered(fields[key]) if fields[key] else LEAF for key in sorted(fields)}


# Path elements


def key_element(keys: Mapping[str, Any]) -> str:
    """The element for an item with these key fields."""
    return "k:{" + ",".join(f"{_json(name)}:{_json(keys[name])}" for name in sorted(keys)) + "}"


def value_element(value: Any) -> str:
    """The element for an item of a set."""
    return f"v:{_json(value)}"


def _json(value: Any) -> str:
    if type(value) is str and _PLAIN(value):
        return f'"{value}"'
    text = orjson.dumps(value).decode()
    for character, escaped in _HTML.items():
        if character in text:
            text = text.replace(character, escaped)
    return text


def show_path(path: tuple[str, ...]) -> str:
    """A path as conflicts print it: `.spec.containers[name="a"].image`."""
    return "".join(map(show_element, path))


def show_element(element: str) -> str:
    kind, _, text = element.partition(":")
    match kind:
        case "f":
            return f".{text}"
        case "v":
            return f"[={_show(orjson.loads(text))}]"
        case "k":
            return "[" + ",".join(f"{name}={_show(value)}" for name, value in orjson.loads(text).items()) + "]"
        case _:
            return f"[{text}]"


def _show(value: Any) -> str:
    return orjson.dumps(value).decode()


def canonical(given: object) -> FieldSet:
    """A set from a client, its elements in the form in which we write them. Raises ValueError if it is none."""
    if not isinstance(given, dict):
        raise ValueError("a set of fields is an object")
    found: FieldSet = {}
    for element, node in given.items():
        if element == SELF:
            found[SELF] = LEAF
            continue
        key = _canonical_element(element)
        below = canonical(node)
        found[key] = _union(found[key], below) if key in found else below
    return _plain(found)


def _canonical_element(element: str) -> str:
    kind, text = element[:2], element[2:]
    if kind == "f:":
        return element
    try:
        if kind == "v:":
            return value_element(orjson.loads(text))
        if kind == "k:":
            keys = orjson.loads(text)
            if isinstance(keys, dict):
                return key_element(keys)
        elif kind == "i:":
            return f"i:{int(text)}"
    except ValueError as error:
        raise ValueError(f"{element!r} is no path element") from error
    raise ValueError(f"{element!r} is no path element")
