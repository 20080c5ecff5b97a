"""TokenReview and SelfSubjectReview."""

from __future__ import annotations

from pybernetes.apiserver.attributes import User
from pybernetes.apiserver.authentication.interface import Authenticator
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.meta import Object


async def token_review(review: Object, authenticator: Authenticator) -> Object:
    """The TokenReview with its status."""
    raise NotImplementedError


def self_subject_review(review: Object, user: User, clock: Clock) -> Object:
    """The SelfSubjectReview with its status: who the server thinks that you are."""
    raise NotImplementedError
