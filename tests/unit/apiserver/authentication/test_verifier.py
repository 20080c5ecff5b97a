"""A JWT is judged in order, and nothing that a stranger sends does more than be refused."""

import base64
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pybernetes.apiserver.authentication.unverified import unverified_claims, unverified_issuer
from pybernetes.apiserver.authentication.verifier import Verifier
from pybernetes.machinery.errors import Unauthorized

ISSUER = "https://issuer"
GOOD = {"iss": ISSUER, "aud": "me", "sub": "jane", "exp": 4102444800}


class Keys:
    """Where nobody, or everybody, has signed."""

    def __init__(self, *, signed=False, known=True):
        self.are_known = known
        self.signed = signed
        self.asked = []

    async def verify(self, token, algorithm, key_id):
        self.asked.append((algorithm, key_id))
        return self.signed


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def token(claims=None, **header):
    return ".".join((part({"alg": "RS256", "kid": "k", **header}), part({**GOOD, **(claims or {})}), "c2lnbmF0dXJl"))


@pytest.fixture
def judge(clock):
    async def judge(text, **keys):
        return await Verifier(ISSUER, Keys(**keys), ["me"], ["RS256"], clock).claims(text)

    return judge


async def test_what_is_in_order_and_signed_says_what_it_says(judge):
    assert await judge(token(), signed=True) == GOOD
    assert await judge(token({"aud": ["other", "me"]}), signed=True) == {**GOOD, "aud": ["other", "me"]}


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"iss": "https://other"}, 'issued by a different provider, expected "https://issuer" got "https://other"'),
        ({"aud": None}, 'oidc: expected audience in ["me"] got []'),
        ({"exp": None}, "oidc: token is expired (Token Expiry: 0001-01-01T00:00:00Z)"),
        ({"exp": 1}, "oidc: token is expired (Token Expiry: 1970-01-01T00:00:01Z)"),
        ({"exp": "soon"}, "exp is no number"),
        ({"nbf": 4102444800}, "oidc: current time 2026-11-21T10:00:00Z before the nbf (not before) time: 2100-01-01T00:00:00Z"),
    ],
)
async def test_a_claim_that_is_wrong_is_named(judge, claims, said):
    with pytest.raises(Unauthorized) as refused:
        await judge(token(claims), signed=True)
    assert said in refused.value.message


async def test_only_the_algorithms_that_are_named_are_tried(judge):
    with pytest.raises(Unauthorized, match='expected \\["RS256"\\] got "none"'):
        await judge(token(alg="none"), signed=True)


async def test_nothing_is_judged_before_the_keys_are_known(judge):
    with pytest.raises(Unauthorized, match="oidc: authenticator not initialized"):
        await judge(token(), signed=True, known=False)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(("iss", "aud", "exp", "nbf", "sub", "alg", "kid", "typ", "crit", "b64"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(header=st.dictionaries(names, anything), claims=st.dictionaries(names, anything))
async def test_whatever_is_not_signed_is_refused(judge, header, claims):
    with pytest.raises(Unauthorized):
        await judge(token(claims, **header))


@given(
    st.text(alphabet=st.characters(max_codepoint=255)) | st.lists(st.text(max_size=20), min_size=3, max_size=3).map(".".join)
)
def test_what_is_no_token_has_no_issuer(text):
    assert isinstance(unverified_issuer(text), str)
    assert unverified_claims(text) is None or isinstance(unverified_claims(text), dict)
