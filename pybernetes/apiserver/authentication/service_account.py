"""Service-account tokens: JWTs signed by the server, good for as long as what they are bound to exists.

The signature of a token is verified once and remembered; its times and the objects it is bound to are checked with every use,
so that a token dies with its service account, pod, secret or node at once.

Source: https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens, KEP-1205
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import jwt

from pybernetes.apiserver.attributes import ALL_AUTHENTICATED, User
from pybernetes.apiserver.authentication.audiences import intersection
from pybernetes.apiserver.authentication.interface import Identity
from pybernetes.apiserver.authentication.options import Options
from pybernetes.apiserver.authentication.unverified import unverified_issuer
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery.clock import Clock, parse_time
from pybernetes.machinery.errors import Unauthorized
from pybernetes.machinery.meta import Object, Resource, uid_of
from pybernetes.machinery.resources import NODES, PODS, SECRETS, SERVICE_ACCOUNTS
from pybernetes.machinery.signing_keys import PublicKey, read_public_keys

USER_PREFIX = "system:serviceaccount:"
ALL_ACCOUNTS = "system:serviceaccounts"
EXTRA = "authentication.kubernetes.io/"
LEEWAY_S = 60  # machines' clocks differ
REMEMBERED_MAX = 4096


def account_user_name(namespace: str, name: str) -> str:
    return f"{USER_PREFIX}{namespace}:{name}"


def account_groups(namespace: str) -> tuple[str, str]:
    return (ALL_ACCOUNTS, f"{ALL_ACCOUNTS}:{namespace}")


def split_account_user_name(user_name: str) -> tuple[str, str] | None:
    """(namespace, name); None for another user's name."""
    if not user_name.startswith(USER_PREFIX):
        return None
    namespace, separator, name = user_name.removeprefix(USER_PREFIX).partition(":")
    return (namespace, name) if separator and namespace and name and ":" not in name else None


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token whose signature is right says. Times are seconds since the epoch."""

    audiences: tuple[str, ...]
    expires: float
    not_before: float
    token_id: str
    namespace: str
    account: Object  # {"name":…, "uid":…}, and so the others
    pod: Object | None
    secret: Object | None
    node: Object | None


def verifying_keys(options: Options) -> dict[str, PublicKey]:
    """The keys that may have signed tokens, by their ids. Raises OSError, ValueError."""
    paths = [*options.service_account_key_file]
    if options.service_account_signing_key_file is not None:
        paths.append(options.service_account_signing_key_file)
    return {key.id: key for key in read_public_keys(paths)}


def check_audiences(offered: tuple[str, ...], wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Those of a token's audiences that are wanted. Raises `Unauthorized` if there is none."""
    meant = intersection(offered, wanted)
    if not meant:
        raise Unauthorized(f"token audiences {_listed(offered)} is invalid for the target audiences {_listed(wanted)}")
    return meant


class ServiceAccountTokens:
    def __init__(self, options: Options, *, reader: Reader, clock: Clock) -> None:
        self._keys = verifying_keys(options)
        self._issuers = frozenset(options.service_account_issuer)
        self._audiences = options.audiences
        self._lookup = options.service_account_lookup
        self._reader = reader
        self._clock = clock
        self._verified: dict[str, Claims] = {}

    async def authenticate_token(self, token: str, audiences: tuple[str, ...]) -> Identity | None:
        claims = self._verified.get(token)
        if claims is None:
            if unverified_issuer(token) not in self._issuers:
                return None  # someone else's token
            claims = _claims(verified_payload(token, self._keys))
            if len(self._verified) >= REMEMBERED_MAX:
                self._verified.clear()
            self._verified[token] = claims
        meant = check_audiences(claims.audiences or self._audiences, audiences)
        now = self._clock.now()
        _check_times(claims, now)
        if self._lookup:
            check_bound(claims, self._reader, now)
        return Identity(_user(claims), meant)


