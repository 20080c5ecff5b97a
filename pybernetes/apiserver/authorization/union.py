"""The chain of authorizers, and the sentence in which it says no."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pybernetes.apiserver.attributes import MASTERS, RequestInfo, User
from pybernetes.apiserver.authorization.interface import Authorizer, Decision, Verdict
from pybernetes.apiserver.authorization.node import NodeAuthorizer, node_identity
from pybernetes.apiserver.authorization.rbac import RBAC
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery import errors
from pybernetes.machinery.errors import Forbidden
from pybernetes.machinery.http.messages import Response
from pybernetes.machinery.meta import Object

_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})

ALL_RULES: tuple[Object, ...] = (
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
)


class Masters:
    """Members of system:masters may do all, whatever RBAC says: so that an administrator cannot be locked out."""

    async def authorize(self, user: User, info: RequestInfo) -> Verdict:
        return Verdict(Decision.ALLOW if MASTERS in user.groups else Decision.NO_OPINION)


class AlwaysAllow:
    async def authorize(self, user: User, info: RequestInfo) -> Verdict:
        return Verdict(Decision.ALLOW)


class AlwaysDeny:
    async def authorize(self, user: User, info: RequestInfo) -> Verdict:
        return Verdict(Decision.NO_OPINION, "Everything is forbidden.")


class Union:
    """Asks each in turn until one allows or denies; their reasons are joined where none does."""

    def __init__(self, authorizers: Mapping[str, Authorizer]) -> None:
        self._authorizers = dict(authorizers)

    async def authorize(self, user: User, info: RequestInfo) -> Verdict:
        reasons, problems = [], []
        for authorizer in self._authorizers.values():
            verdict = await authorizer.authorize(user, info)
            if verdict.decision is not Decision.NO_OPINION:
                return verdict
            if verdict.reason:
                reasons.append(verdict.reason)
            if verdict.error:
                problems.append(verdict.error)
        return Verdict(Decision.NO_OPINION, "\n".join(reasons), errors.aggregate(problems))

    def rules_for(self, user: User, namespace: str) -> tuple[list[Object], bool, str]:
        """What the user may do in a namespace: (rules, is that less than all?, what could not be resolved)."""
        rules: list[Object] = []
        problems: list[str] = []
        incomplete = False
        for name, authorizer in self._authorizers.items():
            if isinstance(authorizer, RBAC):
                found, problem = authorizer.rules_for(user, namespace)
                rules += found
                problems += [problem] if problem else []
            elif isinstance(authorizer, AlwaysAllow):
                rules += ALL_RULES
            elif isinstance(authorizer, NodeAuthorizer):
                if node_identity(user) is not None:
                    incomplete = True
                    problems.append("node authorizer does not support user rule resolution")
            elif not isinstance(authorizer, Masters | AlwaysDeny):
                incomplete = True
                problems.append(f"{name} authorizer does not support user rule resolution")
        return rules, incomplete, errors.aggregate(problems)


def build(modes: Sequence[str], reader: Reader) -> Union:
    """The authorizer for `--authorization-mode` (AlwaysAllow, AlwaysDeny, RBAC, Node). Raises ValueError for another mode."""
    authorizers: dict[str, Authorizer] = {"": Masters()}
    for mode in modes:
        if mode == "RBAC":
            authorizers[mode] = RBAC(reader)
        elif mode == "Node":
            authorizers[mode] = NodeAuthorizer(reader)
        elif mode == "AlwaysAllow":
            authorizers[mode] = AlwaysAllow()
        elif mode == "AlwaysDeny":
            authorizers[mode] = AlwaysDeny()
        else:
            raise ValueError(f"authorization mode {mode!r} is not one of AlwaysAllow, AlwaysDeny, Node, RBAC")
    return Union(authorizers)


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
