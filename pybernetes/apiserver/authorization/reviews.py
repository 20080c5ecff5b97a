"""The access reviews: may they, asked through the API. Each returns the review with its status and raises as upstream."""

from __future__ import annotations

from pybernetes.apiserver.attributes import User
from pybernetes.apiserver.authorization.interface import Authorizer
from pybernetes.machinery.meta import Object


async def subject_access_review(review: Object, authorizer: Authorizer) -> Object:
    raise NotImplementedError


async def local_subject_access_review(review: Object, namespace: str, authorizer: Authorizer) -> Object:
    raise NotImplementedError


async def self_subject_access_review(review: Object, user: User, authorizer: Authorizer) -> Object:
    raise NotImplementedError


def self_subject_rules_review(review: Object, user: User, authorizer: Authorizer) -> Object:
    raise NotImplementedError
