"""Nobody grants what they do not hold: the checks on writes of roles and bindings.

The registry calls `check_write` for each create and update of the four RBAC kinds, after the mutating admission and before the
kind's validation.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping
"""

from __future__ import annotations

from pybernetes.apiserver.attributes import MASTERS, RequestInfo, User
from pybernetes.apiserver.authorization.interface import Authorizer, Decision
from pybernetes.apiserver.authorization.rbac import RBAC
from pybernetes.apiserver.authorization.rules import compacted, covers, described, quoted
from pybernetes.apiserver.authorization.union import ALL_RULES
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery import errors
from pybernetes.machinery.meta import Object, Resource, name_of, namespace_of
from pybernetes.machinery.resources import CLUSTER_ROLES, ROLE_BINDINGS, ROLES

# Changes of these alone grant nothing: the garbage collector makes them without holding the role.
_GC_FIELDS = ("ownerReferences", "finalizers")
_BOOKKEEPING = ("resourceVersion", "managedFields", "generation", "selfLink")


async def check_write(
    resource: Resource, obj: Object, old: Object | None, user: User, authorizer: Authorizer, reader: Reader
) -> None:
    """Raises `Forbidden` where the write would grant more than `user` holds (`NotFound` for a binding to no role)."""
    if MASTERS in user.groups or (old is not None and _same_but_for_collection(obj, old)):
        return
    name, namespace = name_of(obj), namespace_of(obj)
    if resource in (ROLES, CLUSTER_ROLES):
        # A create does not name its object in the request, so that nobody is allowed it by name.
        if await _authorized(resource.plural, "escalate", "" if old is None else name, namespace, user, authorizer):
            return
        granted = _rules(obj)
    else:
        reference = obj["roleRef"]
        plural = ROLES.plural if reference["kind"] == "Role" else CLUSTER_ROLES.plural
        if await _authorized(plural, "bind", reference["name"], namespace, user, authorizer):
            return
        granted = _bound_rules(resource, obj, reader)
    owned = RBAC(reader).rules_for(user, namespace)
    missing = covers(owned.rules, granted)
    if missing:
        raise errors.forbidden(resource.group, resource.plural, name, _refusal(user, missing, owned.error))
    if (_aggregates(obj) or (old is not None and _aggregates(old))) and covers(owned.rules, ALL_RULES):
        why = "must have cluster-admin privileges to use the aggregationRule"
        raise errors.forbidden(resource.group, resource.plural, name, why)


def _aggregates(role: Object) -> bool:
    """It may gather anything, and keep others from taking it away."""
    return bool((role.get("aggregationRule") or {}).get("clusterRoleSelectors"))


async def _authorized(plural: str, verb: str, name: str, namespace: str, user: User, authorizer: Authorizer) -> bool:
    info = RequestInfo(
        verb=verb, path="", is_resource=True, group=ROLES.group, version=ROLES.version, resource=plural,
        namespace=namespace, name=name,
    )  # fmt: skip
    return (await authorizer.authorize(user, info)).decision is Decision.ALLOW


def _bound_rules(resource: Resource, binding: Object, reader: Reader) -> list[Object]:
    reference = binding["roleRef"]
    if reference["kind"] == "Role" and resource == ROLE_BINDINGS:
        role = reader.get(ROLES, namespace_of(binding), reference["name"])
    else:
        role = reader.get(CLUSTER_ROLES, "", reference["name"])
    if role is None:
        # The plural is the binding's, as upstream answers.
        raise errors.not_found(resource.group, resource.plural, reference["name"])
    return _rules(role)


def _rules(role: Object) -> list[Object]:
    return role.get("rules") or []


def _same_but_for_collection(obj: Object, old: Object) -> bool:
    return _without_collection(obj) == _without_collection(old)


def _without_collection(obj: Object) -> Object:
    metadata = {key: value for key, value in obj["metadata"].items() if key not in (*_GC_FIELDS, *_BOOKKEEPING)}
    return {**obj, "metadata": metadata}


def _refusal(user: User, missing: list[Object], problem: str) -> str:
    shown = "\n".join(sorted({described(rule) for rule in compacted(missing)}))
    who = f'user "{user.name}" (groups={quoted(user.groups)})'
    text = f"{who} is attempting to grant RBAC permissions not currently held:\n{shown}"
    return f"{text}; resolution errors: [{problem}]" if problem else text
