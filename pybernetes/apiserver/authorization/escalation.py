"""Nobody grants what they do not hold: the checks on writes of roles and bindings.

The registry calls `check_write` for each create and update of the four RBAC kinds, after validation, before the store.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping
"""

from __future__ import annotations

from pybernetes.apiserver.attributes import User
from pybernetes.apiserver.authorization.interface import Authorizer
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery.meta import Object, Resource


async def check_write(
    resource: Resource, obj: Object, old: Object | None, user: User, authorizer: Authorizer, reader: Reader
) -> None:
    """Raises `Forbidden` where the write would grant more than `user` holds (`NotFound` for a binding to no role)."""
    raise NotImplementedError
