"""How a server authenticates: upstream's flags, by their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class RequestHeaderOptions:
    """Front proxies (`--requestheader-*`): whose certificates they have, and the headers by which they name users."""

    client_ca_file: Path
    allowed_names: tuple[str, ...] = ()  # common names; empty: any that the authority has signed
    username_headers: tuple[str, ...] = ()
    uid_headers: tuple[str, ...] = ()
    group_headers: tuple[str, ...] = ()
    extra_headers_prefix: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WebhookOptions:
    """Somebody else who knows tokens (`--authentication-token-webhook-*`)."""

    config_file: Path  # a kubeconfig
    version: str = "v1beta1"  # of the TokenReview
    cache_ttl_s: float = 120.0  # 0: every token is asked for every time


@dataclass(frozen=True, slots=True)
class OidcOptions:
    """One OpenID Connect issuer (`--oidc-*`)."""

    issuer_url: str = ""
    client_id: str = ""
    ca_file: Path | None = None  # default: the system's authorities
    username_claim: str = "sub"
    username_prefix: str = ""  # "-": none; default: the issuer and "#", but for the claim `email`
    groups_claim: str = ""
    groups_prefix: str = ""
    required_claim: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    signing_algs: tuple[str, ...] = ("RS256",)


@dataclass(frozen=True, slots=True)
class Options:
    server_id: str = ""  # of this server among several, in metrics
    client_ca_file: Path | None = None  # None: a client's certificate counts as the transport has verified it
    request_header: RequestHeaderOptions | None = None
    anonymous_auth: bool | None = None  # None: not said
    anonymous_by_default: bool = True
    authentication_config: Path | None = None
    token_auth_file: Path | None = None
    enable_bootstrap_token_auth: bool = False
    webhook: WebhookOptions | None = None
    oidc: OidcOptions | None = None
    service_account_issuer: tuple[str, ...] = ()  # the first signs; all are accepted
    service_account_key_file: tuple[Path, ...] = ()  # PEM, public or private: tokens signed by these are accepted
    service_account_signing_key_file: Path | None = None
    service_account_jwks_uri: str = ""  # where others find the public keys; default: at the first issuer
    service_account_lookup: bool = True
    service_account_max_token_expiration_s: float = 0  # 0: no bound of its own
    service_account_extend_token_expiration: bool = True
    api_audiences: tuple[str, ...] = ()  # default: the issuers

    @property
    def audiences(self) -> tuple[str, ...]:
        """The audiences that the API server answers to."""
        return self.api_audiences or self.service_account_issuer
