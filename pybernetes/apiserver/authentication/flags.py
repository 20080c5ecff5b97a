"""From the server's flags to how it authenticates: what goes together, what cannot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from pybernetes.apiserver.authentication.authorities import read_certificates
from pybernetes.apiserver.authentication.issuer_discovery import KEYS_PATH
from pybernetes.apiserver.authentication.options import OidcOptions, Options, RequestHeaderOptions, WebhookOptions
from pybernetes.machinery.log import logger

if TYPE_CHECKING:
    from pybernetes.apiserver.aggregation.front_proxy import FrontProxy
    from pybernetes.apiserver.options import Options as ServerOptions

log = logger("authentication")

DEFAULT_ISSUER: Final = "https://kubernetes.default.svc.cluster.local"
EXPIRATION_S_MIN: Final = 3600
EXPIRATION_S_MAX: Final = 1 << 32


def read(
    options: ServerOptions, *, client_ca: str, signing_key: str, front_proxy: FrontProxy, address: str, server_id: str
) -> Options:
    """Files that were made where a flag names none are given besides, and the `address` of the server for others (host:port).

    Raises OSError, ValueError.
    """
    issuers = options.service_account_issuer or (DEFAULT_ISSUER,)
    _check_issuers(issuers, options.service_account_jwks_uri)
    _check_expiration(options.service_account_max_token_expiration_s)
    authority = Path(client_ca) if client_ca else None
    request_header = _request_header(front_proxy)
    if authority is not None and request_header is not None:
        _check_overlap(authority, request_header)
    unguarded = "AlwaysAllow" in options.authorization_mode
    if unguarded and options.anonymous_auth is not False:
        log.warning(
            "AnonymousAuth is not allowed with the AlwaysAllow authorizer. Resetting AnonymousAuth to false. You should use a "
            "different authorizer"
        )
    oidc = _oidc(options)
    return Options(
        server_id=server_id,
        client_ca_file=authority,
        request_header=request_header,
        anonymous_auth=None if unguarded else options.anonymous_auth,
        anonymous_by_default=not unguarded,
        authentication_config=_path(options.authentication_config),
        token_auth_file=_path(options.token_auth_file),
        enable_bootstrap_token_auth=options.enable_bootstrap_token_auth,
        webhook=_webhook(options),
        oidc=None if oidc == OidcOptions() else oidc,
        service_account_issuer=issuers,
        service_account_key_file=tuple(map(Path, options.service_account_key_file or (signing_key,))),
        service_account_signing_key_file=Path(signing_key),
        service_account_jwks_uri=options.service_account_jwks_uri or f"https://{address}{KEYS_PATH}",
        service_account_lookup=options.service_account_lookup,
        service_account_max_token_expiration_s=options.service_account_max_token_expiration_s,
        service_account_extend_token_expiration=options.service_account_extend_token_expiration,
        api_audiences=options.api_audiences,
    )


def _path(name: str) -> Path | None:
    return Path(name) if name else None


def _request_header(front_proxy: FrontProxy) -> RequestHeaderOptions | None:
    if not front_proxy.requestheader_client_ca_file:
        return None
    return RequestHeaderOptions(
        Path(front_proxy.requestheader_client_ca_file), front_proxy.requestheader_allowed_names,
        front_proxy.requestheader_username_headers, front_proxy.requestheader_uid_headers,
        front_proxy.requestheader_group_headers, front_proxy.requestheader_extra_headers_prefix,
    )  # fmt: skip


def _webhook(options: ServerOptions) -> WebhookOptions | None:
    if not options.authentication_token_webhook_config_file:
        return None
    return WebhookOptions(
        Path(options.authentication_token_webhook_config_file), options.authentication_token_webhook_version,
        options.authentication_token_webhook_cache_ttl_s,
    )  # fmt: skip


def _oidc(options: ServerOptions) -> OidcOptions:
    return OidcOptions(
        options.oidc_issuer_url, options.oidc_client_id, _path(options.oidc_ca_file), options.oidc_username_claim,
        options.oidc_username_prefix, options.oidc_groups_claim, options.oidc_groups_prefix,
        dict(options.oidc_required_claim), options.oidc_signing_algs,
    )  # fmt: skip


def _check_issuers(issuers: tuple[str, ...], jwks_uri: str) -> None:
    for place, issuer in enumerate(issuers):
        if not issuer:
            raise ValueError("service-account-issuer should not be an empty string")
        if issuer in issuers[:place]:
            raise ValueError(f'service-account-issuer "{issuer}" is already specified')
    if jwks_uri and urlsplit(jwks_uri).scheme != "https":
        raise ValueError(f"service-account-jwks-uri requires https scheme, parsed as: {jwks_uri}")


def _check_expiration(seconds: float) -> None:
    if seconds and not EXPIRATION_S_MIN <= seconds <= EXPIRATION_S_MAX:
        raise ValueError("the service-account-max-token-expiration must be between 1 hour and 2^32 seconds")


def _check_overlap(authority: Path, request_header: RequestHeaderOptions) -> None:
    if request_header.allowed_names:
        return
    if read_certificates(authority) & read_certificates(request_header.client_ca_file):
        raise ValueError(
            "--requestheader-client-ca-file and --client-ca-file contain overlapping certificates; "
            "--requestheader-allowed-names must be specified to ensure regular client certificates cannot set authenticating "
            "proxy headers for arbitrary users"
        )
