"""What a mutation makes of an object: an apply configuration merged into it, or a JSON patch. All pure.

Source: API reference, `ApplyConfiguration`, `JSONPatch`; KEP-3962.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pybernetes.machinery.cel.admission import as_json
from pybernetes.machinery.cel.values import CelError, MessageValue
from pybernetes.machinery.meta import Object
from pybernetes.machinery.patch import json_patch
from pybernetes.machinery.patch.apply import typed
from pybernetes.machinery.schema.shapes import Shape


class PatchingFailed(Exception):
    """A mutation that cannot be carried out on this object; `str()` is upstream's sentence."""


def applied(obj: Object, configuration: Any, shape: Shape) -> Object:
    """The object with the fields of the configuration (an `Object{…}`) in it. Raises `PatchingFailed`."""
    if not isinstance(configuration, MessageValue) or configuration.cel_type != "Object":
        raise PatchingFailed(f"unsupported return type from ApplyConfiguration expression: {_type_of(configuration)}")
    _check_names(configuration)
    try:
        given: Object = as_json(configuration)
    except CelError as error:
        raise PatchingFailed(f"invalid return type: {error}") from error
    given |= {"kind": obj["kind"], "apiVersion": obj["apiVersion"]}
    misfits = typed.misfits(shape, given)
    if misfits:
        why = f"failed to convert patch object to typed object: {typed.sentence(misfits)}"
        raise PatchingFailed(f"error applying patch: {why}")
    atomics = typed.atomics(shape, given)
    if atomics:
        why = f"may not mutate atomic arrays, maps or structs: {', '.join(atomics)}"
        raise PatchingFailed(f"error applying patch: invalid ApplyConfiguration: {why}")
    merged: Object = typed.merge(shape, obj, given)
    return merged


def patched(obj: Object, operations: Any) -> Object:
    """The object after the operations (a list of `JSONPatch{…}`); itself if one of them is a `test` that finds otherwise.

    Raises `PatchingFailed`.
    """
    if not isinstance(operations, list):
        raise PatchingFailed("type mismatch: JSONPatchType.expression should evaluate to array")
    try:
        new = json_patch.patched(obj, [_operation(each) for each in operations])
    except json_patch.ValueDiffers:
        return obj
    except json_patch.PatchFailed as error:
        raise PatchingFailed(f"JSONPath: {error}") from error
    if not isinstance(new, dict):
        raise PatchingFailed("JSONPath: the result is no object")
    return new


def _operation(given: Any) -> Object:
    if not isinstance(given, MessageValue) or given.cel_type != "JSONPatch":
        what = f"array of JSONPatch, got element of {_type_of(given)}"
        raise PatchingFailed(f"type mismatch: JSONPatchType.expression should evaluate to {what}")
    operation: Object = {"op": given.get("op", ""), "path": given.get("path", "")}
    if given.get("from"):
        operation["from"] = given["from"]
    if "value" in given:
        value = given["value"]
        if isinstance(value, MessageValue):
            _check_names(value)
        try:
            operation["value"] = as_json(value)
        except CelError as error:
            raise PatchingFailed(
                f"JSONPath valueExpression evaluated to a type that could not marshal to JSON: {error}"
            ) from error
    return operation


def _type_of(value: Any) -> str:
    return value.cel_type if isinstance(value, MessageValue) else type(value).__name__


def _check_names(message: MessageValue) -> None:
    """A message's type names its place: `Object.spec.template` is good for that field only. Raises `PatchingFailed`."""
    wrong = list(_misnamed(message, message.cel_type))
    if wrong:
        raise PatchingFailed("type mismatch: " + "\n".join(wrong))


def _misnamed(value: Any, expected: str) -> Iterator[str]:
    """Intermediate maps and lists have no name."""
    if isinstance(value, MessageValue):
        if value.cel_type != expected:
            place = "which matches field name path from root Object type"
            yield f'unexpected type name "{value.cel_type}", expected "{expected}", {place}'
        for name, inner in value.items():
            yield from _misnamed(inner, f"{expected}.{name}")
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _misnamed(inner, expected)
