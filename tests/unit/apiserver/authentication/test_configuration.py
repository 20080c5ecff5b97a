"""What is wrong with an AuthenticationConfiguration is said in upstream's words."""

import json
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.apiserver.authentication import OidcOptions, configuration
from pybernetes.apiserver.authentication.claim_mapping import Mapping
from pybernetes.apiserver.authentication.configuration import Configuration
from pybernetes.apiserver.authentication.configuration_checks import check


def entry(issuer=None, mappings=None, **fields):
    return {
        "issuer": {"url": "https://issuer", "audiences": ["a"], **(issuer or {})},
        "claimMappings": {"username": {"claim": "sub", "prefix": ""}, **(mappings or {})},
        **fields,
    }


def expression(text):
    return {"username": {"expression": text}}


def problem(*entries, own=(), **fields):
    with pytest.raises(ValueError) as refused:
        check(Configuration(tuple(entries), **fields), own)
    return str(refused.value)


def test_an_entry_in_order_is_fine():
    check(Configuration((entry(), entry({"url": "https://other", "discoveryURL": "https://other/found"}))), ("https://own",))
    check(Configuration(()), ())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (entry({"url": ""}), "jwt[0].issuer.url: Required value"),
        (entry({"url": "http://x"}), 'jwt[0].issuer.url: Invalid value: "http://x": URL scheme must be https'),
        (entry({"url": "https://u:p@x"}), 'Invalid value: "https://u:p@x": URL must not contain a username or password'),
        (entry({"url": "https://x?a=b"}), "URL must not contain a query"),
        (entry({"url": "https://x#b"}), "URL must not contain a fragment"),
        (
            entry({"discoveryURL": "https://issuer/"}),
            'jwt[0].issuer.discoveryURL: Invalid value: "https://issuer/": discoveryURL must be different from URL',
        ),
        (entry({"audiences": []}), "jwt[0].issuer.audiences: Required value: at least one jwt[0].issuer.audiences is required"),
        (entry({"audiences": ["a", "a"], "audienceMatchPolicy": "MatchAny"}), 'audiences[1]: Duplicate value: "a"'),
        (
            entry({"audiences": ["a", "b"]}),
            'audienceMatchPolicy: Invalid value: "": audienceMatchPolicy must be MatchAny for multiple audiences',
        ),
        (entry({"audienceMatchPolicy": "MatchAll"}), "audienceMatchPolicy must be empty or MatchAny for single audience"),
        (
            entry({"certificateAuthority": "nonsense"}),
            'certificateAuthority: Invalid value: "<omitted>": data does not contain any valid RSA or ECDSA certificates',
        ),
        (entry({"egressSelectorType": "moon"}), "egress selector must be either controlplane or cluster"),
        (entry({"egressSelectorType": "cluster"}), "no egress selector is configured"),
        (entry(mappings={"username": {}}), "jwt[0].claimMappings.username: Required value: claim or expression is required"),
        (
            entry(mappings={"username": {"claim": "sub"}}),
            "jwt[0].claimMappings.username.prefix: Required value: prefix is required when claim is set. It can be set to an "
            "empty string to disable prefixing",
        ),
        (
            entry(mappings={"username": {"claim": "sub", "expression": "claims.sub"}}),
            "jwt[0].claimMappings.username: Invalid value: \"\": claim and expression can't both be set",
        ),
        (
            entry(mappings={"username": {"expression": "claims.sub", "prefix": ""}}),
            'jwt[0].claimMappings.username.prefix: Invalid value: "": may not be specified when expression is set',
        ),
        (entry(mappings=expression("claims.")), 'username.expression: Invalid value: "claims.": compilation failed: ERROR'),
        (
            entry(mappings=expression("claims.email")),
            "claims.email_verified must be used in claimMappings.username.expression or claimMappings.extra[*].valueExpression "
            "or claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression",
        ),
        (
            entry(mappings={"extra": [{"key": "plain", "valueExpression": "'x'"}]}),
            'jwt[0].claimMappings.extra[0].key: Invalid value: "plain": must be a domain-prefixed path (such as "acme.io/foo")',
        ),
        (entry(mappings={"extra": [{"key": "acme.io/A", "valueExpression": "'x'"}]}), "must be lowercase"),
        (
            entry(mappings={"extra": [{"key": "x.k8s.io/a", "valueExpression": "'x'"}]}),
            "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use",
        ),
        (entry(mappings={"extra": [{"key": "acme.io/a"}]}), "jwt[0].claimMappings.extra[0].valueExpression: Required value"),
        (entry(claimValidationRules=[{}]), "jwt[0].claimValidationRules[0]: Required value: claim or expression is required"),
        (
            entry(claimValidationRules=[{"claim": "a", "message": "no"}]),
            'jwt[0].claimValidationRules[0].message: Invalid value: "no": may not be specified when claim is set',
        ),
        (
            entry(claimValidationRules=[{"expression": "true", "requiredValue": "x"}]),
            'claimValidationRules[0].requiredValue: Invalid value: "x": may not be specified when expression is set',
        ),
        (entry(claimValidationRules=[{"claim": "a"}] * 2), 'jwt[0].claimValidationRules[1].claim: Duplicate value: "a"'),
        (
            entry(claimValidationRules=[{"expression": "claims.ok"}]),
            'jwt[0].claimValidationRules[0].expression: Invalid value: "claims.ok": must evaluate to bool',
        ),
        (entry(userValidationRules=[{}]), "jwt[0].userValidationRules[0].expression: Required value"),
        (entry(userValidationRules=[{"expression": "user.email == ''"}]), "undefined field 'email'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(wrong, said):
    assert said in problem(wrong)


def test_entries_must_not_meet():
    found = problem(entry({"discoveryURL": "https://d"}), entry({"discoveryURL": "https://d"}))
    assert 'jwt[1].issuer.url: Duplicate value: "https://issuer"' in found
    assert 'jwt[1].issuer.discoveryURL: Duplicate value: "https://d"' in found
    assert problem(entry(), own=("https://issuer", "b")) == (
        'jwt[0].issuer.url: Invalid value: "https://issuer": URL must not overlap with disallowed issuers: [b https://issuer]'
    )
    assert problem(*[entry()] * 65) == "jwt: Too many: 65: must have at most 64 items"


@pytest.mark.parametrize(
    "mappings", [expression("claims.?email_verified.orValue(true) ? claims.email : claims.sub"), expression("claims['email']")]
)
def test_an_email_that_is_looked_at_is_fine(mappings):
    check(Configuration((entry(mappings=mappings),)), ())


def test_conditions_are_for_anonymous_requests_that_are_allowed():
    conditions = [{"path": "/livez"}]
    check(Configuration(anonymous={"enabled": True, "conditions": conditions}), ())
    assert problem(anonymous={"enabled": False, "conditions": conditions}) == (
        'anonymous.conditions: Invalid value: [{"Path":"/livez"}]: enabled should be set to true when conditions are defined'
    )


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty config data"),
        (b"kind: AuthenticationConfiguration\napiVersion: apiserver.config.k8s.io/v2\n", "no kind"),
        (b"kind: AuthenticationConfiguration\napiVersion: apiserver.config.k8s.io/v1\njwts: []\n", 'unknown field "jwts"'),
    ],
)
def test_a_file_is_read_strictly(data, said):
    with pytest.raises(ValueError, match=said):
        configuration.load(data)


