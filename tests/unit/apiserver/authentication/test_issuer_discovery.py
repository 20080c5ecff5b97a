"""Relying parties find the keys of service-account tokens, if they take them as they are."""

import orjson
import pytest

from pybernetes.apiserver.authentication import Options, issuer_discovery
from pybernetes.apiserver.authentication.tokens import Issuer
from pybernetes.machinery import pki
from pybernetes.machinery.errors import NotAcceptable
from pybernetes.machinery.http.messages import Request

DISCOVERY, KEYS = issuer_discovery.PATHS


@pytest.fixture
def issuer(tmp_path, cluster, clock, entropy):
    pki.write_private(tmp_path / "sa.key", pki.new_key_pem())
    options = Options(
        service_account_issuer=("https://issuer",), service_account_signing_key_file=tmp_path / "sa.key",
        service_account_jwks_uri="https://elsewhere/keys",
    )  # fmt: skip
    return Issuer(options, reader=cluster, clock=clock, entropy=entropy)


def get(issuer, path, accept=None):
    return issuer_discovery.serve(Request("GET", path, headers={} if accept is None else {"accept": accept}), issuer)


@pytest.mark.parametrize("accept", [None, "*/*", "application/json, */*", "application/jwk-set+json", "application/*;q=0.5"])
def test_the_key_set_is_for_whoever_takes_one(issuer, accept):
    answer = get(issuer, KEYS, accept)
    assert answer.headers["Content-Type"] == "application/jwk-set+json"
    assert [key["kty"] for key in orjson.loads(answer.body)["keys"]] == ["EC"]


def test_who_wants_plain_json_gets_no_key_set(issuer):
    with pytest.raises(NotAcceptable) as refused:
        get(issuer, KEYS, "application/json")
    assert refused.value.status == {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "NotAcceptable", "code": 406,
        "message": "406: Not Acceptable\n\nAvailable representations: application/jwk-set+json", "details": {},
    }  # fmt: skip


def test_the_document_says_where_the_keys_are(issuer):
    answer = get(issuer, DISCOVERY, "application/json")
    assert (answer.headers["Content-Type"], answer.headers["Cache-Control"]) == ("application/json", "public, max-age=3600")
    assert orjson.loads(answer.body) == {
        "issuer": "https://issuer", "jwks_uri": "https://elsewhere/keys", "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["ES256"],
    }  # fmt: skip


@pytest.mark.parametrize("issuer", ["api", "http://issuer", "https://issuer?a=b", "https://issuer#x"])
def test_an_issuer_whose_name_leads_nowhere_is_not_discoverable(issuer):
    assert not issuer_discovery.is_discoverable(issuer)
    assert issuer_discovery.is_discoverable("https://issuer/path")
