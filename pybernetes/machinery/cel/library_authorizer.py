"""`authorizer`: what somebody may do, asked by an expression.

    authorizer.group('apps').resource('deployments').namespace('default').check('create').allowed()

Verdicts come from outside: `Authorizer.ask` is given a `Question`. It may wait for the answer (`machinery/turns`).

Source: https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-authorizer-library
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from pybernetes.machinery import validation
from pybernetes.machinery.cel.values import CelError, no_overload

AUTHORIZER: Final = "kubernetes.authorization.Authorizer"
RESOURCE_CHECK: Final = "kubernetes.authorization.ResourceCheck"
_PATH_CHECK: Final = "kubernetes.authorization.PathCheck"
_GROUP_CHECK: Final = "kubernetes.authorization.GroupCheck"
_DECISION: Final = "kubernetes.authorization.Decision"


@dataclass(frozen=True, slots=True)
class Question:
    """May somebody do this? `path` is for what is no resource. Selectors are as they were written."""

    service_account: tuple[str, str] | None = None  # (namespace, name); None: whoever sent the request
    verb: str = ""
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    field_selector: str = ""
    label_selector: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """`error`: why nobody could say."""

    allowed: bool
    reason: str = ""
    error: str = ""
    cel_type = _DECISION


Ask = Callable[[Question], Decision]


@dataclass(frozen=True, slots=True)
class Authorizer:
    ask: Ask
    service_account: tuple[str, str] | None = None
    cel_type = AUTHORIZER


@dataclass(frozen=True, slots=True)
class PathCheck:
    ask: Ask
    question: Question
    cel_type = _PATH_CHECK


@dataclass(frozen=True, slots=True)
class GroupCheck:
    ask: Ask
    question: Question
    cel_type = _GROUP_CHECK


@dataclass(frozen=True, slots=True)
class ResourceCheck:
    ask: Ask
    question: Question
    cel_type = RESOURCE_CHECK


T = TypeVar("T")


def _as(kind: type[T], value: Any) -> T:
    if type(value) is not kind:
        raise no_overload()
    return value


def _text(value: Any) -> str:
    return _as(str, value)


def _path(value: Any, path: Any) -> PathCheck:
    authorizer = _as(Authorizer, value)
    if not _text(path).strip():
        raise CelError("path must not be empty")
    return PathCheck(authorizer.ask, Question(authorizer.service_account, path=path))


def _group(value: Any, group: Any) -> GroupCheck:
    authorizer = _as(Authorizer, value)
    return GroupCheck(authorizer.ask, Question(authorizer.service_account, group=_text(group)))


def _service_account(value: Any, namespace: Any, name: Any) -> Authorizer:
    authorizer = _as(Authorizer, value)
    if validation.dns_1123_subdomain_errors(_text(name)):
        raise CelError("Invalid service account name")
    if validation.dns_1123_label_errors(_text(namespace)):
        raise CelError("Invalid service account namespace")
    return Authorizer(authorizer.ask, (namespace, name))


def _resource(value: Any, resource: Any) -> ResourceCheck:
    check = _as(GroupCheck, value)
    if not _text(resource).strip():
        raise CelError("resource must not be empty")
    return ResourceCheck(check.ask, replace(check.question, resource=resource))


def _narrowed(field: str) -> Callable[[Any, Any], ResourceCheck]:
    def narrow(value: Any, text: Any) -> ResourceCheck:
        check = _as(ResourceCheck, value)
        change: dict[str, Any] = {field: _text(text)}
        return ResourceCheck(check.ask, replace(check.question, **change))

    return narrow


def _check(value: Any, verb: Any) -> Decision:
    if type(value) is not ResourceCheck and type(value) is not PathCheck:
        raise no_overload()
    return value.ask(replace(value.question, verb=_text(verb)))


def _of_decision(read: Callable[[Decision], Any]) -> Callable[[Any], Any]:
    return lambda value: read(_as(Decision, value))


METHODS: Final[Mapping[str, Callable[..., Any]]] = {
    "path": _path, "group": _group, "serviceAccount": _service_account, "resource": _resource,
    "subresource": _narrowed("subresource"), "namespace": _narrowed("namespace"), "name": _narrowed("name"),
    "fieldSelector": _narrowed("field_selector"), "labelSelector": _narrowed("label_selector"), "check": _check,
    "allowed": _of_decision(lambda decision: decision.allowed), "reason": _of_decision(lambda decision: decision.reason),
    "errored": _of_decision(lambda decision: bool(decision.error)), "error": _of_decision(lambda decision: decision.error),
}  # fmt: skip
