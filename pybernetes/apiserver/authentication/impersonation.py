"""Acting as someone else: the Impersonate-* headers.

Two ways may allow it. The constrained one (KEP-5284, beta in 1.36) asks whether the requester may do *this* while being someone
else (`impersonate-on:<mode>:<verb>` on the request's target) and whether it may be that someone (`impersonate:<mode>`); the old
one asks only the latter (`impersonate`). The modes that fit the wanted user are tried in order, the old way last; where none
allows it, the first refusal is the answer, which is why it often speaks of `impersonate-on`.

Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from urllib.parse import unquote

from pybernetes.apiserver.attributes import ALL_AUTHENTICATED, ALL_UNAUTHENTICATED, ANONYMOUS, MASTERS, RequestInfo, User
from pybernetes.apiserver.authorization import forbidden
from pybernetes.apiserver.authorization.interface import Authorizer, Decision
from pybernetes.apiserver.authorization.node import NODE_PREFIX, NODES_GROUP
from pybernetes.machinery.errors import BadRequest, Forbidden
from pybernetes.machinery.http.messages import lines_of

USER, UID, GROUP, EXTRA = "impersonate-user", "impersonate-uid", "impersonate-group", "impersonate-extra-"
AUTHENTICATION_GROUP = "authentication.k8s.io"
ACCOUNT_PREFIX = "system:serviceaccount:"
NODE_NAME = "authentication.kubernetes.io/node-name"


async def impersonate(user: User, headers: Mapping[str, str], info: RequestInfo, authorizer: Authorizer) -> tuple[User, str]:
    """The user to serve the request for (`user` itself where no Impersonate-* header is), and the constrained verb that allows
    it, if one does.

    Raises `BadRequest` for headers that miss the user, `Forbidden` where `user` may not.
    """
    wanted = wanted_user(headers)
    if wanted is None:
        return user, ""
    refusal: Forbidden | None = None
    for mode, applies in _MODES:
        if not applies(wanted, user):
            continue
        try:
            if mode:
                await _check(authorizer, user, replace(info, verb=f"impersonate-on:{mode}:{info.verb}"))
            for asked, why in _identity_checks(mode, wanted):
                if why:
                    raise forbidden(user, asked, why)
                await _check(authorizer, user, asked)
        except Forbidden as error:
            refusal = refusal or error
            continue
        return _completed(wanted, constrained=bool(mode)), f"impersonate:{mode}" if mode else ""
    assert refusal is not None  # the old way always applies
    raise refusal


def wanted_user(headers: Mapping[str, str]) -> User | None:
    """The user that the headers ask for, as they say it; None if there are none. Raises `BadRequest`."""
    extra: dict[str, tuple[str, ...]] = {}
    for header, value in headers.items():
        if header.startswith(EXTRA):
            extra[unquote(header.removeprefix(EXTRA)).lower()] = _values(value)
    name, uid = (lines_of(headers.get(header, ""))[0] for header in (USER, UID))
    wanted = User(name=name, uid=uid, groups=_values(headers.get(GROUP, "")), extra=extra)
    if wanted.name:
        return wanted
    if wanted.uid or wanted.groups or wanted.extra:
        raise BadRequest(f"requested {_in_go(wanted)} without impersonating a user name")
    return None


def _values(header: str) -> tuple[str, ...]:
    """Each line is one: names of groups may hold commas."""
    return tuple(lines_of(header)) if header else ()


def _only_named(wanted: User) -> bool:
    return not (wanted.uid or wanted.groups or wanted.extra)


def _is_node(wanted: User) -> bool:
    return wanted.name.startswith(NODE_PREFIX) and len(wanted.name) > len(NODE_PREFIX)


def _account(user: User) -> tuple[str, str] | None:
    if not user.name.startswith(ACCOUNT_PREFIX):
        return None
    namespace, _, name = user.name.removeprefix(ACCOUNT_PREFIX).partition(":")
    return (namespace, name) if namespace and name else None


def _is_own_node(wanted: User, requester: User) -> bool:
    return (
        _is_node(wanted)
        and _account(requester) is not None
        and tuple(requester.extra.get(NODE_NAME, ())) == (wanted.name.removeprefix(NODE_PREFIX),)
    )


# The ways, in the order in which they are tried; "" is the old one.
_MODES: tuple[tuple[str, Callable[[User, User], bool]], ...] = (
    ("associated-node", lambda wanted, requester: _only_named(wanted) and _is_own_node(wanted, requester)),
    ("arbitrary-node", lambda wanted, _: _only_named(wanted) and _is_node(wanted)),
    ("serviceaccount", lambda wanted, _: _only_named(wanted) and _account(wanted) is not None),
    ("user-info", lambda wanted, _: not _is_node(wanted) and _account(wanted) is None),
    ("", lambda wanted, requester: True),
)


def _identity_checks(mode: str, wanted: User) -> Iterator[tuple[RequestInfo, str]]:
    """What must be allowed to be that user, and (second) why something may never be."""
    verb = f"impersonate:{mode}" if mode else "impersonate"
    group = AUTHENTICATION_GROUP if mode else ""

    def asked(resource: str, name: str, *, group: str = group, namespace: str = "", subresource: str = "") -> RequestInfo:
        return RequestInfo(
            verb=verb, path="", is_resource=True, group=group, version="v1", resource=resource, subresource=subresource,
            namespace=namespace, name=name,
        )  # fmt: skip

    account = _account(wanted)
    if account is not None:
        yield asked("serviceaccounts", account[1], namespace=account[0]), ""
    elif mode and _is_node(wanted):
        # One grant is good for the node of whichever pod asks: so no name.
        name = "*" if mode == "associated-node" else wanted.name.removeprefix(NODE_PREFIX)
        yield asked("nodes", name), ""
    else:
        yield asked("users", wanted.name), ""
    if wanted.uid:
        yield asked("uids", wanted.uid, group=AUTHENTICATION_GROUP), ""
    for name in wanted.groups:
        never = "impersonating the system:masters group is not allowed" if mode and name == MASTERS else ""
        yield asked("groups", name), never
    for key, values in wanted.extra.items():
        for value in values:
            yield asked("userextras", value, group=AUTHENTICATION_GROUP, subresource=key), ""


async def _check(authorizer: Authorizer, user: User, info: RequestInfo) -> None:
    verdict = await authorizer.authorize(user, info)
    if verdict.decision is not Decision.ALLOW:
        raise forbidden(user, info, verdict.reason)


def _completed(wanted: User, *, constrained: bool) -> User:
    """The user with the groups that go without saying."""
    account = _account(wanted)
    groups = wanted.groups
    if constrained and _is_node(wanted):
        groups = (NODES_GROUP,)
    elif account is not None and not groups:
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{account[0]}")
    implied = ALL_UNAUTHENTICATED if wanted.name == ANONYMOUS else ALL_AUTHENTICATED
    if implied not in groups and ALL_UNAUTHENTICATED not in groups:
        groups = (*groups, implied)
    return replace(wanted, groups=groups)


def _in_go(user: User) -> str:
    """The user as Go's %#v prints it: upstream's message has it so."""
    groups = "[]string{" + ", ".join(map(_quoted, user.groups)) + "}" if user.groups else "[]string(nil)"
    extra = "map[string][]string(nil)"
    if user.extra:
        entries = (
            f"{_quoted(key)}:[]string{{{', '.join(map(_quoted, values))}}}" for key, values in sorted(user.extra.items())
        )
        extra = "map[string][]string{" + ", ".join(entries) + "}"
    name, uid = _quoted(user.name), _quoted(user.uid)
    return f"&user.DefaultInfo{{Name:{name}, UID:{uid}, Groups:{groups}, Extra:{extra}}}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