def verified_payload(token: str, keys: dict[str, PublicKey]) -> Object:
    """What a token says that one of the keys has signed; its times are not looked at. Raises `Unauthorized`."""
    try:
        key_id = jwt.get_unverified_header(token).get("kid", "")
    except jwt.InvalidTokenError as error:
        raise Unauthorized(f"invalid bearer token: {error}") from error
    # A token without a key id may be signed by any.
    candidates = [keys[key_id]] if key_id in keys else [] if key_id else list(keys.values())
    if not candidates:
        raise Unauthorized("invalid signature, no keys found")
    problem: Exception | None = None
    for key in candidates:
        try:
            payload: Object = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm],
                # The times are ours to judge, by the server's clock.
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False},
            )
        except jwt.InvalidTokenError as error:
            problem = error
            continue
        return payload
    raise Unauthorized(f"failed to verify the token's signature: {problem}")


def _claims(payload: Object) -> Claims:
    try:
        kubernetes: Object = payload["kubernetes.io"]
        audiences: Any = payload.get("aud") or ()
        return Claims(
            audiences=(audiences,) if isinstance(audiences, str) else tuple(audiences),
            expires=float(payload["exp"]),
            not_before=float(payload.get("nbf", 0)),
            token_id=str(payload.get("jti", "")),
            namespace=kubernetes["namespace"],
            account=kubernetes["serviceaccount"],
            pod=kubernetes.get("pod"),
            secret=kubernetes.get("secret"),
            node=kubernetes.get("node"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Unauthorized("service account token claims could not be validated due to unexpected private claim") from error


def _check_times(claims: Claims, now: datetime) -> None:
    seconds = now.timestamp()
    if seconds > claims.expires + LEEWAY_S:
        raise Unauthorized("service account token has expired")
    if seconds < claims.not_before - LEEWAY_S:
        raise Unauthorized("service account token is not valid yet")


def check_bound(claims: Claims, reader: Reader, now: datetime) -> None:
    """Raises `Unauthorized` unless the service account, and the object that the token is bound to, still exist."""
    namespace, name = claims.namespace, claims.account["name"]
    account = reader.get(SERVICE_ACCOUNTS, namespace, name)
    if account is None:
        raise Unauthorized(f'serviceaccounts "{name}" not found')
    if _is_gone(account, now):
        raise Unauthorized(f"service account {namespace}/{name} has been deleted")
    if uid_of(account) != claims.account["uid"]:
        raise Unauthorized(f"service account UID ({uid_of(account)}) does not match claim ({claims.account['uid']})")
    for kind, resource, reference in (("secret", SECRETS, claims.secret), ("pod", PODS, claims.pod)):
        if reference is not None:
            _check_reference(kind, resource, namespace, reference, reader, now)
    # With a pod the node is only said, not bound to (KEP-4193): the pod dies with its node anyway.
    if claims.node is not None and claims.pod is None:
        _check_reference("node", NODES, "", claims.node, reader, now)


def _check_reference(kind: str, resource: Resource, namespace: str, reference: Object, reader: Reader, now: datetime) -> None:
    found = reader.get(resource, namespace, reference["name"])
    if found is None or _is_gone(found, now):
        raise Unauthorized("service account token has been invalidated")
    if uid_of(found) != reference["uid"]:
        raise Unauthorized(f"{kind} UID ({uid_of(found)}) does not match service account {kind} ref claim ({reference['uid']})")


def _is_gone(obj: Object, now: datetime) -> bool:
    """Deleted, and past its grace: until then a terminating pod may still use its token."""
    deleted = obj["metadata"].get("deletionTimestamp")
    return deleted is not None and (now - parse_time(deleted)).total_seconds() > LEEWAY_S


def _user(claims: Claims) -> User:
    extra: dict[str, tuple[str, ...]] = {}
    if claims.token_id:
        extra[EXTRA + "credential-id"] = (f"JTI={claims.token_id}",)
    for kind, reference in (("node", claims.node), ("pod", claims.pod)):
        if reference is not None:
            extra[f"{EXTRA}{kind}-name"] = (reference["name"],)
            if reference.get("uid"):
                extra[f"{EXTRA}{kind}-uid"] = (reference["uid"],)
    return User(
        name=account_user_name(claims.namespace, claims.account["name"]),
        uid=claims.account["uid"],
        groups=(*account_groups(claims.namespace), ALL_AUTHENTICATED),
        extra=extra,
    )


def _listed(texts: tuple[str, ...]) -> str:
    return "[" + " ".join(f'"{text}"' for text in texts) + "]"
