"""Strategic merge patches: merge patches that know, from the schema, which lists merge by which key.

Contract: "Update API Objects in Place Using kubectl patch"; the design of the directives is in the community's
`strategic-merge-patch.md` and `preserve-order-in-strategic-merge-patch.md`.

- `$patch: replace | delete | merge` in an object or in an element of a merging list,
- `$retainKeys: [...]` in an object: its other keys go,
- `$deleteFromPrimitiveList/<list>: [...]` beside a list of scalars: these go,
- `$setElementOrder/<list>: [...]` beside a merging list: the order of its elements. Elements that it does not name stay before
  those which they preceded, as far as possible.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from pybernetes.machinery.errors import BadRequest, StatusError
from pybernetes.machinery.meta import Object, clone
from pybernetes.machinery.patch.json_patch import rejected
from pybernetes.machinery.patch.merge import parse_object, same
from pybernetes.machinery.schema import Field, Kind, Node, Schema

DIRECTIVE: Final = "$patch"
RETAIN_KEYS: Final = "$retainKeys"
DELETE_PREFIX: Final = "$deleteFromPrimitiveList/"
ORDER_PREFIX: Final = "$setElementOrder/"

_BAD_RETAIN_KEYS: Final = "invalid patch format of retainKeys"
_BAD_ORDER: Final = "invalid patch format of setElementOrder list"
_BAD_DELETE_LIST: Final = "invalid patch format of primitive list"


def parse(body: bytes) -> Object:
    """The patch in a request's body. Raises BadRequest."""
    return parse_object(body, "")


def apply(schema: Schema, document: Object, patch: Object) -> Object:
    """A new document. Raises BadRequest for malformed directives, Invalid or StatusError (500) as upstream does."""
    return _merge_map(clone(document), clone(patch), schema.node)


def _below(node: Node | None, key: str) -> tuple[Node | None, Field | None]:
    """The type of what is at `key`, and the field that it is, if it is one. Nothing is known of unknown fields."""
    if node is None:
        return None, None
    if node.kind == Kind.MAP:
        return node.item, None
    if node.kind != Kind.STRUCT:
        return None, None
    field = node.struct.fields.get(key)
    return (field.node, field) if field else (None, None)


def _merges(field: Field | None) -> bool:
    return field is not None and "merge" in field.patch_strategies


def _merge_map(original: Object, patch: Object, node: Node | None) -> Object:
    """Both are ours to alter."""
    if DIRECTIVE in patch:
        directive = patch.pop(DIRECTIVE)
        if directive == "replace":
            replaced: Object = _without_directives(patch)
            return replaced
        if directive == "delete":
            return {}
        if directive != "merge":
            raise StatusError(f"unknown patch type: {directive} in map: {patch}")
    _retain_keys(original, patch)
    _merge_ordered_lists(original, patch, node)
    for key, value in patch.items():
        name = key
        deletes = key.startswith(DELETE_PREFIX)
        if deletes:
            name = key.removeprefix(DELETE_PREFIX)
            if not isinstance(value, list):
                raise BadRequest(_BAD_DELETE_LIST)
        if value is None:
            original.pop(name, None)
        elif name not in original:
            if not deletes:
                original[name] = _without_directives(value)
        else:
            original[name] = _merge_value(original[name], value, *_below(node, name), deletes=deletes)
    return original


def _merge_value(original: Any, patch: Any, node: Node | None, field: Field | None, *, deletes: bool) -> Any:
    if isinstance(original, dict) and isinstance(patch, dict):
        if field is not None and "replace" in field.patch_strategies:
            return _without_directives(patch)
        return _merge_map(original, patch, node)
    if isinstance(original, list) and isinstance(patch, list):
        if deletes:
            return [item for item in original if not _contains(patch, item)]
        return _merge_list(original, patch, node, field) if _merges(field) else _without_directives(patch)
    return original if deletes else _without_directives(patch)


def _retain_keys(original: Object, patch: Object) -> None:
    if RETAIN_KEYS not in patch:
        return
    kept = patch.pop(RETAIN_KEYS)
    if not isinstance(kept, list):
        raise BadRequest(_BAD_RETAIN_KEYS)
    for key, value in patch.items():
        if value is not None and not key.startswith((DELETE_PREFIX, ORDER_PREFIX)) and key not in kept:
            raise BadRequest(_BAD_RETAIN_KEYS)
    for key in [key for key in original if key not in kept]:
        del original[key]


