"""The authorizer as expressions may ask it: verdicts on one request's user.

Expressions are evaluated `by_turns`, so that they can wait for an authorizer that waits for somebody.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from pybernetes.apiserver.admission.interface import AdmissionRequest
from pybernetes.apiserver.attributes import RequestInfo, User
from pybernetes.apiserver.authorization.interface import Authorizer
from pybernetes.apiserver.authorization.interface import Decision as Allows
from pybernetes.machinery.cel import library_authorizer as cel
from pybernetes.machinery.cel.library_authorizer import Decision, Question
from pybernetes.machinery.turns import wait_for


class Verdicts:
    """Each question is asked once in its life: that of a request in one plugin."""

    def __init__(self, authorizer: Authorizer, request: AdmissionRequest) -> None:
        self._authorizer = authorizer
        self._request = request
        self._known: dict[Question, Decision] = {}

    def variables(self) -> Mapping[str, Any]:
        """`authorizer`, and the shorthand for what the request itself is about."""
        request = self._request
        resource = request.resource
        itself = Question(
            group=resource.group, resource=resource.plural, subresource=request.subresource, namespace=request.namespace,
            name=request.name,
        )  # fmt: skip
        return {
            "authorizer": cel.Authorizer(self._answer),
            "authorizer.requestResource": cel.ResourceCheck(self._answer, itself),
        }

    def _answer(self, question: Question) -> Decision:
        known = self._known.get(question)
        if known is None:
            user, info = _user(question, self._request.user), _info(question)
            verdict = wait_for(partial(self._authorizer.authorize, user, info))
            known = Decision(verdict.decision is Allows.ALLOW, verdict.reason, verdict.error)
            self._known[question] = known
        return known


def _user(question: Question, sender: User) -> User:
    if question.service_account is None:
        return sender
    namespace, name = question.service_account
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    return User(f"system:serviceaccount:{namespace}:{name}", groups=groups)


def _info(question: Question) -> RequestInfo:
    if question.path:
        return RequestInfo(question.verb, question.path)
    return RequestInfo(
        verb=question.verb, path="", is_resource=True, group=question.group, version="*", resource=question.resource,
        subresource=question.subresource, namespace=question.namespace, name=question.name,
        label_selector=question.label_selector, field_selector=question.field_selector,
    )  # fmt: skip
