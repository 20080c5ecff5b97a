"""Values by their shape: which fields they have, how two of them differ, and what merging or cutting them gives.

All functions are pure; results may share parts of the arguments.

Two notions of "the fields of a value" are in use, as upstream: `everything` names each path on the way, too (what an ordinary
write adds), `configured` only those which someone can mean by writing them down: values, the items of lists and the keys of
maps, but not the structs around them (what is applied).
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

import orjson

from pybernetes.machinery.patch.apply.fieldsets import LEAF, SELF, FieldSet, key_element, show_element, value_element
from pybernetes.machinery.schema.shapes import DEDUCED, REQUIRED, Form, Shape

_ABSENT: Final = object()


class Unkeyed(ValueError):
    """An item of a list does not say which one it is."""


def form_of(shape: Shape, value: Any) -> Form:
    """The form as which a value is to be read: a deduced one is what it is."""
    if shape.form is not Form.DEDUCED:
        return shape.form
    return Form.OBJECT if type(value) is dict else Form.ANY


def item_of(shape: Shape) -> Shape:
    return shape.item or DEDUCED


def element_of(shape: Shape, item: Any) -> str:
    """The path element of an item of a list that is no single value. Raises `Unkeyed`."""
    keys = shape.keys
    if keys:
        if type(item) is not dict:
            what = "a null element" if item is None else "non-map elements"
            raise Unkeyed(f"associative list with keys may not have {what}")
        found = {}
        for name, default in keys.items():
            if name in item:
                found[name] = item[name]
            elif default is not REQUIRED:
                found[name] = default
            elif len(keys) == 1 or not any(other in item for other in keys):
                raise Unkeyed(
                    f'associative list with keys has an element that omits key field "{name}" (and doesn\'t have default value)'
                )
        return key_element(found)
    if type(item) is dict:
        raise Unkeyed("associative list without keys has an element that's a map type")
    if type(item) is list:
        raise Unkeyed("not supported: associative list with lists as elements")
    if item is None:
        raise Unkeyed("associative list without keys has an element that's an explicit null")
    return value_element(item)


def _items(shape: Shape, values: Any) -> dict[str, list[Any]]:
    """The items of a list by their elements; those of one element in their order. What has none is left out."""
    found: dict[str, list[Any]] = {}
    if type(values) is list:
        for value in values:
            try:
                element = element_of(shape, value)
            except Unkeyed:
                continue
            if element in found:
                found[element].append(value)
            else:
                found[element] = [value]
    return found


# The fields of a value


def everything(shape: Shape, value: Any) -> FieldSet:
    """The node of a value that came into being (or went) as a whole: its own path and all below it."""
    if shape.leaf or not value:
        return LEAF
    if type(value) is dict:
        members, item = shape.members, shape.item
        if not members and item is not None and item.leaf:  # a map of plain values: labels, data
            found: FieldSet = {SELF: LEAF}
            for name in sorted(value):
                found[f"f:{name}"] = LEAF
            return found
        if shape.form is Form.DEDUCED:
            item = shape
        elif shape.form is not Form.OBJECT:
            return LEAF
        found = {SELF: LEAF}
        for name in sorted(value):
            member = members.get(name)
            if member is not None:
                key, inner = member
                found[key] = LEAF if inner.leaf else everything(inner, value[name])
            else:
                found[f"f:{name}"] = LEAF if item is None else everything(item, value[name])
        return found
    if type(value) is not list or shape.form is not Form.LIST:
        return LEAF
    found = {SELF: LEAF}
    inner = item_of(shape)
    for element, items in _items(shape, value).items():
        found[element] = everything(inner, items[0]) if len(items) == 1 else LEAF
    return found


def configured(shape: Shape, value: Any) -> FieldSet:
    """The set of the fields that an applied configuration names: not the value itself, but what is below it."""
    found: FieldSet = {}
    form = form_of(shape, value)
    if shape.leaf or form is Form.ANY:
        return found
    if form is Form.OBJECT:
        if type(value) is dict:
            for name, inner in value.items():
                below = shape.below(name) or DEDUCED
                node = _node(below, inner)
                is_field = name in shape.members
                if node is None:
                    if not is_field or inner is None or inner == {}:
                        found[f"f:{name}"] = LEAF
                else:
                    found[f"f:{name}"] = node if is_field else {SELF: LEAF, **node} if node else LEAF
        return found
    for element, items in _items(shape, value).items():
        node = _node(item_of(shape), items[0]) if len(items) == 1 else None
        found[element] = {SELF: LEAF, **node} if node else LEAF
    return found


def _node(shape: Shape, value: Any) -> FieldSet | None:
    """A leaf, what is below, or None where there is nothing (an empty list or object)."""
    if shape.leaf or form_of(shape, value) is Form.ANY:
        return LEAF
    return configured(shape, value) or None


def with_structs(shape: Shape, fields: FieldSet) -> FieldSet:
    """The set, and the structs around its members, too."""
    found: FieldSet = {}
    for key, node in fields.items():
        if not node:
            found[key] = node
            continue
        below: Shape | None
        if key.startswith("f:"):
            name = key[2:]
            below, is_field = shape.below(name), name in shape.members
        else:
            below, is_field = shape.item, False
        inner = with_structs(below, node) if below is not None else node
        found[key] = {SELF: LEAF, **inner} if is_field else inner
    return found


# Two values


def compare(shape: Shape, old: Any, new: Any) -> tuple[FieldSet | None, FieldSet | None]:
    """What an update changes: the nodes of the fields that it sets (added or modified), and of those that it removes.

    None is for no field at all, an empty node for the value itself. Both values are there, though they may be null.
    """
    if old == new:
        return None, None
    if shape.form is Form.DEDUCED and None not in (old, new) and (type(old) is dict) != (type(new) is dict):
        gone = {key: node for key, node in everything(shape, old).items() if key != SELF}
        return everything(shape, new), gone or None
    form = form_of(shape, new if new is not None else old)
    if shape.leaf or form is Form.ANY or (not old and not new):
        return LEAF, None
    if form is Form.OBJECT:
        return _compare_objects(shape, old, new)
    return _compare_lists(shape, old, new)


def _compare_objects(shape: Shape, old: Any, new: Any) -> tuple[FieldSet | None, FieldSet | None]:
    if type(new) is not dict:
        if new is not None:
            return LEAF, None
        new = {}
    if type(old) is not dict:
        old = {}
    changed: FieldSet = {}
    removed: FieldSet = {}
    members = shape.members
    item = shape.item or DEDUCED
    for name in sorted(new):
        after = new[name]
        member = members.get(name)
        key, inner = member if member is not None else (f"f:{name}", item)
        if name not in old:
            changed[key] = LEAF if inner.leaf else everything(inner, after)
            continue
        before = old[name]
        if before == after:
            continue
        if inner.leaf:
            changed[key] = LEAF
            continue
        set_below, removed_below = compare(inner, before, after)
        if set_below is not None:
            changed[key] = set_below
        if removed_below is not None:
            removed[key] = removed_below
    for name, before in old.items():
        if name not in new:
            member = members.get(name)
            key, inner = member if member is not None else (f"f:{name}", item)
            removed[key] = everything(inner, before)
    return changed or None, removed or None


def _compare_lists(shape: Shape, old: Any, new: Any) -> tuple[FieldSet | None, FieldSet | None]:
    before, after = _items(shape, old), _items(shape, new)
    inner = item_of(shape)
    changed: FieldSet = {}
    removed: FieldSet = {}
    for element in {**before, **after}:
        olds, news = before.get(element, []), after.get(element, [])
        if olds == news:
            continue
        if len(olds) <= 1 and len(news) <= 1:
            if not olds:
                changed[element] = everything(inner, news[0])
            elif not news:
                removed[element] = everything(inner, olds[0])
            else:
                set_below, removed_below = compare(inner, olds[0], news[0])
                if set_below is not None:
                    changed[element] = set_below
                if removed_below is not None:
                    removed[element] = removed_below
        elif len(olds) >= 2 and len(news) >= 2:
            changed[element] = LEAF  # items that cannot be told apart are owned as one
        elif len(olds) >= 2:
            removed[element] = LEAF
            if news:
                changed[element] = everything(inner, news[0])
        else:
            changed[element] = LEAF
            if olds:
                removed[element] = everything(inner, olds[0])
    return changed or None, removed or None


def merge(shape: Shape, live: Any, config: Any) -> Any:
    """The live value with the configuration in it: what it does not name stays."""
    form = form_of(shape, config if config is not None else live)
    if shape.leaf or form is Form.ANY or (not live and not config):
        return config
    if form is Form.OBJECT:
        live = live if type(live) is dict else {}
        merged: dict[str, Any] = {}
        for name, value in live.items():
            if config and name in config:
                merged[name] = merge(shape.below(name) or DEDUCED, value, config[name])
            else:
                merged[name] = value
        for name, value in (config or {}).items():
            if name not in live:
                merged[name] = value
        return merged
    return _merge_lists(shape, live if type(live) is list else [], config or [])


def _merge_lists(shape: Shape, live: list[Any], config: list[Any]) -> list[Any]:
    """Items of both are merged. The order is the configuration's for its items, and each other one stays after its neighbour.

    What was there twice is replaced, once, by what is given.
    """
    inner = item_of(shape)
    old = [(_element_or(shape, item, position), item) for position, item in enumerate(live)]
    new = [(element_of(shape, item), item) for item in config]
    wanted = dict(new)
    counted = _items(shape, live)
    known = {element: items[0] for element, items in counted.items() if len(items) == 1}
    shared = deque(element for element, _ in new if element in counted)
    merged: list[Any] = []
    placed: set[str] = set()
    i = j = 0
    while i < len(old) or j < len(new):
        if i < len(old):
            element, item = old[i]
            if element not in wanted:
                merged.append(item)
                i += 1
                continue
            if shared and shared[0] != element:
                i += 1  # its place is where the configuration has it
                continue
            if element in placed:
                i += 1
        if j < len(new):
            element, item = new[j]
            before = known.get(element, _ABSENT)
            merged.append(item if before is _ABSENT else merge(inner, before, item))
            placed.add(element)
            if shared and shared[0] == element:
                shared.popleft()
            if i < len(old) and old[i][0] == element:
                i += 1
            j += 1
    return merged


def _element_or(shape: Shape, item: Any, position: int) -> str:
    """The element of an item, or something that is no element: what is stored may be older than its type."""
    try:
        return element_of(shape, item)
    except Unkeyed:
        return f"i:{position}"


def remove(shape: Shape, value: Any, fields: FieldSet) -> Any:
    """The value without these fields; null where nothing of an object or a list is left."""
    form = form_of(shape, value)
    if shape.leaf or form is Form.ANY:
        return None if shape.atomic else value
    if form is Form.OBJECT:
        if type(value) is not dict:
            return None
        left: dict[str, Any] = {}
        for name, inner in value.items():
            node = fields.get(f"f:{name}")
            if node is None:
                left[name] = inner
            elif node and SELF not in node:
                left[name] = remove(shape.below(name) or DEDUCED, inner, node)
        return left or None
    if type(value) is not list:
        return None
    items = []
    for position, inner in enumerate(value):
        node = fields.get(_element_or(shape, inner, position))
        if node is None:
            items.append(inner)
        elif node and SELF not in node:
            items.append(remove(item_of(shape), inner, node))
    return items or None


# Fitting


def atomics(shape: Shape, value: Any, path: str = "") -> list[str]:
    """Where a configuration would replace a whole list, map or struct, which cannot be told part by part."""
    found: list[str] = []
    form = form_of(shape, value)
    is_whole = shape.atomic or form is Form.ANY or (shape.form is Form.DEDUCED and type(value) is list)
    if type(value) is dict and form in (Form.OBJECT, Form.ANY):
        found += [path] if is_whole else []
        for name, inner in value.items():
            member = shape.members.get(name)
            if member is not None:
                found += atomics(member[1], inner, f"{path}.{name}")
    elif type(value) is list and form in (Form.LIST, Form.ANY):
        found += [path] if is_whole else []
        for index, inner in enumerate(value):
            found += atomics(item_of(shape), inner, f"{path}[{index}]")
    return found


def misfits(shape: Shape, value: Any, path: str = "") -> list[tuple[str, str]]:
    """What of a configuration is not of its shape: (path, sentence) each."""
    if value is None:
        return []
    form = form_of(shape, value)
    match form:
        case Form.SCALAR:
            expected = _misfit(shape.scalar, value)
            return [(path, f"expected {expected}, got {_go(value)}")] if expected else []
        case Form.LIST:
            return _list_misfits(shape, value, path)
        case Form.OBJECT:
            if type(value) is not dict:
                return [(path, f"expected map, got {_go(value)}")]
            found = []
            for name, inner in value.items():
                below = DEDUCED if shape.form is Form.DEDUCED else shape.below(name)
                if below is None:
                    found.append((f"{path}.{name}", "field not declared in schema"))
                    break
                found += misfits(below, inner, f"{path}.{name}")
            return found
    return []


def _list_misfits(shape: Shape, value: Any, path: str) -> list[tuple[str, str]]:
    if type(value) is not list:
        return [(path, f"expected list, got {_go(value)}")]
    found: list[tuple[str, str]] = []
    seen: set[str] = set()
    for index, inner in enumerate(value):
        shown = f"[{index}]"
        if not shape.atomic:
            try:
                element = element_of(shape, inner)
            except Unkeyed as error:
                return [*found, (path, f"element {index}: {error}")]
            shown = show_element(element)
            if element in seen:
                found.append((path, f"duplicate entries for key {shown}"))
            seen.add(element)
        found += misfits(item_of(shape), inner, path + shown)
    return found


def _misfit(scalar: str, value: Any) -> str:
    match scalar:
        case "string" if type(value) is not str:
            return "string"
        case "numeric" if type(value) is not int and type(value) is not float:
            return "numeric (int or float)"
        case "boolean" if type(value) is not bool:
            return "boolean"
        case "" if type(value) is dict or type(value) is list:
            return "any scalar"
    return ""


def _go(value: Any) -> str:
    return f"&value.valueUnstructured{{Value:{_go_syntax(value)}}}"


def _go_syntax(value: Any) -> str:
    """As Go's %#v."""
    if isinstance(value, dict):
        return "map[string]interface {}{" + ", ".join(f"{_quoted(key)}:{_go_syntax(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[]interface {}{" + ", ".join(map(_go_syntax, value)) + "}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quoted(value)
    return "interface {}(nil)" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()


def sentence(found: list[tuple[str, str]]) -> str:
    """Upstream's words for several misfits."""
    lines = [f"{path}: {why}" if path else why for path, why in found]
    return lines[0] if len(lines) == 1 else "\n".join(["errors:", *(f"  {line}" for line in lines)])
