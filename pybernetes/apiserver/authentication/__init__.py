"""Who is asking: a request's credential becomes a `User`, or the request ends in 401.

    Request -> build(...).authenticate -> User   (front proxy, certificate, token, anonymous: in upstream's order)
    User + Impersonate-* headers -> impersonate -> User

Start at `union.py` (the order), then one file per kind of credential. `tokens.py` issues what `service_account.py` verifies;
`reviews.py` answers TokenReview and SelfSubjectReview. Issuers of JWTs: `configuration.py` (what is said of them),
`jwt_issuers.py` (all of them), `jwt_tokens.py` (one), `issuer_keys.py` (its keys), `claim_mapping.py` (from claims to a user).

Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/
"""

from pybernetes.apiserver.authentication.options import OidcOptions, Options, RequestHeaderOptions, WebhookOptions
from pybernetes.apiserver.authentication.union import build

__all__ = ["OidcOptions", "Options", "RequestHeaderOptions", "WebhookOptions", "build"]
