"""The chain of authorizers, and the sentence in which it says no."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pybernetes.apiserver.attributes import MASTERS, RequestInfo, User
from pybernetes.apiserver.authorization.interface import Authorizer, Decision, RuleResolver, Rules, Verdict
from pybernetes.apiserver.authorization.metrics import Metrics
from pybernetes.machinery import errors
from pybernetes.machinery.errors import Forbidden
from pybernetes.machinery.http.messages import Response
from pybernetes.machinery.meta import Object

_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})

ALLOW = Verdict(Decision.ALLOW)
ALL_RULES: tuple[Object, ...] = (
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
)


class AlwaysAllow:
    async def authorize(self, user: User, info: RequestInfo) -> Verdict:
        return ALLOW

    def rules_for(self, user: User, namespace: str) -> Rules:
        return Rules(ALL_RULES)


class AlwaysDeny:
    async def authorize(self, user: User, info: RequestInfo) -> Verdict:
        return Verdict(Decision.NO_OPINION, "Everything is forbidden.")

    def rules_for(self, user: User, namespace: str) -> Rules:
        return Rules(())


class Member(NamedTuple):
    """One of the chain, by its type and name in the configuration."""

    authorizer: Authorizer
    type: str
    name: str


class Union:
    """Asks each in turn until one allows or denies; their reasons are joined where none does.

    Members of system:masters may do all, whatever the others say: so that an administrator cannot be locked out.
    """

    def __init__(self, members: Sequence[Member], metrics: Metrics | None = None) -> None:
        self._members = tuple(members)
        self._metrics = metrics or Metrics()

    async def authorize(self, user: User, info: RequestInfo) -> Verdict:
        if MASTERS in user.groups:
            return ALLOW
        reasons, problems = [], []
        for authorizer, kind, name in self._members:
            verdict = await authorizer.authorize(user, info)
            decision, reason, problem = verdict
            if decision is not Decision.NO_OPINION:
                self._metrics.decided(decision, name, kind)
                return verdict
            if reason:
                reasons.append(reason)
            if problem:
                problems.append(problem)
        return Verdict(Decision.NO_OPINION, "\n".join(reasons), errors.aggregate(problems))

    def rules_for(self, user: User, namespace: str) -> Rules:
        """What the user may do in a namespace, as far as it can be listed."""
        found = [
            authorizer.rules_for(user, namespace) for authorizer, _, _ in self._members if isinstance(authorizer, RuleResolver)
        ]
        rules = [rule for part in found for rule in part.rules]
        problems = [part.error for part in found if part.error]
        return Rules(rules, any(part.incomplete for part in found), errors.aggregate(problems))


def forbidden(user: User, info: RequestInfo, reason: str = "") -> Forbidden:
    """Upstream's answer to a request that no authorizer allowed."""
    why = refusal(user, info)
    if reason:
        why = f"{why}: {reason}"
    if info.is_resource:
        return errors.forbidden(info.group, info.resource, info.name, why)
    error = Forbidden(f"forbidden: {why}")
    error.status["details"] = {}  # upstream says them empty here
    return error


def undecided(target: str, error: str) -> Response:
    """Upstream's answer where an authorizer failed that might have allowed the request. `target` is path and query."""
    shown = f'Internal Server Error: "{target}": {error}\n'.translate(_HTML)
    return Response(500, {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}, shown.encode())


def refusal(user: User, info: RequestInfo) -> str:
    """`User "x" cannot list resource "pods" in API group "" in the namespace "default"`."""
    if not info.is_resource:
        return f'User "{user.name}" cannot {info.verb} path "{info.path}"'
    resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    where = f'in the namespace "{info.namespace}"' if info.namespace else "at the cluster scope"
    return f'User "{user.name}" cannot {info.verb} resource "{resource}" in API group "{info.group}" {where}'
