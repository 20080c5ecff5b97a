"""Token cleaner: bootstrap tokens go when they expire.

Contract: https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime

from pybernetes.controllers.actions import Action, LookAgain, delete
from pybernetes.controllers.controller import Caches, Context, Controller, Look, Wake
from pybernetes.machinery.clock import parse_time
from pybernetes.machinery.meta import Object, key_of, namespace_of, split_key
from pybernetes.machinery.resources import SECRETS

TYPE = "bootstrap.kubernetes.io/token"
NAMESPACE = "kube-system"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a decision may depend on."""

    secret: Object
    now: datetime


def reconcile(seen: Snapshot) -> list[Action]:
    expires = expiration(seen.secret, seen.now)
    if expires is None:
        return []
    if expires <= seen.now:
        return [delete(SECRETS, seen.secret)]
    return [LookAgain((expires - seen.now).total_seconds())]


def expiration(secret: Object, now: datetime) -> datetime | None:
    """When the token expires; None for never. A malformed time counts as past, as it does for authentication."""
    encoded = (secret.get("data") or {}).get("expiration")
    if not encoded:
        return None
    try:
        return parse_time(base64.b64decode(encoded, validate=True).decode())
    except (ValueError, binascii.Error):
        return now


def observe(look: Look, key: str) -> Snapshot | None:
    secret = look.caches[SECRETS].get(*split_key(key))
    return Snapshot(secret, look.now) if secret is not None and secret.get("type") == TYPE else None


def _tokens(caches: Caches, secret: Object) -> tuple[str, ...]:
    return (key_of(secret),) if secret.get("type") == TYPE and namespace_of(secret) == NAMESPACE else ()


def controller(context: Context) -> Controller[Snapshot]:
    return Controller(
        name="token-cleaner-controller", wakes_on=(Wake(SECRETS, _tokens),), observe=observe, decide=reconcile, workers=1
    )
