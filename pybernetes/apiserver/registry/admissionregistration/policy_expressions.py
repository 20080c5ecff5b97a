"""The expressions of admission policies, checked when they are written: do they compile, and to what do they evaluate.

An expression that is stored already is not judged again, so that a stricter checker does not lock a policy up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from pybernetes.apiserver.registry import checks
from pybernetes.apiserver.registry.admissionregistration import rules
from pybernetes.machinery import validation
from pybernetes.machinery.cel.admission import JSON_PATCH, OBJECT, PATCHES, Environment, compose, expression
from pybernetes.machinery.cel.checker import PLAIN, Extension
from pybernetes.machinery.cel.types import RESERVED, Type
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, name_of

ANNOTATIONS_MAX: Final = 20
ANNOTATION_BYTES_MAX: Final = 5 * 1024
_REASONS: Final = ("Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized")
_IDENTIFIER: Final = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*", re.ASCII)
_PATCHES: Final = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}
_NO_RULES: Final = "validations or auditAnnotations must contain at least one item"


class Expressions:
    """Those of one policy (with a name), but for the ones that are `stored` already, stripped."""

    def __init__(self, policy: Object, stored: frozenset[str]) -> None:
        self._policy = policy
        self._spec: Object = policy["spec"]
        self._stored = stored
        self._plain = Environment(has_params=self._spec.get("paramKind") is not None)
        self._environment = self._plain
        self._variables = self._spec.get("variables") or ()
        named = [each for each in self._variables if each.get("name") and each.get("expression")]
        if named or policy.get("kind") == "MutatingAdmissionPolicy":
            self._environment, self._composed = compose(named, self._plain)

    def check(self) -> Iterator[FieldError]:
        spec = self._spec
        conditions = spec.get("matchConditions") or ()
        yield from rules.match_conditions(
            conditions, "spec.matchConditions", lambda text: self._why(text, self._plain, ("bool",))
        )
        for i, variable in enumerate(self._variables):
            yield from self._variable(variable, f"spec.variables[{i}]")
        if self._policy.get("kind") == "ValidatingAdmissionPolicy":
            yield from self._validating()
        else:
            yield from self._mutating()

    def _why(self, text: str, environment: Environment, wanted: Sequence[Type], extension: Extension = PLAIN) -> str:
        if text.strip() in self._stored:
            return ""
        return expression(text, environment, wanted, extension).why

    def _variable(self, variable: Object, path: str) -> Iterator[FieldError]:
        name, text = variable.get("name", ""), variable.get("expression", "")
        if not name.strip():
            yield FieldError.required(path + ".name", "name is not specified")
        elif not _IDENTIFIER.fullmatch(name) or name in RESERVED:
            yield FieldError.invalid(path + ".name", name, "name is not a valid CEL identifier")
        if not text.strip():
            yield FieldError.required(path + ".expression", "expression is not specified")
        elif name and text.strip() not in self._stored and (why := self._composed[name].why):
            yield FieldError.invalid(path + ".expression", text, why)

    # Validations

    def _validating(self) -> Iterator[FieldError]:
        validations, annotations = self._spec.get("validations") or (), self._spec.get("auditAnnotations") or ()
        if not validations and not annotations:
            yield FieldError.required("spec.validations", _NO_RULES)
            yield FieldError.required("spec.auditAnnotations", _NO_RULES)
        for i, validation_ in enumerate(validations):
            yield from self._validation(validation_, f"spec.validations[{i}]")
        if len(annotations) > ANNOTATIONS_MAX:
            sentence = f"must not have more than {ANNOTATIONS_MAX} auditAnnotations"
            yield FieldError.invalid("spec.auditAnnotations", annotations, sentence)
        for i, annotation in enumerate(annotations):
            yield from self._annotation(annotation, f"spec.auditAnnotations[{i}]")
            if any(annotation.get("key") == other.get("key") for other in annotations[:i]):
                yield FieldError.duplicate(f"spec.auditAnnotations[{i}].key", annotation.get("key", ""))

    def _validation(self, given: Object, path: str) -> Iterator[FieldError]:
        text, message = given.get("expression", ""), given.get("message", "")
        if not text.strip():
            yield FieldError.required(path + ".expression", "expression is not specified")
        elif why := self._why(text, self._environment, ("bool",)):
            yield FieldError.invalid(path + ".expression", text, why)
        said = given.get("messageExpression", "")
        if said and not said.strip():
            yield FieldError.invalid(path + ".messageExpression", said, "must be non-empty if specified")
        elif said and (why := self._why(said, replace(self._environment, has_authorizer=False), ("string",))):
            yield FieldError.invalid(path + ".messageExpression", said, why)
        if message and not message.strip():
            yield FieldError.invalid(path + ".message", message, "message must be non-empty if specified")
        elif "\n" in message.strip() or "\r" in message.strip():
            yield FieldError.invalid(path + ".message", message, "message must not contain line breaks")
        if given.get("reason") is not None:
            yield from checks.one_of(given["reason"], _REASONS, path + ".reason")

    def _annotation(self, given: Object, path: str) -> Iterator[FieldError]:
        key, text, name = given.get("key", ""), given.get("valueExpression", ""), name_of(self._policy)
        if name:
            yield from checks.invalid_by(path + ".key", f"{name}/{key}", validation.label_key_errors)
        else:
            yield FieldError.invalid(path + ".key", key, "requires metadata.name be non-empty")
        if not text.strip():
            yield FieldError.required(path + ".valueExpression", "valueExpression is not specified")
        elif len(text.strip().encode()) > ANNOTATION_BYTES_MAX:
            sentence = f"must not exceed {ANNOTATION_BYTES_MAX} bytes in length"
            yield FieldError.required(path + ".valueExpression", sentence)
        elif why := self._why(text.strip(), self._environment, ("string", "null")):
            yield FieldError.invalid(path + ".valueExpression", text, why)

    # Mutations

    def _mutating(self) -> Iterator[FieldError]:
        mutations = self._spec.get("mutations") or ()
        if not mutations:
            yield FieldError.required("spec.mutations", "mutations must contain at least one item")
        for i, mutation in enumerate(mutations):
            yield from self._mutation(mutation, f"spec.mutations[{i}]")
        yield from checks.required_one_of(
            self._spec.get("reinvocationPolicy", ""), ("Never", "IfNeeded"), "spec.reinvocationPolicy"
        )

    def _mutation(self, mutation: Object, path: str) -> Iterator[FieldError]:
        patch_type = mutation.get("patchType", "")
        if patch_type not in _PATCHES:
            yield from checks.required_one_of(patch_type, tuple(_PATCHES), path + ".patchType")
            return
        field = _PATCHES[patch_type]
        if mutation.get(field) is None:
            yield FieldError.required(f"{path}.{field}", f"must be specified when patchType is {patch_type}")
        else:
            text = mutation[field].get("expression", "").strip()
            wanted = (OBJECT,) if patch_type == "ApplyConfiguration" else (("list", JSON_PATCH),)
            if not text:
                yield FieldError.required(f"{path}.{field}.expression")
            elif why := self._why(text, self._environment, wanted, PATCHES):
                yield FieldError.invalid(f"{path}.{field}.expression", text, why)
        for other in _PATCHES.values():
            if other != field and mutation.get(other) is not None:
                sentence = f"must not be specified when patchType is {patch_type}"
                yield FieldError.invalid(f"{path}.{other}", f"{{{other}}}", sentence)
