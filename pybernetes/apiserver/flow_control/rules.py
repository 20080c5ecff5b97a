"""Which requests a FlowSchema means. Pure.

Contract: API reference, FlowSchema v1 (`PolicyRulesWithSubjects`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pybernetes.apiserver.attributes import RequestInfo, User
from pybernetes.machinery.meta import Object

_ALL: Final = "*"
_SERVICE_ACCOUNT: Final = "system:serviceaccount:"


def matches(spec: Object, user: User, info: RequestInfo) -> bool:
    """Whether one of the rules of a FlowSchema's spec names both the user and the request."""
    return any(
        any(_is_subject(subject, user) for subject in rule.get("subjects") or ()) and _is_request(rule, info)
        for rule in spec.get("rules") or ()
    )


def names_namespaces(spec: Object) -> bool:
    """Whether it matters in which namespace a request is, beyond whether it is in one."""
    return any(
        _ALL not in (resource.get("namespaces") or (_ALL,))
        for rule in spec.get("rules") or ()
        for resource in rule.get("resourceRules") or ()
    )


def _is_subject(subject: Object, user: User) -> bool:
    kind = subject.get("kind")
    if kind == "User":
        name = (subject.get("user") or {}).get("name")
        return name in (_ALL, user.name)
    if kind == "Group":
        name = (subject.get("group") or {}).get("name")
        return name == _ALL or name in user.groups
    if kind == "ServiceAccount" and user.name.startswith(_SERVICE_ACCOUNT):
        account = subject.get("serviceAccount") or {}
        namespace, _, name = user.name.removeprefix(_SERVICE_ACCOUNT).partition(":")
        return account.get("namespace") == namespace and account.get("name") in (_ALL, name)
    return False


def _is_request(rule: Object, info: RequestInfo) -> bool:
    if info.is_resource:
        return any(_is_resource(resource, info) for resource in rule.get("resourceRules") or ())
    return any(
        _has(one.get("verbs"), info.verb) and any(_is_path(url, info.path) for url in one.get("nonResourceURLs") or ())
        for one in rule.get("nonResourceRules") or ()
    )


def _is_resource(rule: Object, info: RequestInfo) -> bool:
    resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    return (
        _has(rule.get("verbs"), info.verb)
        and _has(rule.get("apiGroups"), info.group)
        and _has(rule.get("resources"), resource)
        and (_has(rule.get("namespaces"), info.namespace) if info.namespace else bool(rule.get("clusterScope")))
    )


def _has(names: Iterable[str] | None, name: str) -> bool:
    found = tuple(names or ())
    return name in found or _ALL in found


def _is_path(url: str, path: str) -> bool:
    return url == path or (url.endswith(_ALL) and path.startswith(url.rstrip(_ALL)))
