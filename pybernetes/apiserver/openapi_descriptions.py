"""The descriptions in OpenAPI documents, by which `kubectl explain` explains.

They are upstream's sentences, so they are not in this project: they come from the package `kubernetes-validate`, which ships
the published definitions, where it is installed (`pip install pybernetes[explain]`; tools/setup takes that one file out of it).
Without it, documents have all but the descriptions.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

from pybernetes.apiserver import version
from pybernetes.machinery.meta import Object

PACKAGE = "kubernetes_validate"
FILE = f"kubernetes-json-schema/v{version.MAJOR}.{version.MINOR}.0-local/_definitions.json"


@cache
def source() -> Path | None:
    """The file with the published definitions; None if it is not installed."""
    spec = find_spec(PACKAGE)
    for location in (spec.submodule_search_locations if spec is not None else None) or ():
        path = Path(location) / FILE
        if path.is_file():
            return path
    return None


def describe(definitions: dict[str, Object]) -> None:
    """Add to definitions (by their full names) and their properties what each is for; in place. Reads the file."""
    path = source()
    if path is None:
        return
    published: dict[str, Any] = orjson.loads(path.read_bytes())["$defs"]
    for name, definition in definitions.items():
        found = published.get(name)
        if found is None:
            continue
        _describe(definition, found)
        described = found.get("properties") or {}
        for field, schema in (definition.get("properties") or {}).items():
            _describe(schema, described.get(field) or {})


def _describe(schema: Object, published: Object) -> None:
    if text := published.get("description"):
        schema["description"] = text
