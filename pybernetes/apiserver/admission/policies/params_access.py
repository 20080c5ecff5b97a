"""Who writes a policy must be allowed to read its parameters: else a policy would tell what its author may not see.

The registry calls `check_write` for each create and update of the group, after the mutating admission and before the kind's
validation.
"""

from __future__ import annotations

from pybernetes.apiserver.admission.versions import Versions
from pybernetes.apiserver.attributes import MASTERS, RequestInfo, User
from pybernetes.apiserver.authorization.interface import Authorizer, Decision
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery.errors import FieldError, invalid
from pybernetes.machinery.meta import GroupVersionKind, Object, Resource, name_of, parse_api_version
from pybernetes.machinery.resources import (
    MUTATING_ADMISSION_POLICIES,
    MUTATING_ADMISSION_POLICY_BINDINGS,
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_ADMISSION_POLICY_BINDINGS,
)

_POLICIES_OF = {
    MUTATING_ADMISSION_POLICY_BINDINGS: MUTATING_ADMISSION_POLICIES,
    VALIDATING_ADMISSION_POLICY_BINDINGS: VALIDATING_ADMISSION_POLICIES,
}


async def check_write(
    resource: Resource,
    obj: Object,
    old: Object | None,
    user: User,
    authorizer: Authorizer,
    reader: Reader,
    versions: Versions,
) -> None:
    """Raises `Invalid` where the user may not read what the policy or binding refers to."""
    if MASTERS in user.groups:
        return
    spec, before = obj.get("spec") or {}, (old or {}).get("spec") or {}
    if resource in _POLICIES_OF:
        reference = spec.get("paramRef")
        unchanged = (before.get("paramRef"), before.get("policyName")) == (reference, spec.get("policyName"))
        if not reference or unchanged:
            return
        policy = reader.get(_POLICIES_OF[resource], "", spec.get("policyName") or "")
        kind = policy["spec"].get("paramKind") if policy is not None else None
        info = _reading(kind, reference.get("name") or "", reference.get("namespace") or "", versions)
        field, why = "spec.paramRef", 'does not have "get" permission on the object referenced by paramRef'
    elif resource in _POLICIES_OF.values():
        kind = spec.get("paramKind")
        if not kind or kind == before.get("paramKind"):
            return
        info = _reading(kind, "*", "*", versions)
        shown = f"kind={kind.get('kind', '')}, apiVersion={kind.get('apiVersion', '')}"
        field, why = "spec.paramKind", f'must have "get" permission on all objects of the referenced paramKind ({shown})'
    else:
        return
    if (await authorizer.authorize(user, info)).decision is not Decision.ALLOW:
        error = FieldError.forbidden(field, f"user {_as_go(user)} {why}")
        raise invalid(resource.group, resource.kind, name_of(obj), [error])


def _reading(kind: Object | None, name: str, namespace: str, versions: Versions) -> RequestInfo:
    """Of a kind that is not known, everything is asked for."""
    group, version, plural = "*", "*", "*"
    if kind is not None:
        group, version = parse_api_version(kind.get("apiVersion") or "")
        found = versions.find(GroupVersionKind(group, version, kind.get("kind") or ""))
        plural = found.plural if found is not None else "*"
    return RequestInfo(
        verb="get", path="", is_resource=True, group=group, version=version, resource=plural, namespace=namespace, name=name
    )


def _as_go(user: User) -> str:
    """As Go prints a user."""
    extra = " ".join(f"{key}:[{' '.join(values)}]" for key, values in sorted(user.extra.items()))
    return f"&{{{user.name} {user.uid} [{' '.join(user.groups)}] map[{extra}]}}"