def _merge_ordered_lists(original: Object, patch: Object, node: Node | None) -> None:
    """Carry out each `$setElementOrder`, together with the patch of its list; both leave the patch."""
    for directive in [key for key in patch if key.startswith(ORDER_PREFIX)]:
        order = patch.pop(directive)
        if not isinstance(order, list):
            raise BadRequest(_BAD_ORDER)
        key = directive.removeprefix(ORDER_PREFIX)
        below, field = _below(node, key)
        merge_key = field.merge_key if field else ""
        before, change = original.get(key), patch.get(key)
        if not isinstance(before, list | None) or not isinstance(change, list | None):
            raise BadRequest(_BAD_ORDER)
        if change is not None:
            _check_order(change, order, merge_key)
            del patch[key]
        if before is None and change is None:
            continue
        if before is None:
            merged = _without_directives(change)
        elif change is None:
            merged = before
        elif _merges(field):
            merged = _merge_list(list(before), change, below, field)
        else:
            merged = _without_directives(change)
        original[key] = _ordered(merged, order, before or [], merge_key)


def _check_order(change: Sequence[Any], order: Sequence[Any], merge_key: str) -> None:
    """Each element that the patch brings must be in the order list, in that order."""
    identity = _identity(merge_key)
    position = 0
    for item in change:
        if isinstance(item, dict) and DIRECTIVE in item:
            continue
        while position < len(order) and not same(identity(order[position]), identity(item)):
            position += 1
        if position == len(order):
            raise StatusError(
                f"The order in patch list:\n{list(change)}\n doesn't match {ORDER_PREFIX[:-1]} list:\n{list(order)}\n"
            )


def _merge_list(original: list[Any], patch: list[Any], node: Node | None, field: Field | None) -> list[Any]:
    assert field is not None
    if not original and not patch:
        return original
    items = node.item if node is not None else None
    if any(isinstance(item, list) for item in (*original, *patch)):
        raise rejected()
    if not any(isinstance(item, dict) for item in (*original, *patch)):
        merged = _unique([*original, *patch])
        return _ordered(merged, patch, original, "")
    key = field.merge_key
    if not key:
        raise StatusError(f"cannot merge lists without merge key for {field.name}")
    original, patch = _carry_out_elements(original, patch, key)
    merged = list(original)
    for item in patch:
        wanted = _key_value(item, key)
        for index, candidate in enumerate(merged):
            if isinstance(candidate, dict) and key in candidate and same(candidate[key], wanted):
                merged[index] = _merge_map(candidate, clone(item), items)
                break
        else:
            merged.append(_without_directives(clone(item)))
    return _ordered(merged, patch, original, key)


def _carry_out_elements(original: list[Any], patch: list[Any], key: str) -> tuple[list[Any], list[Any]]:
    """Obey the elements with `$patch`: (what the original is now, the elements of the patch that are still to be merged)."""
    plain, replaces = [], False
    for item in patch:
        if not isinstance(item, dict):
            raise rejected()
        match item.get(DIRECTIVE):
            case None:
                plain.append(item)
            case "delete":
                wanted = _key_value(item, key)
                original = [
                    candidate
                    for candidate in original
                    if not (isinstance(candidate, dict) and key in candidate and same(candidate[key], wanted))
                ]
            case "replace":
                replaces = True
            case "merge":
                raise StatusError("merging lists cannot yet be specified in the patch")
            case other:
                raise StatusError(f"unknown patch type: {other} in map: {item}")
    # A replacement is taken as it is, so that it may hold elements which share their key (one port, two protocols).
    return (_without_directives(plain), []) if replaces else (original, plain)


def _key_value(item: Any, key: str) -> Any:
    if not isinstance(item, dict) or key not in item:
        raise StatusError(f"map: {item} does not contain declared merge key: {key}")
    return item[key]


def _identity(merge_key: str) -> Callable[[Any], Any]:
    def of(item: Any) -> Any:
        return item.get(merge_key) if merge_key and isinstance(item, dict) else item

    return of


def _find(items: Sequence[Any], identity: Callable[[Any], Any], wanted: Any) -> int:
    for index, item in enumerate(items):
        if same(identity(item), wanted):
            return index
    return -1


def _ordered(merged: list[Any], order: Sequence[Any], server_order: Sequence[Any], merge_key: str) -> list[Any]:
    """Elements that `order` names, in its order; the others among them, each before the first that followed it before."""
    identity = _identity(merge_key)
    named, others = [], []
    for item in merged:
        place = _find(order, identity, identity(item))
        if place >= 0:
            named.append((place, item))
        else:
            others.append((_find(server_order, identity, identity(item)), item))
    named.sort(key=lambda pair: pair[0])
    others.sort(key=lambda pair: pair[0])
    result: list[Any] = []
    pending = others
    for _, item in named:
        place = _find(server_order, identity, identity(item))
        while pending and 0 <= pending[0][0] < place:
            result.append(pending.pop(0)[1])
        result.append(item)
    return result + [item for _, item in pending]


def _unique(items: list[Any]) -> list[Any]:
    found: list[Any] = []
    for item in items:
        if not _contains(found, item):
            found.append(item)
    return found


def _contains(items: Sequence[Any], wanted: Any) -> bool:
    return any(same(item, wanted) for item in items)


