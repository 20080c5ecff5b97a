"""Bearer tokens that a webhook knows: it is sent a TokenReview and answers with its status.

Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#webhook-token-authentication
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

from pybernetes.apiserver.attributes import User
from pybernetes.apiserver.authentication.audiences import intersection
from pybernetes.apiserver.authentication.interface import Identity
from pybernetes.apiserver.kubeconfig_webhook import KubeconfigWebhook, WebhookFailed
from pybernetes.machinery.errors import Unauthorized
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object

log = logger("authentication")

_T = TypeVar("_T")

VERSIONS: Final = ("v1", "v1beta1")


class WebhookTokens:
    def __init__(self, webhook: KubeconfigWebhook, version: str, audiences: tuple[str, ...]) -> None:
        """`audiences`: what a token is for of which the webhook says nothing. Raises ValueError for a version that is none."""
        if version not in VERSIONS:
            known = ", ".join(f'"{name}"' for name in VERSIONS)
            raise ValueError(f'unsupported authentication webhook version "{version}", supported versions are {known}')
        self._webhook = webhook
        self._api_version = f"authentication.k8s.io/{version}"
        self._audiences = audiences

    async def authenticate_token(self, token: str, audiences: tuple[str, ...]) -> Identity | None:
        spec: Object = {"token": token}
        if audiences:
            spec["audiences"] = list(audiences)
        review: Object = {"kind": "TokenReview", "apiVersion": self._api_version, "metadata": {}, "spec": spec}
        try:
            answer = await self._webhook.post({**review, "status": {"user": {}}})
            return _identity(_of_type(dict, answer.get("status"), "status"), audiences, self._audiences)
        except WebhookFailed as error:
            log.error("Failed to make webhook authenticator request", err=str(error))
            raise Unauthorized(str(error)) from error

    async def close(self) -> None:
        await self._webhook.close()


def _identity(status: Object, wanted: tuple[str, ...], own: tuple[str, ...]) -> Identity | None:
    """Raises `Unauthorized` where the webhook says why not, `WebhookFailed` for fields of the wrong type."""
    meant = intersection(wanted, _texts(status.get("audiences"), "status.audiences") or own)
    if wanted and not meant:
        return None
    if status.get("authenticated") is not True:
        problem = _of_type(str, status.get("error"), "status.error")
        if problem:
            raise Unauthorized(problem)
        return None
    user = _of_type(dict, status.get("user"), "status.user")
    extra = _of_type(dict, user.get("extra"), "status.user.extra")
    return Identity(
        User(
            _of_type(str, user.get("username"), "status.user.username"),
            _of_type(str, user.get("uid"), "status.user.uid"),
            _texts(user.get("groups"), "status.user.groups"),
            {key: _texts(values, f"status.user.extra[{key}]") for key, values in extra.items()},
        ),
        meant,
    )


def _texts(value: Any, field: str) -> tuple[str, ...]:
    return tuple(_of_type(str, item, field) for item in _of_type(list, value, field))


def _of_type(kind: type[_T], value: Any, field: str) -> _T:
    """`value`, or what is empty for an absent one."""
    if value is None:
        return kind()
    if not isinstance(value, kind):
        raise WebhookFailed(f"{field} of the answer is no {kind.__name__}")
    return value
