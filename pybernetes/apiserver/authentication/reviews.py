"""TokenReview and SelfSubjectReview.

Source: https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/
"""

from __future__ import annotations

from pybernetes.apiserver.attributes import User
from pybernetes.apiserver.authentication.union import Union
from pybernetes.machinery.clock import Clock, rfc3339
from pybernetes.machinery.errors import BadRequest, Unauthorized
from pybernetes.machinery.meta import Object


async def token_review(review: Object, authenticator: Union) -> Object:
    """The TokenReview with its status. Raises `BadRequest` without a token."""
    spec = review.get("spec") or {}
    token = spec.get("token", "")
    if not token:
        raise BadRequest("token is required for TokenReview in authentication")
    status: Object
    try:
        identity = await authenticator.authenticate_token(token, tuple(spec.get("audiences") or ()))
    except Unauthorized as error:
        status = {"user": {}, "error": error.message}
    else:
        status = {"authenticated": True, "user": identity.user.info}
        if identity.audiences:
            status["audiences"] = list(identity.audiences)
    return {**review, "status": status}


def self_subject_review(review: Object, user: User, clock: Clock) -> Object:
    """The SelfSubjectReview with its status: who the server thinks that you are."""
    metadata = {**(review.get("metadata") or {}), "creationTimestamp": rfc3339(clock.now())}
    return {**review, "metadata": metadata, "status": {"userInfo": user.info}}