def test_the_flags_say_the_same_as_a_file():
    flags = OidcOptions("https://issuer", "me", username_claim="name", groups_claim="g", required_claim={"hd": "x"})
    assert configuration.of_flags(flags).jwt == (
        {
            "issuer": {"url": "https://issuer", "audiences": ["me"]},
            "claimMappings": {
                "username": {"claim": "name", "prefix": "https://issuer#"}, "groups": {"claim": "g", "prefix": ""},
            },
            "claimValidationRules": [{"claim": "hd", "requiredValue": "x"}],
        },
    )  # fmt: skip


@pytest.mark.parametrize(("claim", "given", "prefix"), [("email", "", ""), ("sub", "-", ""), ("sub", "x:", "x:")])
def test_a_username_prefix_may_be_left_out_or_given(claim, given, prefix):
    found = configuration.of_flags(OidcOptions("https://issuer", "me", username_claim=claim, username_prefix=given))
    assert found.jwt[0]["claimMappings"]["username"]["prefix"] == prefix


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (OidcOptions("https://issuer"), "must be specified together"),
        (OidcOptions("https://issuer", "me", signing_algs=("HS256",)), 'oidc: unsupported signing alg: "HS256"'),
    ],
)
def test_flags_that_do_not_go_together_are_refused(flags, said):
    with pytest.raises(ValueError, match=said):
        configuration.of_flags(flags)


WHOLE = {
    "kind": "AuthenticationConfiguration",
    "apiVersion": "apiserver.config.k8s.io/v1",
    "anonymous": {"enabled": True, "conditions": [{"path": "/livez"}]},
    "jwt": [
        entry(
            {"discoveryURL": "https://found", "certificateAuthority": ""},
            {
                "groups": {"expression": "claims.g"}, "uid": {"claim": "oid"},
                "extra": [{"key": "acme.io/a", "valueExpression": "claims.x"}],
            },
            claimValidationRules=[{"claim": "a", "requiredValue": "b"}, {"expression": "true"}],
            userValidationRules=[{"expression": "true", "message": "no"}],
        )
    ],
}  # fmt: skip
PEM = "-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----"
ODD = (None, 5, 1.5, True, "", "x", [], {}, ["a"], [None], {"a": None}, "https://[::1", "claims.", "\0", PEM)


def places(value, path=()):
    """The ways to everything in a document."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


@given(st.sampled_from(sorted(places(WHOLE), key=str)), st.sampled_from(ODD))
def test_whatever_is_somewhere_in_a_file_is_refused_or_can_be_carried_out(path, value):
    document = deepcopy(WHOLE)
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    try:
        found = configuration.load(json.dumps(document).encode())
        check(found, ())
    except ValueError:
        return
    for each in found.jwt:
        Mapping(each)
