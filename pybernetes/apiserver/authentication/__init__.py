"""Who is asking: a request's credential becomes a `User`, or the request ends in 401.

    Request -> build(...).authenticate -> User   (client certificate, bearer token, anonymous: tried in upstream's order)
    User + Impersonate-* headers -> impersonate -> User

Start at `union.py` (the order), then one file per kind of credential. `tokens.py` issues what `service_account.py` verifies;
`reviews.py` answers TokenReview and SelfSubjectReview.

Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/
"""

from pybernetes.apiserver.authentication.options import Options, RequestHeaderOptions, WebhookOptions
from pybernetes.apiserver.authentication.union import build

__all__ = ["Options", "RequestHeaderOptions", "WebhookOptions", "build"]
