"""Tokens controller: fills Secrets of the type `kubernetes.io/service-account-token`, and ends them with their service account.

Nobody gets such a Secret unasked any more (KEP-2799): they are for who wants a token that does not expire.
Contract: https://kubernetes.io/docs/concepts/configuration/secret/#serviceaccount-token-secrets
Left out: taking a deleted Secret off the list `secrets` of its account.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from pybernetes.controllers.actions import Action, Update, delete
from pybernetes.controllers.controller import NAMESPACE, Caches, Context, Controller, Look, Wake, by_namespace
from pybernetes.machinery.errors import NotFound
from pybernetes.machinery.meta import Object, annotations_of, is_being_deleted, key_of, name_of, namespace_of, split_key, uid_of
from pybernetes.machinery.resources import SECRETS, SERVICE_ACCOUNTS

TYPE = "kubernetes.io/service-account-token"
ACCOUNT_NAME, ACCOUNT_UID = "kubernetes.io/service-account.name", "kubernetes.io/service-account.uid"
ISSUER = "kubernetes/serviceaccount"
CLAIM = "kubernetes.io/serviceaccount/"

Sign = Callable[[Object], str]  # claims to a token


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a decision may depend on."""

    secret: Object
    account: Object | None  # that the Secret names, if it still is that one
    token: str = ""  # for a Secret that has none
    root_ca: str = ""


def reconcile(seen: Snapshot) -> list[Action]:
    secret, account = seen.secret, seen.account
    if account is None:
        return [delete(SECRETS, secret)]
    data = dict(secret.get("data") or {})
    if seen.root_ca:
        data["ca.crt"] = _encoded(seen.root_ca)
    if not data.get("namespace"):
        data["namespace"] = _encoded(namespace_of(secret))
    if not data.get("token"):
        data["token"] = _encoded(seen.token)
    if data == secret.get("data"):
        return []
    annotations = {**annotations_of(secret), ACCOUNT_NAME: name_of(account), ACCOUNT_UID: uid_of(account)}
    return [Update(SECRETS, {**secret, "metadata": {**secret["metadata"], "annotations": annotations}, "data": data})]


def claims_of(secret: Object, account: Object) -> Object:
    """What a token says: no time, since it is good for as long as Secret and account exist."""
    namespace, name = namespace_of(account), name_of(account)
    return {
        "iss": ISSUER,
        f"{CLAIM}namespace": namespace,
        f"{CLAIM}secret.name": name_of(secret),
        f"{CLAIM}service-account.name": name,
        f"{CLAIM}service-account.uid": uid_of(account),
        "sub": f"system:serviceaccount:{namespace}:{name}",
    }


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _observer(sign: Sign, root_ca: str) -> Callable[[Look, str], Awaitable[Snapshot | None]]:
    async def observe(look: Look, key: str) -> Snapshot | None:
        secret = look.caches[SECRETS].get(*split_key(key))
        if secret is None or secret.get("type") != TYPE or is_being_deleted(secret):
            return None
        account = await _account_of(secret, look)
        wanted = account is not None and not (secret.get("data") or {}).get("token")
        token = sign(claims_of(secret, account)) if account is not None and wanted else ""
        return Snapshot(secret, account, token, root_ca)

    return observe


async def _account_of(secret: Object, look: Look) -> Object | None:
    """The account that a Secret is for; asked of the server before it is said to be gone, for the cache may be behind."""
    name, uid = (annotations_of(secret).get(annotation, "") for annotation in (ACCOUNT_NAME, ACCOUNT_UID))
    namespace = namespace_of(secret)
    account = look.caches[SERVICE_ACCOUNTS].get(namespace, name)
    if account is None or uid not in ("", uid_of(account)):
        try:
            account = await look.client.get(SERVICE_ACCOUNTS, name, namespace)
        except NotFound:
            return None
    return account if uid in ("", uid_of(account)) else None


def _tokens(caches: Caches, secret: Object) -> tuple[str, ...]:
    return (key_of(secret),) if secret.get("type") == TYPE else ()


def _tokens_of_account(caches: Caches, account: Object) -> list[str]:
    secrets = caches[SECRETS].by_index(NAMESPACE, namespace_of(account))
    name = name_of(account)
    return [key_of(each) for each in secrets if each.get("type") == TYPE and annotations_of(each).get(ACCOUNT_NAME) == name]


def signer(key_file: Path) -> Sign:
    """Raises OSError, ValueError."""
    import jwt  # with cryptography, and not every manager signs

    from pybernetes.machinery.signing_keys import read_signing_key

    key = read_signing_key(key_file)

    def sign(claims: Object) -> str:
        return jwt.encode(claims, key.key, algorithm=key.public.algorithm, headers={"kid": key.public.id})

    return sign


def controller(context: Context) -> Controller[Snapshot] | None:
    options = context.options
    if not options.service_account_private_key_file:
        return None
    root_ca = Path(options.root_ca_file).read_text() if options.root_ca_file else ""
    return Controller(
        name="serviceaccount-token-controller",
        source="serviceaccount-token-controller",
        wakes_on=(Wake(SECRETS, _tokens), Wake(SERVICE_ACCOUNTS, _tokens_of_account)),
        indexes=(by_namespace(SECRETS),),
        observe=_observer(signer(Path(options.service_account_private_key_file)), root_ca),
        decide=reconcile,
    )
