"""The CEL rules of a schema (`x-kubernetes-validations`): is each of them one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pybernetes.machinery.errors import FieldError

_REASONS: Final = ("FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired", "FieldValueDuplicate")


def validate(schema: Mapping[str, Any], path: str, *, is_root: bool = True, stable: bool = True) -> Iterator[FieldError]:
    """`stable`: values here can be told to be what others were before. Items of lists cannot, unless the list is a map."""
    for i, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        yield from _rule(rule, schema, f"{path}.x-kubernetes-validations[{i}]", is_root=is_root, stable=stable)
    for name, inner in (schema.get("properties") or {}).items():
        yield from validate(inner, f"{path}.properties[{name}]", is_root=False, stable=stable)
    if isinstance(schema.get("additionalProperties"), dict):
        yield from validate(schema["additionalProperties"], path + ".additionalProperties", is_root=False, stable=stable)
    if isinstance(schema.get("items"), dict):
        stable = stable and schema.get("x-kubernetes-list-type") == "map"
        yield from validate(schema["items"], path + ".items", is_root=False, stable=stable)


def _rule(
    rule: Mapping[str, Any], schema: Mapping[str, Any], path: str, *, is_root: bool, stable: bool
) -> Iterator[FieldError]:
    from pybernetes.machinery.cel import CompileError, rules  # most definitions have no rules

    text, message = rule.get("rule", ""), rule.get("message", "")
    if not text.strip():
        yield FieldError.required(path + ".rule", "rule is not specified")
        return
    if message and not message.strip():
        yield FieldError.invalid(path + ".message", message, "message must be non-empty if specified")
    elif "\n" in message.strip():
        yield FieldError.invalid(path + ".message", message, "message must not contain line breaks")
    elif "\n" in text.strip() and not message:
        yield FieldError.required(path + ".message", "message must be specified if rule contains line breaks")
    reason = rule.get("reason")
    if reason is not None and reason not in _REASONS:
        yield FieldError.not_supported(path + ".reason", reason, _REASONS)
    if rule.get("fieldPath"):
        try:
            rules.normalized_path(rule["fieldPath"], schema)
        except ValueError as error:
            yield FieldError.invalid(path + ".fieldPath", rule["fieldPath"], str(error))
            return
    try:
        compiled = rules.compile_rule(rule, schema, is_root=is_root)
    except CompileError as error:
        in_message = rule.get("messageExpression") and error.source == rule["messageExpression"]
        at = path + (".messageExpression" if in_message else ".rule")
        kind = "messageExpression compilation failed" if in_message else "compilation failed"
        yield FieldError("FieldValueInvalid", at, f"Invalid value: {_shown(rule)}: {kind}: {error}")
        return
    if compiled.uses_old and not compiled.optional_old and not stable:
        sentence = "oldSelf cannot be used on the uncorrelatable portion of the schema"
        yield FieldError("FieldValueInvalid", path + ".rule", f"Invalid value: {json.dumps(text)}: {sentence}")


def _shown(rule: Mapping[str, Any]) -> str:
    """As Go prints its internal type."""
    fields = (
        ("Rule", "rule", ""), ("Message", "message", ""), ("MessageExpression", "messageExpression", ""),
        ("Reason", "reason", None), ("FieldPath", "fieldPath", ""), ("OptionalOldSelf", "optionalOldSelf", None),
    )  # fmt: skip
    return json.dumps({name: rule.get(key, absent) for name, key, absent in fields}, separators=(",", ":"), ensure_ascii=False)
