"""Any kind: its fields as they are, with their names made readable."""

from __future__ import annotations

import re
from typing import Any

from pybernetes.kubectl.describe.layout import Page, labels_and_annotations
from pybernetes.kubectl.session import Session
from pybernetes.machinery.meta import Object

_HIDDEN = {"managedFields", "name", "namespace", "labels", "annotations"}


async def describe(session: Session, obj: Object, page: Page) -> None:
    metadata = obj["metadata"]
    page.pair("Name", metadata["name"])
    page.pair("Namespace", metadata.get("namespace", ""))
    labels_and_annotations(page, obj)
    page.pair("API Version", obj.get("apiVersion", ""))
    page.pair("Kind", obj.get("kind", ""))
    page.line("Metadata:")
    _fields(page, {key: value for key, value in metadata.items() if key not in _HIDDEN}, 1)
    _fields(page, {key: value for key, value in obj.items() if key not in ("apiVersion", "kind", "metadata")}, 0)


def _fields(page: Page, fields: Object, indent: int) -> None:
    for key, value in sorted(fields.items(), key=lambda entry: title(entry[0])):
        _field(page, title(key), value, indent)


def _field(page: Page, name: str, value: Any, indent: int) -> None:
    if isinstance(value, dict):
        page.line("  " * indent + f"{name}:")
        _fields(page, value, indent + 1)
    elif isinstance(value, list):
        page.line("  " * indent + f"{name}:")
        for item in value:
            if isinstance(item, dict):
                _fields(page, item, indent + 1)
            else:
                page.line("  " * (indent + 1) + str(item))
    else:
        page.pair(name, "true" if value is True else "false" if value is False else value, indent)


def title(key: str) -> str:
    """`podCIDR` -> `Pod CIDR`, `spec` -> `Spec`."""
    if not key:
        return key
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", key)
    return spaced[0].upper() + spaced[1:]
