"""The chain of authenticators that an API server asks, and its order."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol

from pybernetes.apiserver.attributes import ALL_AUTHENTICATED, ALL_UNAUTHENTICATED, ANONYMOUS, User
from pybernetes.apiserver.authentication.interface import Authenticator
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.errors import Unauthorized
from pybernetes.machinery.http.messages import Request

WEBSOCKET_TOKEN_PREFIX = "base64url.bearer.authorization.k8s.io."


@dataclass(frozen=True, slots=True)
class Options:
    """Upstream's flags, by their names."""

    anonymous_auth: bool = True
    token_auth_file: Path | None = None
    enable_bootstrap_token_auth: bool = False
    service_account_issuer: tuple[str, ...] = ()  # the first signs; all are accepted
    service_account_key_file: tuple[Path, ...] = ()  # PEM, public or private: tokens signed by these are accepted
    service_account_signing_key_file: Path | None = None
    service_account_lookup: bool = True
    service_account_max_token_expiration_s: int = 0  # 0: no bound of its own
    service_account_extend_token_expiration: bool = True
    api_audiences: tuple[str, ...] = ()  # default: the issuers

    @property
    def audiences(self) -> tuple[str, ...]:
        """The audiences that the API server answers to."""
        return self.api_audiences or self.service_account_issuer


class Identity(NamedTuple):
    """Whom a token proves, and for which of the audiences asked for (those of the API server where none was)."""

    user: User
    audiences: tuple[str, ...]


class TokenAuthenticator(Protocol):
    def authenticate_token(self, token: str, audiences: tuple[str, ...]) -> Identity | None:
        """None for a token that is not of this kind; raises `Unauthorized`, saying why, for one that is wrong.

        `audiences` are those that the asker answers to; a token without audiences of its own is good for all of them.
        """
        ...


class Union:
    """The client certificate, then the bearer token, then nobody: as upstream, and as upstream a wrong credential is no
    reason to become anonymous."""

    def __init__(
        self,
        *,
        certificates: Authenticator,
        tokens: Sequence[TokenAuthenticator],
        audiences: tuple[str, ...],
        anonymous: bool,
    ) -> None:
        self._certificates = certificates
        self._tokens = tuple(tokens)
        self.audiences = audiences
        self._anonymous = anonymous

    async def authenticate(self, request: Request) -> User | None:
        user = await self._certificates.authenticate(request)
        if user is None:
            token = bearer_token(request)
            if token is not None:
                user = self._of_token(token)
        if user is not None:
            return _authenticated(user)
        if self._anonymous:
            return User(ANONYMOUS, groups=(ALL_UNAUTHENTICATED,))
        raise Unauthorized("Unauthorized")

    def authenticate_token(self, token: str, audiences: tuple[str, ...] = ()) -> Identity:
        """Whom a token proves, as a TokenReview asks. Raises `Unauthorized` with the reasons."""
        problems = []
        for authenticator in self._tokens:
            try:
                identity = authenticator.authenticate_token(token, audiences or self.audiences)
            except Unauthorized as error:
                problems.append(error.message)
                continue
            if identity is not None:
                return identity._replace(user=_authenticated(identity.user))
        problems = ["invalid bearer token", *problems]
        raise Unauthorized(problems[0] if len(problems) == 1 else "[" + ", ".join(problems) + "]")

    def _of_token(self, token: str) -> User:
        try:
            return self.authenticate_token(token).user
        except Unauthorized as error:
            # Why is for the log and for TokenReview, not for whoever sent it.
            raise Unauthorized("Unauthorized") from error


def _authenticated(user: User) -> User:
    if user.name == ANONYMOUS or ALL_AUTHENTICATED in user.groups or ALL_UNAUTHENTICATED in user.groups:
        return user
    return replace(user, groups=(*user.groups, ALL_AUTHENTICATED))


def bearer_token(request: Request) -> str | None:
    """The token in the Authorization header, or (browsers cannot set that) among the WebSocket subprotocols."""
    scheme, _, token = request.headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip().split(" ")[0]
    if request.headers.get("upgrade", "").lower() != "websocket":
        return None
    for protocol in request.headers.get("sec-websocket-protocol", "").split(","):
        if protocol.strip().startswith(WEBSOCKET_TOKEN_PREFIX):
            encoded = protocol.strip().removeprefix(WEBSOCKET_TOKEN_PREFIX)
            try:
                return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
            except (binascii.Error, UnicodeDecodeError) as error:
                raise Unauthorized("Unauthorized") from error
    return None


def build(options: Options, *, reader: Reader, clock: Clock) -> Union:
    """The authenticator of a server. Its `authenticate` gives a user or raises `Unauthorized`.

    Raises ValueError for a file that does not say what it should, OSError for one that cannot be read.
    """
    # Imported here: pyjwt and cryptography are heavy, and not every server has these.
    from pybernetes.apiserver.authentication.bootstrap_token import BootstrapTokens
    from pybernetes.apiserver.authentication.service_account import ServiceAccountTokens
    from pybernetes.apiserver.authentication.token_file import TokenFile
    from pybernetes.apiserver.authentication.x509 import ClientCertificates

    tokens: list[TokenAuthenticator] = []
    if options.token_auth_file is not None:
        tokens.append(TokenFile(options.token_auth_file))
    if options.service_account_issuer:
        tokens.append(ServiceAccountTokens(options, reader=reader, clock=clock))
    if options.enable_bootstrap_token_auth:
        tokens.append(BootstrapTokens(reader=reader, clock=clock))
    return Union(
        certificates=ClientCertificates(), tokens=tokens, audiences=options.audiences, anonymous=options.anonymous_auth
    )
