"""ServiceAccount controller: every namespace has a ServiceAccount `default`.

Contract: https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/
"""

from __future__ import annotations

from dataclasses import dataclass

from pybernetes.controllers.actions import Action, Create
from pybernetes.controllers.controller import Caches, Context, Controller, Look, Wake, itself
from pybernetes.machinery.meta import Object, is_being_deleted, name_of, namespace_of
from pybernetes.machinery.resources import NAMESPACES, SERVICE_ACCOUNTS

NAME = "default"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a decision may depend on."""

    namespace: Object
    account: Object | None


def reconcile(seen: Snapshot) -> list[Action]:
    if seen.account is not None or is_being_deleted(seen.namespace):
        return []
    return [Create(SERVICE_ACCOUNTS, {"metadata": {"name": NAME, "namespace": name_of(seen.namespace)}})]


def observe(look: Look, key: str) -> Snapshot | None:
    namespace = look.caches[NAMESPACES].get("", key)
    if namespace is None:
        return None
    return Snapshot(namespace, look.caches[SERVICE_ACCOUNTS].get(key, NAME))


def _namespace_of_default(caches: Caches, account: Object) -> tuple[str, ...]:
    return (namespace_of(account),) if name_of(account) == NAME else ()


def controller(context: Context) -> Controller[Snapshot]:
    return Controller(
        name="serviceaccount-controller",
        source="service-account-controller",
        wakes_on=(itself(NAMESPACES), Wake(SERVICE_ACCOUNTS, _namespace_of_default)),
        observe=observe,
        decide=reconcile,
    )
