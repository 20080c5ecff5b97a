"""Objects inside custom resources (`x-kubernetes-embedded-resource`) have a type, and metadata that could be an object's.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#rawextension
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pybernetes.apiserver.registry.metadata import validate_embedded
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, clone
from pybernetes.machinery.schema.decode import Refused
from pybernetes.machinery.schema.structural import conform_object_meta, wrong_metadata

# (value, path as errors have it) -> errors
EmbeddedCheck = Callable[[Any, str], Iterator[FieldError]]


def compile_embedded(schema: Mapping[str, Any]) -> EmbeddedCheck | None:
    """The check of all objects embedded by the schema; None if there are none."""
    is_embedded = bool(schema.get("x-kubernetes-embedded-resource"))
    given, extra = schema.get("items"), schema.get("additionalProperties")
    items = compile_embedded(given) if isinstance(given, dict) else None
    others = compile_embedded(extra) if isinstance(extra, dict) else None
    known = schema.get("properties") or {}
    properties = {name: made for name, inner in known.items() if (made := compile_embedded(inner)) is not None}
    if not is_embedded and items is None and others is None and not properties:
        return None

    def check(value: Any, path: str) -> Iterator[FieldError]:
        if type(value) is list:
            if items is not None:
                for place, item in enumerate(value):
                    yield from items(item, f"{path}[{place}]")
        elif type(value) is dict:
            if is_embedded:
                yield from _check_object(value, path)
            for name, inner in properties.items():
                if name in value:
                    yield from inner(value[name], f"{path}.{name}" if path else name)
            if others is not None:
                for name, item in value.items():
                    if name not in known:
                        yield from others(item, f"{path}[{name}]")

    return check


def _check_object(obj: Object, path: str) -> Iterator[FieldError]:
    yield from _text(obj, "apiVersion", path, _api_version_error)
    yield from _text(obj, "kind", path, _kind_error)
    metadata, where = obj.get("metadata"), f"{path}.metadata"
    if metadata is None:
        return
    try:
        if type(metadata) is not dict:
            raise Refused(wrong_metadata(metadata))
        metadata = clone(metadata)
        conform_object_meta(metadata)
    except Refused as error:
        yield FieldError.invalid(where, obj["metadata"], str(error))
    else:
        yield from validate_embedded(metadata, where)


def _text(obj: Object, name: str, path: str, find_error: Callable[[str], str]) -> Iterator[FieldError]:
    where, value = f"{path}.{name}", obj.get(name, "")
    if type(value) is not str:
        yield FieldError.invalid(where, value, "must be a string")
    elif not value:
        yield FieldError.required(where)
    elif error := find_error(value):
        yield FieldError.invalid(where, value, error)


def _api_version_error(api_version: str) -> str:
    return f"unexpected GroupVersion string: {api_version}" if api_version.count("/") > 1 else ""


def _kind_error(kind: str) -> str:
    errors = validation.dns_1035_label_errors(kind.lower())
    return f"may have mixed case, but should otherwise match: {','.join(errors)}" if errors else ""
