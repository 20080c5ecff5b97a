"""The chain of authenticators that an API server asks, and its order."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pybernetes.apiserver import habits
from pybernetes.apiserver.attributes import User
from pybernetes.apiserver.authentication.anonymous import Anonymous
from pybernetes.apiserver.authentication.audiences import AudienceAgnostic
from pybernetes.apiserver.authentication.authorities import Authorities
from pybernetes.apiserver.authentication.interface import Authenticator, Identity, TokenAuthenticator, authenticated
from pybernetes.apiserver.authentication.metrics import Metrics
from pybernetes.apiserver.authentication.options import Options
from pybernetes.apiserver.authentication.request_header import FrontProxies, IdentityHeaders
from pybernetes.apiserver.authentication.x509 import ClientCertificates
from pybernetes.apiserver.registry.strategy import Reader, Writer
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.errors import Unauthorized
from pybernetes.machinery.http.messages import Request
from pybernetes.machinery.log import logger

if TYPE_CHECKING:
    from pybernetes.apiserver.authentication.configuration import Configuration
    from pybernetes.apiserver.authentication.jwt_issuers import JwtIssuers
    from pybernetes.apiserver.authentication.token_cache import CachedTokens

log = logger("authentication")

WEBSOCKET_TOKEN_PREFIX: Final = "base64url.bearer.authorization.k8s.io."
RELOAD_PERIOD_S: Final = 10.0  # of the authorities' files


class Union:
    """Front proxies, the client certificate, then the bearer token, then nobody: as upstream, and as upstream a wrong
    credential is no reason to become anonymous."""

    def __init__(
        self,
        *,
        certificates: Sequence[Authenticator],
        tokens: Sequence[TokenAuthenticator],
        audiences: tuple[str, ...],
        anonymous: Anonymous,
        clock: Clock,
        authorities: Sequence[Authorities] = (),
        issuers: JwtIssuers | None = None,
        webhook: CachedTokens | None = None,
        identity_headers: IdentityHeaders,
        metrics: Metrics,
    ) -> None:
        self.audiences = audiences
        self.identity_headers = identity_headers
        self.metrics = metrics
        self._certificates = tuple(certificates)
        self._tokens = tuple(tokens)
        self._anonymous = anonymous
        self._clock = clock
        self._authorities = tuple(authorities)
        self._issuers = issuers
        self._webhook = webhook

    async def run(self) -> None:
        """Keep up with files that change, and with issuers; until cancelled, or at once where there are none."""
        async with asyncio.TaskGroup() as group:
            if self._authorities:
                group.create_task(self._follow_authorities())
            if self._issuers is not None:
                group.create_task(self._issuers.run())

    async def _follow_authorities(self) -> None:
        while True:
            await self._clock.sleep(RELOAD_PERIOD_S)
            self.reload()

    def reload(self) -> None:
        """Look once whether the authorities' files have changed."""
        for authorities in self._authorities:
            authorities.reload()

    async def close(self) -> None:
        """Let go of connections to whoever knows tokens."""
        for others in (self._issuers, self._webhook):
            if others is not None:
                await others.close()

    async def authenticate(self, request: Request) -> User:
        """Who asks. Raises `Unauthorized`, which says no more to whoever sent a wrong credential."""
        started = self._clock.monotonic()
        known = habits.of(request).user
        if known is not None and request.peer_certificate is None:
            self.metrics.authenticated(known.name, 0.0)
            return known
        try:
            user = await self._user(request)
        except Unauthorized as error:
            self.metrics.refused(self._clock.monotonic() - started, wrong=error.__cause__ is not None)
            raise
        self.metrics.authenticated(user.name, self._clock.monotonic() - started)
        return user

    async def _user(self, request: Request) -> User:
        problem: Unauthorized | None = None
        for authenticator in self._certificates if request.peer_certificate is not None else ():
            try:
                user = await authenticator.authenticate(request)
            except Unauthorized as error:
                problem = error
                continue
            if user is not None:
                return authenticated(user)
        token = bearer_token(request)
        if token is not None:
            try:
                identity = await self.authenticate_token(token)
                if identity.lasts:
                    habits.of(request).user = identity.user
                return identity.user
            except Unauthorized as error:
                problem = error
        if problem is not None:
            # Why is for the log and for TokenReview, not for whoever sent it.
            log.debug("Unable to authenticate the request", err=problem.message)
            raise Unauthorized("Unauthorized") from problem
        nobody = self._anonymous.user(request)
        if nobody is None:
            raise Unauthorized("Unauthorized")
        return nobody

    async def authenticate_token(self, token: str, audiences: tuple[str, ...] = ()) -> Identity:
        """Whom a token proves, as a TokenReview asks. Raises `Unauthorized` with the reasons."""
        problems = []
        for authenticator in self._tokens:
            try:
                identity = await authenticator.authenticate_token(token, audiences or self.audiences)
            except Unauthorized as error:
                problems.append(error.message)
                continue
            if identity is not None:
                user = authenticated(identity.user)
                return identity if user is identity.user else identity._replace(user=user)
        problems = ["invalid bearer token", *problems]
        raise Unauthorized(problems[0] if len(problems) == 1 else "[" + ", ".join(problems) + "]")


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


