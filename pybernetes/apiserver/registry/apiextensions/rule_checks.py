"""The CEL rules of a schema (`x-kubernetes-validations`): is each of them one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pybernetes.machinery.errors import FieldError


def validate(schema: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    for i, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        if not rule.get("rule", "").strip():
            yield FieldError.required(f"{path}.x-kubernetes-validations[{i}].rule", "rule is not specified")
