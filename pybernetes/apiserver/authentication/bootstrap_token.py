"""Bootstrap tokens: what a new node shows to ask for its first certificate. Each is a Secret in kube-system.

Source: https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from datetime import datetime

from pybernetes.apiserver.attributes import User
from pybernetes.apiserver.authentication.interface import Identity
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery.clock import Clock, parse_time
from pybernetes.machinery.meta import Object, is_being_deleted
from pybernetes.machinery.resources import SECRETS

TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
GROUP = "system:bootstrappers"
EXTRA_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")
TYPE = "bootstrap.kubernetes.io/token"


class BootstrapTokens:
    def __init__(self, *, reader: Reader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock

    async def authenticate_token(self, token: str, audiences: tuple[str, ...]) -> Identity | None:
        parts = TOKEN.fullmatch(token)
        if parts is None:
            return None
        secret = self._reader.get(SECRETS, "kube-system", f"bootstrap-token-{parts[1]}")
        user = None if secret is None else token_user(secret, parts[1], parts[2], self._clock.now())
        return None if user is None else Identity(user, audiences)


def token_user(secret: Object, token_id: str, token_secret: str, now: datetime) -> User | None:
    """The user of a bootstrap token's Secret; None where the Secret does not vouch for this token now."""
    if is_being_deleted(secret) or secret.get("type") != TYPE:
        return None
    data = {key: _text(value) for key, value in (secret.get("data") or {}).items()}
    if data.get("token-id") != token_id or data.get("usage-bootstrap-authentication") != "true":
        return None
    if not hmac.compare_digest(data.get("token-secret", "").encode(), token_secret.encode()):
        return None
    if (expiration := data.get("expiration")) and not _is_later(expiration, now):
        return None
    extra = [group for group in data.get("auth-extra-groups", "").split(",") if group]
    if not all(EXTRA_GROUP.fullmatch(group) for group in extra):
        return None
    return User(f"system:bootstrap:{token_id}", groups=(GROUP, *sorted(set(extra) - {GROUP})))


def _is_later(expiration: str, now: datetime) -> bool:
    try:
        return parse_time(expiration) > now
    except ValueError:
        return False  # as upstream: what cannot be read has expired


def _text(value: str) -> str:
    try:
        return base64.b64decode(value).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