def _without_directives(value: Any) -> Any:
    """A value that is new to the document: its nulls and directives mean nothing there."""
    if isinstance(value, dict):
        return {
            key: _without_directives(item)
            for key, item in value.items()
            if item is not None and key not in (DIRECTIVE, RETAIN_KEYS) and not key.startswith((DELETE_PREFIX, ORDER_PREFIX))
        }
    if isinstance(value, list):
        return [
            _without_directives(item)
            for item in value
            if not (isinstance(item, dict) and item.get(DIRECTIVE) in ("delete", "replace"))
        ]
    return value


def diff(schema: Schema, original: Object, modified: Object) -> Object:
    """The patch that turns `original` into `modified` (nulls in `modified` count as absent)."""
    return three_way(schema, original, modified, original)


def three_way(schema: Schema, original: Object, modified: Object, current: Object) -> Object:
    """The patch to `current` of someone who wrote `original` last time and wants `modified` now (`kubectl apply`).

    It sets what differs from `modified`, and removes what `original` had and `modified` has no more; what others added to
    `current` stays.
    """
    return _diff_map(original, modified, current, schema.node)


def _diff_map(original: Object, modified: Object, current: Object, node: Node | None) -> Object:
    patch: Object = {}
    for key, value in modified.items():
        if value is None:
            if key in current:
                patch[key] = None
            continue
        if key not in current:
            patch[key] = clone(value)
            continue
        below, field = _below(node, key)
        now, before = current[key], original.get(key)
        if isinstance(value, dict) and isinstance(now, dict):
            if change := _diff_field(before, value, now, below, field):
                patch[key] = change
        elif isinstance(value, list) and isinstance(now, list) and _merges(field):
            assert field is not None
            patch.update(_diff_list(before if isinstance(before, list) else [], value, now, below, field))
        elif not same(value, now):
            patch[key] = clone(value)
    patch.update((key, None) for key in original if key not in modified and key in current)
    return patch


def _diff_field(before: Any, value: Object, now: Object, node: Node | None, field: Field | None) -> Object:
    strategies = field.patch_strategies if field else frozenset[str]()
    if "replace" in strategies:
        return {} if same(value, now) else {**clone(value), DIRECTIVE: "replace"}
    change = _diff_map(before if isinstance(before, dict) else {}, value, now, node)
    if change and "retainKeys" in strategies:
        change[RETAIN_KEYS] = sorted(key for key, content in value.items() if content is not None)
    return change


def _diff_list(before: list[Any], value: list[Any], now: list[Any], node: Node | None, field: Field) -> Object:
    """The patch of one merging list: the list's key, and the directives beside it."""
    key, merge_key = field.name, field.merge_key
    patch: Object = {}
    if not any(isinstance(item, dict) for item in (*before, *value, *now)):
        if added := [item for item in value if not _contains(now, item)]:
            patch[key] = added
        if removed := [item for item in before if not _contains(value, item) and _contains(now, item)]:
            patch[DELETE_PREFIX + key] = removed
        order: list[Any] = list(value)
    elif not (_distinct(value, merge_key) and _distinct(now, merge_key)):
        # Elements that cannot be told apart (two protocols on one port): the whole list, then.
        return {} if same(value, now) else {key: [*clone(value), {DIRECTIVE: "replace"}]}
    else:
        items = node.item if node is not None else None
        changes: list[Object] = []
        for item in value:
            live = _element(now, merge_key, item[merge_key])
            if live is None:
                changes.append(clone(item))
                continue
            change = _diff_map(_element(before, merge_key, item[merge_key]) or {}, item, live, items)
            if change:
                if "retainKeys" in field.patch_strategies:
                    change[RETAIN_KEYS] = sorted(name for name, content in item.items() if content is not None)
                changes.append({**change, merge_key: item[merge_key]})
        for item in before:
            if isinstance(item, dict) and merge_key in item:
                wanted = item[merge_key]
                if _element(value, merge_key, wanted) is None and _element(now, merge_key, wanted) is not None:
                    changes.append({DIRECTIVE: "delete", merge_key: wanted})
        if changes:
            patch[key] = changes
        order = [{merge_key: item[merge_key]} for item in value]
    if patch or not _in_order(now, order, merge_key):
        patch[ORDER_PREFIX + key] = order
    return patch


def _distinct(items: list[Any], merge_key: str) -> bool:
    seen: list[Any] = []
    for item in items:
        if not isinstance(item, dict) or merge_key not in item or _contains(seen, item[merge_key]):
            return False
        seen.append(item[merge_key])
    return True


def _element(items: list[Any], merge_key: str, wanted: Any) -> Object | None:
    for item in items:
        if isinstance(item, dict) and merge_key in item and same(item[merge_key], wanted):
            return item
    return None


def _in_order(now: list[Any], order: list[Any], merge_key: str) -> bool:
    identity = _identity(merge_key)
    places = [_find(now, identity, identity(item)) for item in order]
    return places == sorted(places)