def build(options: Options, *, reader: Reader, writer: Writer, clock: Clock, entropy: Entropy) -> Union:
    """The authenticator of a server.

    Raises ValueError for a file that does not say what it should, OSError for one that cannot be read.
    """
    metrics = Metrics(options.server_id)
    authorities: list[Authorities] = []
    certificates = _certificate_authenticators(options, authorities, clock)
    tokens = _token_authenticators(options, reader=reader, writer=writer, clock=clock)
    given = _configuration(options)
    issuers = webhook = None
    if given is not None and (given.jwt or options.authentication_config is not None):
        issuers = _issuers(options, given, metrics, clock=clock, entropy=entropy)
        # After service accounts: for tokens that it does not know an issuer may be asked for new keys.
        tokens.append(AudienceAgnostic(issuers, options.audiences))
    if options.webhook is not None:
        webhook = _webhook(options, clock=clock, entropy=entropy)
        tokens.append(webhook)
    return Union(
        certificates=certificates,
        authorities=authorities,
        tokens=tokens,
        issuers=issuers,
        webhook=webhook,
        anonymous=_anonymous(options, given),
        audiences=options.audiences,
        identity_headers=IdentityHeaders(options.request_header),
        metrics=metrics,
        clock=clock,
    )


# What is imported below is heavy (pyjwt, cryptography), and not every server has it.


def _certificate_authenticators(options: Options, authorities: list[Authorities], clock: Clock) -> list[Authenticator]:
    found: list[Authenticator] = []
    if options.request_header is not None:
        authorities.append(Authorities(options.request_header.client_ca_file))
        found.append(FrontProxies(options.request_header, authorities[-1], clock))
    if options.client_ca_file is not None:
        authorities.append(Authorities(options.client_ca_file))
        found.append(ClientCertificates(authorities[-1], clock))
    elif options.request_header is None:
        found.append(ClientCertificates(None, clock))
    return found


def _token_authenticators(options: Options, *, reader: Reader, writer: Writer, clock: Clock) -> list[TokenAuthenticator]:
    """Those that know tokens by themselves, which are asked first."""
    from pybernetes.apiserver.authentication.bootstrap_token import BootstrapTokens
    from pybernetes.apiserver.authentication.legacy_token import LegacyTokens
    from pybernetes.apiserver.authentication.service_account import ServiceAccountTokens, verifying_keys
    from pybernetes.apiserver.authentication.token_file import TokenFile

    found: list[TokenAuthenticator] = []
    if options.token_auth_file is not None:
        found.append(AudienceAgnostic(TokenFile(options.token_auth_file), options.audiences))
    if options.service_account_issuer:
        found.append(ServiceAccountTokens(options, reader=reader, clock=clock))
        found.append(
            LegacyTokens(
                verifying_keys(options),
                lookup=options.service_account_lookup,
                audiences=options.audiences,
                reader=reader,
                writer=writer,
                clock=clock,
            )
        )
    if options.enable_bootstrap_token_auth:
        found.append(AudienceAgnostic(BootstrapTokens(reader=reader, clock=clock), options.audiences))
    return found


def _webhook(options: Options, *, clock: Clock, entropy: Entropy) -> CachedTokens:
    from pybernetes.apiserver.authentication.token_cache import CachedTokens
    from pybernetes.apiserver.authentication.webhook import WebhookTokens
    from pybernetes.apiserver.kubeconfig_webhook import KubeconfigWebhook
    from pybernetes.client.kubeconfig import ConfigError

    assert options.webhook is not None
    try:
        service = KubeconfigWebhook(str(options.webhook.config_file), clock=clock, entropy=entropy)
    except ConfigError as error:
        raise ValueError(str(error)) from error
    tokens = WebhookTokens(service, options.webhook.version, options.audiences)
    ttl_s = options.webhook.cache_ttl_s
    return CachedTokens(tokens, clock=clock, success_ttl_s=ttl_s, failure_ttl_s=ttl_s)


def _configuration(options: Options) -> Configuration | None:
    """What the file says, or the flags; None without both."""
    if options.authentication_config is None and options.oidc is None:
        return None
    from pybernetes.apiserver.authentication import configuration, configuration_checks

    path = options.authentication_config
    if path is None:
        assert options.oidc is not None
        given = configuration.of_flags(options.oidc)
    elif options.oidc is not None:
        raise ValueError("authentication-config file and oidc-* flags are mutually exclusive")
    else:
        try:
            given = configuration.load(path.read_bytes())
        except ValueError as error:
            raise ValueError(f'failed to load authentication configuration from file "{path}": {error}') from error
    try:
        configuration_checks.check(given, options.service_account_issuer)
    except ValueError as error:
        raise ValueError(f"invalid authentication configuration: {error}") from error
    return given


def _issuers(options: Options, given: Configuration, metrics: Metrics, *, clock: Clock, entropy: Entropy) -> JwtIssuers:
    from pybernetes.apiserver.authentication.jwt_issuers import JwtIssuers

    own = options.service_account_issuer
    return JwtIssuers(given, options.authentication_config, own, metrics, clock=clock, entropy=entropy)


def _anonymous(options: Options, given: Configuration | None) -> Anonymous:
    said = None if given is None else given.anonymous
    if said is None:
        by_flag = options.anonymous_auth
        return Anonymous(enabled=options.anonymous_by_default if by_flag is None else by_flag)
    if options.anonymous_auth is not None:
        raise ValueError(
            "anonymous: Forbidden: --anonymous-auth flag cannot be set when anonymous field is configured in authentication "
            "configuration file"
        )
    paths = tuple(condition.get("path", "") for condition in said.get("conditions") or ())
    return Anonymous(enabled=bool(said.get("enabled")), paths=paths)
