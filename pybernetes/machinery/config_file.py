"""Configuration files of components (`kind: AuthorizationConfiguration`): YAML or JSON, read strictly.

A file says its kind and version; a field that the version does not have, or has twice, is an error: a misspelt option must not
be silently without effect. What a version's fields are is given as a structural schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pybernetes.machinery import codec, json_text
from pybernetes.machinery.meta import Object
from pybernetes.machinery.schema import strict_error
from pybernetes.machinery.schema.structural import compile_prune
from pybernetes.machinery.schema.values import ABSENT, compile_checks

Schema = Mapping[str, Any]


def read(data: bytes, kind: str, versions: Mapping[str, Schema]) -> Object:
    """The object in `data`, which is of that kind and of one of the versions (`apiserver.config.k8s.io/v1`).

    Raises ValueError with upstream's sentence (one of our own for a value of the wrong type).
    """
    duplicates: list[str] = []
    if data.lstrip().startswith(b"{"):
        obj = codec.load_json(data)
        duplicates = json_text.duplicate_fields(data, obj)
    else:
        obj = codec.load_yaml(data, duplicates)
    if not isinstance(obj, dict):
        found = codec.go_name(obj)
        raise ValueError(f"couldn't get version/kind; json parse error: json: cannot unmarshal {found} into Go value")
    for field, shown in (("kind", "Kind"), ("apiVersion", "apiVersion")):
        if not isinstance(obj.get(field) or "", str):
            found = codec.go_name(obj[field])
            raise ValueError(f"couldn't get version/kind; json parse error: json: cannot unmarshal {found} into {field}")
        if not obj.get(field):
            raise ValueError(f"Object '{shown}' is missing in '{data.decode(errors='replace')}'")
    schema = versions.get(obj["apiVersion"]) if obj["kind"] == kind else None
    if schema is None:
        raise ValueError(f'no kind "{obj["kind"]}" is registered for version "{obj["apiVersion"]}"')
    unknown: list[str] = []
    compile_prune(schema, is_root=True)(obj, "", unknown)
    if problem := strict_error(duplicates, sorted(unknown)):
        raise ValueError(problem)
    mistyped = list(map(str, compile_checks(schema)(obj, ABSENT, "")))
    if mistyped:
        raise ValueError("; ".join(mistyped))
    return obj
