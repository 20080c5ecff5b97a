"""Legacy service-account tokens: those in Secrets of the type `kubernetes.io/service-account-token`.

They bear no time. Such a token is good for as long as its Secret holds it and its service account exists, unless the Secret is
marked invalid (KEP-2799). A label on the Secret tells the day of its last use.
"""

from __future__ import annotations

import base64
import hmac
from typing import Final

from pybernetes.apiserver.attributes import User
from pybernetes.apiserver.authentication.interface import Identity
from pybernetes.apiserver.authentication.service_account import (
    REMEMBERED_MAX,
    account_groups,
    account_user_name,
    check_audiences,
    verified_payload,
)
from pybernetes.apiserver.authentication.unverified import unverified_issuer
from pybernetes.apiserver.registry.strategy import Reader, Writer
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.errors import StatusError, Unauthorized
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object, is_being_deleted, labels_of, name_of, namespace_of, uid_of
from pybernetes.machinery.resources import SECRETS, SERVICE_ACCOUNTS
from pybernetes.machinery.signing_keys import PublicKey

log = logger("authentication")

ISSUER: Final = "kubernetes/serviceaccount"
CLAIM: Final = "kubernetes.io/serviceaccount/"
LAST_USED: Final = "kubernetes.io/legacy-token-last-used"
INVALID_SINCE: Final = "kubernetes.io/legacy-token-invalid-since"
_CLAIMS: Final = (
    ("namespace", "namespace"), ("secretName", "secret.name"), ("serviceAccountName", "service-account.name"),
    ("serviceAccountUID", "service-account.uid"),
)  # fmt: skip


class LegacyTokens:
    def __init__(
        self,
        keys: dict[str, PublicKey],
        *,
        lookup: bool,
        audiences: tuple[str, ...],
        reader: Reader,
        writer: Writer,
        clock: Clock,
    ) -> None:
        """`audiences`: the API server's, for which all such tokens are."""
        self._keys = keys
        self._lookup = lookup
        self._audiences = audiences
        self._reader = reader
        self._writer = writer
        self._clock = clock
        self._marking: set[tuple[str, str]] = set()
        self._verified: dict[str, Object] = {}

    async def authenticate_token(self, token: str, audiences: tuple[str, ...]) -> Identity | None:
        payload = self._verified.get(token)
        if payload is None:
            if unverified_issuer(token) != ISSUER:
                return None
            payload = verified_payload(token, self._keys)
            if len(self._verified) >= REMEMBERED_MAX:
                self._verified.clear()
            self._verified[token] = payload
        meant = check_audiences(self._audiences, audiences)
        namespace, secret, name, uid = _checked_claims(payload)
        if self._lookup:
            held = self._checked_secret(token, namespace, secret, name)
            self._check_account(namespace, name, uid)
            await self._mark_used(held)
        return Identity(User(account_user_name(namespace, name), uid, account_groups(namespace)), meant)

    def _checked_secret(self, token: str, namespace: str, name: str, account: str) -> Object:
        secret = self._reader.get(SECRETS, namespace, name)
        if secret is None or is_being_deleted(secret):
            raise Unauthorized("Token has been invalidated")
        held = base64.b64decode((secret.get("data") or {}).get("token", ""))
        if not hmac.compare_digest(held, token.encode()):
            raise Unauthorized("Token does not match server's copy")
        if labels_of(secret).get(INVALID_SINCE):
            raise Unauthorized(
                f"the token in secret {namespace}/{name} for service account {namespace}/{account} has been marked invalid. "
                "Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the "
                f"'{INVALID_SINCE}' label from the secret to temporarily allow use of this token"
            )
        return secret

    async def _mark_used(self, secret: Object) -> None:
        """Once a day; that it fails is no reason to refuse the token."""
        today, key = f"{self._clock.now():%Y-%m-%d}", (namespace_of(secret), name_of(secret))
        labels = labels_of(secret)
        if labels.get(LAST_USED) == today or key in self._marking:
            return
        self._marking.add(key)
        try:
            metadata = {**secret["metadata"], "labels": {**labels, LAST_USED: today}}
            await self._writer.update(SECRETS, {**secret, "metadata": metadata})
        except StatusError as error:
            log.warning("Cannot note the use of a legacy token", secret="/".join(key), err=error.message)
        finally:
            self._marking.discard(key)

    def _check_account(self, namespace: str, name: str, uid: str) -> None:
        account = self._reader.get(SERVICE_ACCOUNTS, namespace, name)
        if account is None:
            raise Unauthorized(f'serviceaccounts "{name}" not found')
        if is_being_deleted(account):
            raise Unauthorized(f"ServiceAccount {namespace}/{name} has been deleted")
        if uid_of(account) != uid:
            raise Unauthorized(f"ServiceAccount UID ({uid_of(account)}) does not match claim ({uid})")


def _checked_claims(payload: Object) -> tuple[str, str, str, str]:
    """Namespace, Secret, account and its uid. Raises `Unauthorized`."""
    if not payload.get("sub"):
        raise Unauthorized("sub claim is missing")
    found = []
    for shown, claim in _CLAIMS:
        value = payload.get(CLAIM + claim)
        if not isinstance(value, str) or not value:
            raise Unauthorized(f"{shown} claim is missing")
        found.append(value)
    namespace, secret, name, uid = found
    if payload["sub"] != account_user_name(namespace, name):
        raise Unauthorized("sub claim is invalid")
    return namespace, secret, name, uid
