"""Claims become a user as the configuration says, or the sentence says why not."""

import pytest

from pybernetes.apiserver.attributes import User
from pybernetes.apiserver.authentication.claim_mapping import Mapping
from pybernetes.machinery.errors import Unauthorized

CLAIMS = {"sub": "jane", "email": "j@x", "groups": ["dev", "ops"], "role": "admin", "n": 5, "nothing": None, "mixed": ["a", 1]}
SUB = {"claim": "sub", "prefix": "p:"}


def user(claims=None, **mappings):
    rules = {name: mappings.pop(name) for name in ("claimValidationRules", "userValidationRules") if name in mappings}
    return Mapping({"claimMappings": {"username": SUB, **mappings}, **rules}).user({**CLAIMS, **(claims or {})})


def problem(*arguments, **mappings):
    with pytest.raises(Unauthorized) as refused:
        user(*arguments, **mappings)
    return refused.value.message


def test_claims_get_their_prefix():
    assert user() == User("p:jane")
    assert user(groups={"claim": "groups", "prefix": "g:"}).groups == ("g:dev", "g:ops")
    assert user(groups={"claim": "role", "prefix": ""}).groups == ("admin",)
    assert user(groups={"claim": "absent", "prefix": ""}).groups == ()
    assert user(uid={"claim": "sub"}).uid == "jane"


def test_expressions_make_names():
    found = user(
        username={"expression": "claims.sub + '@' + claims.role"}, groups={"expression": "claims.groups.map(g, 'x:' + g)"},
        uid={"expression": "string(claims.n)"},
        extra=[
            {"key": "a.io/one", "valueExpression": "claims.role"}, {"key": "a.io/none", "valueExpression": "claims.nothing"},
            {"key": "a.io/empty", "valueExpression": "['', '']"},
        ],
    )  # fmt: skip
    assert found == User("jane@admin", "5", ("x:dev", "x:ops"), {"a.io/one": ("admin",)})


def test_an_email_that_is_not_verified_is_no_name():
    by_email = {"claim": "email", "prefix": ""}
    assert user(username=by_email).name == "j@x"
    assert user({"email_verified": True}, username=by_email).name == "j@x"
    assert problem({"email_verified": False}, username=by_email) == "oidc: email not verified"
    assert problem({"email_verified": "true"}, username=by_email) == (
        "oidc: parse 'email_verified' claim: json: cannot unmarshal string into Go value of type bool"
    )


@pytest.mark.parametrize(
    ("mappings", "said"),
    [
        ({"username": {"claim": "absent", "prefix": ""}}, 'oidc: parse username claims "absent": claim not present'),
        (
            {"username": {"claim": "n", "prefix": ""}},
            'oidc: parse username claims "n": json: cannot unmarshal number into Go value of type string',
        ),
        (
            {"groups": {"claim": "mixed", "prefix": ""}},
            'oidc: parse groups claim "mixed": json: cannot unmarshal array into Go value of type string',
        ),
        ({"uid": {"claim": "absent"}}, 'oidc: parse uid claim "absent": claim not present'),
        (
            {"username": {"expression": "claims.absent"}},
            "oidc: error evaluating username claim expression: "
            "expression 'claims.absent' resulted in error: no such key: absent",
        ),
        (
            {"username": {"expression": "claims.n"}},
            "oidc: error evaluating username claim expression: username claim expression must return a string",
        ),
        ({"username": {"expression": "''"}}, "oidc: empty username via CEL expression is not allowed"),
        (
            {"groups": {"expression": "claims.mixed"}},
            "oidc: error evaluating group claim expression: expression must return a string or a list of strings",
        ),
        (
            {"extra": [{"key": "a.io/x", "valueExpression": "claims.n"}]},
            "oidc: error evaluating extra claim expression: claims.n: expression must return a string or a list of strings",
        ),
        (
            {"claimValidationRules": [{"expression": "claims.n > 5", "message": "too few"}]},
            "oidc: error evaluating claim validation expression: validation expression 'claims.n > 5' failed: too few",
        ),
        (
            {"userValidationRules": [{"expression": "user.username == 'x'", "message": "only x"}]},
            "oidc: error evaluating user info validation rule: validation expression 'user.username == 'x'' failed: only x",
        ),
    ],
)
def test_claims_that_make_no_user_say_why(mappings, said):
    assert problem(**mappings) == said


def test_rules_see_what_is_absent_as_empty():
    rule = {"expression": "user.uid == '' && user.groups.size() == 0 && user.extra.size() == 0"}
    assert user(userValidationRules=[rule]).name == "p:jane"
