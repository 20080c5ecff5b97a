"""The expressions of admission: what policies and the match conditions of webhooks see, and what they may evaluate to.

    object, oldObject, request, namespaceObject, params, authorizer, authorizer.requestResource, variables.<name>

Source: API reference of ValidatingAdmissionPolicy and MutatingAdmissionPolicy,
https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from pybernetes.machinery.cel import types
from pybernetes.machinery.cel.checker import PLAIN, Extension
from pybernetes.machinery.cel.compiler import Program, compile_expression
from pybernetes.machinery.cel.declarations import parsed
from pybernetes.machinery.cel.library_authorizer import AUTHORIZER, RESOURCE_CHECK
from pybernetes.machinery.cel.rules import converter
from pybernetes.machinery.cel.types import DYN, Type
from pybernetes.machinery.cel.values import CelError, CompileError, Duration, Timestamp, Uint, type_name

# What the expressions of one policy for one set of parameters may cost together, and the match conditions: upstream's bounds.
POLICY_BUDGET: Final = 10_000_000
CONDITIONS_BUDGET: Final = 2_500_000

_TEXT: Final = {"type": "string"}
_TEXTS: Final = {"type": "array", "items": _TEXT}
_TEXT_MAP: Final = {"type": "object", "additionalProperties": _TEXT}
_TIME: Final = {"type": "string", "format": "date-time"}


def _record(**properties: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"type": "object", "properties": properties}


_KIND: Final = _record(group=_TEXT, version=_TEXT, kind=_TEXT)
_RESOURCE: Final = _record(group=_TEXT, version=_TEXT, resource=_TEXT)
_REQUEST: Final = _record(
    kind=_KIND, resource=_RESOURCE, subResource=_TEXT, requestKind=_KIND, requestResource=_RESOURCE,
    requestSubResource=_TEXT, name=_TEXT, namespace=_TEXT, operation=_TEXT, dryRun={"type": "boolean"}, options={},
    userInfo=_record(
        username=_TEXT, uid=_TEXT, groups=_TEXTS, extra={"type": "object", "additionalProperties": _TEXTS}
    ),
)  # fmt: skip
_NAMESPACE: Final = _record(
    metadata=_record(
        name=_TEXT, generateName=_TEXT, namespace=_TEXT, labels=_TEXT_MAP, annotations=_TEXT_MAP, UID=_TEXT,
        creationTimestamp=_TIME, deletionGracePeriodSeconds={"type": "integer"}, deletionTimestamp=_TIME,
        generation={"type": "integer"}, resourceVersion=_TEXT, finalizers=_TEXTS,
    ),
    spec=_record(finalizers=_TEXTS),
    status=_record(
        phase=_TEXT,
        conditions={
            "type": "array",
            "items": _record(status=_TEXT, type=_TEXT, lastTransitionTime=_TIME, message=_TEXT, reason=_TEXT),
        },
    ),
)  # fmt: skip
_REQUEST_TYPE: Final = types.of_schema(_REQUEST)
_NAMESPACE_TYPE: Final = types.of_schema(_NAMESPACE)


def namespace_value(namespace: Mapping[str, Any] | None) -> Any:
    """A Namespace as `namespaceObject` shows it: without what its bookkeeping needs."""
    if namespace is None:
        return None
    hidden = ("managedFields", "ownerReferences")
    metadata = {name: value for name, value in namespace["metadata"].items() if name not in hidden}
    shown = {"metadata": metadata, "spec": namespace.get("spec") or {}, "status": namespace.get("status") or {}}
    convert = converter(_NAMESPACE)
    return convert(shown) if convert is not None else shown


# Messages of mutations

_PATCH_FIELDS: Final = {"op": "string", "path": "string", "from": "string", "value": DYN}


def _any_field(_: str) -> Type:
    return DYN


OBJECT: Final[Type] = ("fields", "Object", _any_field)
JSON_PATCH: Final[Type] = ("fields", "JSONPatch", _PATCH_FIELDS.get)


def _messages(name: str) -> Type | None:
    if name == "JSONPatch":
        return JSON_PATCH
    return ("fields", name, _any_field) if name == "Object" or name.startswith("Object.") else None


def _escape_key(text: Any) -> str:
    if type(text) is not str:
        raise CelError("no such overload")
    return text.replace("~", "~0").replace("/", "~1")


PATCHES: Final = Extension(
    _messages,
    parsed("string_jsonpatch_escapeKey_string: jsonpatch.escapeKey(string) -> string"),
    {"jsonpatch.escapeKey": _escape_key},
)


def as_json(value: Any) -> Any:
    """What a mutation gives, as it goes into the object. Raises `CelError` for what JSON does not have."""
    if isinstance(value, dict):
        for key in value:
            if type(key) is not str:
                raise CelError(f"map key {key!r} is of type {type_name(key)}, not string")
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    if value is None or isinstance(value, str | bool | int | float):
        return int(value) if type(value) is Uint else value
    if isinstance(value, Timestamp | Duration):
        return str(value)
    if isinstance(value, bytes):
        return b64encode(value).decode()
    raise CelError(f"a value of type {type_name(value)} could not be marshalled to JSON")


# Compiling


@dataclass(frozen=True, slots=True)
class Environment:
    """Which variables there are, and what is known of their types."""

    has_params: bool = False
    has_authorizer: bool = True
    object: Type = DYN  # of `oldObject`, too
    params: Type = DYN
    composed: Mapping[str, Type] | None = None  # the fields of `variables`; None: there is no such variable

    def types(self) -> Mapping[str, Type]:
        found = {
            "object": self.object, "oldObject": self.object, "request": _REQUEST_TYPE, "namespaceObject": _NAMESPACE_TYPE
        }  # fmt: skip
        if self.has_params:
            found["params"] = self.params
        if self.has_authorizer:
            found |= {"authorizer": AUTHORIZER, "authorizer.requestResource": RESOURCE_CHECK}
        if self.composed is not None:
            found["variables"] = ("fields", "kubernetes.variables", self.composed.get)
        return found


class Uncompilable(Exception):
    """`str()` is upstream's sentence, as field errors have it."""


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression, compiled; or why it cannot be: that is said whenever it is to be evaluated."""

    text: str
    program: Program | None
    why: str = ""


def compiled(text: str, environment: Environment, wanted: Sequence[Type] = (), extension: Extension = PLAIN) -> Program:
    """`wanted`: what it may evaluate to; empty for anything. Raises `Uncompilable`."""
    try:
        program = compile_expression(text, environment.types(), extension)
    except CompileError as error:
        raise Uncompilable(f"compilation failed: {error}") from error
    if wanted and not _fits(program, wanted):
        shown = [_type_name(kind) for kind in wanted]
        choice = shown[0] if len(shown) == 1 else f"one of [{' '.join(shown)}]"
        raise Uncompilable(f"must evaluate to {choice} but got {_type_name(program.result)}")
    return program


def _type_name(kind: Type) -> str:
    return "null_type" if kind == "null" else types.shown(kind)


def _fits(program: Program, wanted: Sequence[Type]) -> bool:
    if program.result in wanted:
        return True
    if isinstance(program.result, tuple) and program.result == ("list", DYN):
        return any(isinstance(kind, tuple) and kind[0] == "list" for kind in wanted)
    return False


def expression(text: str, environment: Environment, wanted: Sequence[Type] = (), extension: Extension = PLAIN) -> Expression:
    """As `compiled`; failing is put off."""
    try:
        return Expression(text, compiled(text, environment, wanted, extension))
    except Uncompilable as error:
        return Expression(text, None, str(error))


def compose(variables: Iterable[Mapping[str, Any]], environment: Environment) -> tuple[Environment, Mapping[str, Expression]]:
    """`variables` of a policy: each may use those before it. Gives the environment with all of them."""
    found: dict[str, Expression] = {}
    known: dict[str, Type] = {}
    environment = replace(environment, composed=known)
    for variable in variables:
        made = found[variable["name"]] = expression(variable["expression"], environment)
        known[variable["name"]] = made.program.result if made.program is not None else DYN
    return environment, found


class Composed(dict[str, Any]):
    """The value of `variables`: each is evaluated when it is first read, and once. `spent` is what that cost."""

    def __init__(self, expressions: Mapping[str, Expression], activation: Mapping[str, Any]) -> None:
        super().__init__()
        self._expressions = expressions
        self._activation = activation  # holds this one, too: variables use variables
        self.spent = 0

    def __contains__(self, name: object) -> bool:
        return name in self._expressions

    def __missing__(self, name: str) -> Any:
        expression = self._expressions[name]
        if expression.program is None:
            raise CelError(f'composited variable "{name}" fails to compile: {expression.why}')
        try:
            value, cost = expression.program.evaluate(self._activation)
        except CelError as error:
            self.spent += error.cost
            raise CelError(f'composited variable "{name}" fails to evaluate: {error}') from error
        self.spent += cost
        self[name] = value
        return value
