"""Reviews: requests that store nothing and are answered at once, about who somebody is and what they may do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from pybernetes.apiserver.attributes import RequestInfo, User
from pybernetes.apiserver.authentication import reviews as identity
from pybernetes.apiserver.authentication.union import Union as Authenticator
from pybernetes.apiserver.authorization import reviews as access
from pybernetes.apiserver.authorization.chain import Chain as Authorizer
from pybernetes.machinery import resources
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.meta import Object, Resource

# (the review, its request, who asks) -> the review with its status
Review = Callable[[Object, RequestInfo, User], Awaitable[Object]]


def handlers(authenticator: Authenticator, authorizer: Authorizer, clock: Clock) -> Mapping[Resource, Review]:
    async def tokens(obj: Object, _: RequestInfo, __: User) -> Object:
        return await identity.token_review(obj, authenticator)

    async def myself(obj: Object, _: RequestInfo, user: User) -> Object:
        return identity.self_subject_review(obj, user, clock)

    async def subject(obj: Object, _: RequestInfo, __: User) -> Object:
        return await access.subject_access_review(obj, authorizer)

    async def local(obj: Object, info: RequestInfo, _: User) -> Object:
        return await access.local_subject_access_review(obj, info.namespace, authorizer)

    async def own(obj: Object, _: RequestInfo, user: User) -> Object:
        return await access.self_subject_access_review(obj, user, authorizer)

    async def rules(obj: Object, _: RequestInfo, user: User) -> Object:
        return access.self_subject_rules_review(obj, user, authorizer)

    return {
        resources.TOKEN_REVIEWS: tokens,
        resources.SELF_SUBJECT_REVIEWS: myself,
        resources.SUBJECT_ACCESS_REVIEWS: subject,
        resources.LOCAL_SUBJECT_ACCESS_REVIEWS: local,
        resources.SELF_SUBJECT_ACCESS_REVIEWS: own,
        resources.SELF_SUBJECT_RULES_REVIEWS: rules,
    }
