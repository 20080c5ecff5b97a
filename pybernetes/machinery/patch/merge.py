"""JSON merge patches (RFC 7386), and the three-way merge of `kubectl apply` for kinds without a schema."""

from __future__ import annotations

from typing import Any

from pybernetes.machinery import codec
from pybernetes.machinery.errors import BadRequest
from pybernetes.machinery.meta import Object, clone


def parse(body: bytes) -> Object:
    """The patch in a request's body. Raises BadRequest."""
    return parse_object(body, "error decoding patch: ")


def parse_object(body: bytes, prefix: str) -> Object:
    """An object; what goes wrong is said after `prefix`. Raises BadRequest."""
    try:
        patch = codec.load_json(body)
    except ValueError as error:
        raise BadRequest(f"{prefix}{error}") from error
    if not isinstance(patch, dict):
        raise BadRequest(
            f"{prefix}json: cannot unmarshal {codec.go_name(patch)} into Go value of type map[string]interface {{}}"
        )
    return patch


def apply(document: Object, patch: Object) -> Object:
    """A new document with the patch merged in: null removes, objects merge, everything else replaces. Shares nothing."""
    return _merge(clone(document), patch)


def _merge(target: Any, patch: Object) -> Object:
    """`target` is ours to alter."""
    merged: Object = target if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = _merge(merged.get(key), value)
        else:
            merged[key] = clone(value)
    return merged


def diff(original: Object, modified: Object) -> Object:
    """The patch that turns `original` into `modified` (where null counts as absent: a patch cannot write it)."""
    return three_way(original, modified, original)


def three_way(original: Object, modified: Object, current: Object) -> Object:
    """The patch to `current` of someone who wrote `original` last time and wants `modified` now.

    It sets what differs from `modified`, and removes what `original` had and `modified` has no more; what others added to
    `current` stays.
    """
    patch: Object = {}
    for key, value in modified.items():
        if value is None:
            if key in current:
                patch[key] = None
        elif key not in current or not isinstance(value, dict) or not isinstance(current[key], dict):
            if key not in current or not same(value, current[key]):
                patch[key] = clone(value)
        else:
            before = original.get(key)
            if below := three_way(before if isinstance(before, dict) else {}, value, current[key]):
                patch[key] = below
    patch.update((key, None) for key in original if key not in modified and key in current)
    return patch


def same(one: Any, other: Any) -> bool:
    """Equality of JSON values: true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
