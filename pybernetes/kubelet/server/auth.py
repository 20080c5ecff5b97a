"""Who may talk to the kubelet: client certificates and tokens, authorized by asking the API server.

Source: "Kubelet authentication/authorization": the attributes of a request (resource nodes, subresource by path).
"""

from __future__ import annotations

from dataclasses import dataclass

from pybernetes.client.rest import Client
from pybernetes.client.transport import ConnectionFailed
from pybernetes.kubelet.configuration import Configuration
from pybernetes.machinery import errors
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.http.messages import Request
from pybernetes.machinery.meta import Object
from pybernetes.machinery.resources import SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS

AUTHENTICATED_S = 120.0  # upstream's webhook cache TTLs
ALLOWED_S = 300.0
DENIED_S = 30.0
CACHE_MAX = 4096
MASTERS = "system:masters"
VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
SUBRESOURCES = (("/stats", "stats"), ("/metrics", "metrics"), ("/logs", "log"), ("/spec", "spec"), ("/healthz", "healthz"),
                ("/pods", "pods"), ("/configz", "configz"))  # fmt: skip


@dataclass(frozen=True, slots=True)
class User:
    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))


class Gate:
    """Lets a request through or raises Unauthorized or Forbidden."""

    def __init__(self, client: Client, configuration: Configuration, node_name: str, *, clock: Clock) -> None:
        self._client = client
        self._configuration = configuration
        self._node_name = node_name
        self._clock = clock
        self._users: dict[str, tuple[User | None, float]] = {}
        self._verdicts: dict[tuple[User, str, str], tuple[bool, float]] = {}

    async def check(self, request: Request) -> None:
        user = await self._authenticate(request)
        verb = VERBS.get(request.method, request.method.lower())
        subresource = next(
            (name for path, name in SUBRESOURCES if request.path == path or request.path.startswith(f"{path}/")), "proxy"
        )
        if self._configuration.authorization_mode == "AlwaysAllow" or MASTERS in user.groups:
            return
        if not await self._authorized(user, verb, subresource):
            why = f"Forbidden (user={user.name}, verb={verb}, resource=nodes, subresource(s)=[{subresource}])"
            raise errors.Forbidden(why)

    async def _authenticate(self, request: Request) -> User:
        if request.peer_certificate is not None:
            return _certificate_user(request.peer_certificate)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token and self._configuration.webhook_authentication:
            user = await self._token_user(token.strip())
            if user is not None:
                return user
            raise errors.Unauthorized("Unauthorized")
        if self._configuration.anonymous_auth:
            return ANONYMOUS
        raise errors.Unauthorized("Unauthorized")

    async def _token_user(self, token: str) -> User | None:
        now = self._clock.monotonic()
        known = self._users.get(token)
        if known is not None and known[1] > now:
            return known[0]
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": {"token": token}}
        try:
            status: Object = (await self._client.create(TOKEN_REVIEWS, review)).get("status") or {}
        except (errors.StatusError, ConnectionFailed) as error:
            raise errors.Unauthorized("Unauthorized") from error
        user = None
        if status.get("authenticated"):
            shown = status.get("user") or {}
            user = User(shown.get("username", ""), tuple(shown.get("groups") or ()), shown.get("uid", ""))
        if len(self._users) >= CACHE_MAX:
            self._users.clear()
        self._users[token] = (user, now + AUTHENTICATED_S)
        return user

    async def _authorized(self, user: User, verb: str, subresource: str) -> bool:
        key, now = (user, verb, subresource), self._clock.monotonic()
        known = self._verdicts.get(key)
        if known is not None and known[1] > now:
            return known[0]
        attributes = {"verb": verb, "version": "v1", "resource": "nodes", "subresource": subresource, "name": self._node_name}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "metadata": {},
            "spec": {"user": user.name, "groups": list(user.groups), "uid": user.uid, "resourceAttributes": attributes},
        }
        try:
            answer = await self._client.create(SUBJECT_ACCESS_REVIEWS, review)
        except (errors.StatusError, ConnectionFailed) as error:
            raise errors.InternalError(f"cannot ask the API server for authorization: {error}") from error
        allowed = bool((answer.get("status") or {}).get("allowed"))
        if len(self._verdicts) >= CACHE_MAX:
            self._verdicts.clear()
        self._verdicts[key] = (allowed, now + (ALLOWED_S if allowed else DENIED_S))
        return allowed


def _certificate_user(der: bytes) -> User:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    subject = x509.load_der_x509_certificate(der).subject
    names = [str(entry.value) for entry in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    groups = [str(entry.value) for entry in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    return User(names[0] if names else "", (*groups, "system:authenticated"))
