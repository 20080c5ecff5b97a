"""Flags that do not go together are refused at the start."""

from dataclasses import replace

import pytest

from pybernetes.apiserver.aggregation.front_proxy import FrontProxy
from pybernetes.apiserver.authentication import OidcOptions, flags
from pybernetes.apiserver.options import Options
from pybernetes.machinery import pki


@pytest.fixture
def read(tmp_path, clock):
    for name in ("users", "proxies"):
        (tmp_path / f"{name}.crt").write_bytes(pki.Authority.create(name, clock.now()).certificate_pem)
    front = FrontProxy(requestheader_client_ca_file=str(tmp_path / "proxies.crt"), requestheader_allowed_names=("front",))

    def read(*, proxy=None, **options):
        given = replace(front, **(proxy or {}))
        users = str(tmp_path / "users.crt")
        return flags.read(
            Options(**options), client_ca=users, signing_key="sa.key", front_proxy=given, address="10.0.0.1:6443", server_id="a"
        )

    return read


def test_without_flags_there_are_users_proxies_and_service_accounts(read, tmp_path):
    found = read()
    assert (found.client_ca_file, found.request_header.allowed_names) == (tmp_path / "users.crt", ("front",))
    assert (found.oidc, found.webhook, found.authentication_config) == (None, None, None)
    assert found.audiences == ("https://kubernetes.default.svc.cluster.local",)
    assert (found.anonymous_auth, found.anonymous_by_default) == (None, True)
    assert found.service_account_jwks_uri == "https://10.0.0.1:6443/openid/v1/jwks"


def test_one_authority_for_users_and_proxies_needs_names(read, tmp_path):
    shared = {"requestheader_client_ca_file": str(tmp_path / "users.crt")}
    assert read(proxy=shared).request_header.allowed_names == ("front",)
    with pytest.raises(ValueError, match="contain overlapping certificates; --requestheader-allowed-names must be specified"):
        read(proxy={**shared, "requestheader_allowed_names": ()})


def test_nobody_is_anonymous_where_everything_is_allowed(read):
    found = read(authorization_mode=("AlwaysAllow",), anonymous_auth=True)
    assert (found.anonymous_auth, found.anonymous_by_default) == (None, False)


def test_any_flag_of_an_issuer_means_one(read):
    assert read(oidc_username_claim="email").oidc == OidcOptions(username_claim="email")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"service_account_issuer": ("a", "a")}, 'service-account-issuer "a" is already specified'),
        ({"service_account_issuer": ("",)}, "service-account-issuer should not be an empty string"),
        ({"service_account_jwks_uri": "http://x"}, "service-account-jwks-uri requires https scheme, parsed as: http://x"),
        ({"service_account_max_token_expiration_s": 60}, "must be between 1 hour and 2\\^32 seconds"),
    ],
)
def test_flags_with_nonsense_are_refused(read, options, said):
    with pytest.raises(ValueError, match=said):
        read(**options)
