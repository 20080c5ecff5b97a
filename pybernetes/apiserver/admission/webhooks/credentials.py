"""As whom webhooks are called: the users of a kubeconfig, named by the servers that they are for.

A user named `hook.example.com:8443` is for that server, `*.example.com` for those of the domain, `*` for all others; a name
without a port is for port 443. Where no name fits, the current context's user counts.
Source: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#authenticate-apiservers
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator
from typing import Final

from pybernetes.apiserver.admission.configuration import check_kind
from pybernetes.client.kubeconfig import Access, ConfigError, load
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.files import Stamp, stamp_of
from pybernetes.machinery.meta import Object

KIND: Final = "WebhookAdmissionConfiguration"
VERSIONS: Final = ("apiserver.config.k8s.io/v1",)
_ALPHA: Final = ("WebhookAdmission", ("apiserver.config.k8s.io/v1alpha1",))


class Credentials:
    """Of one kubeconfig, which is read once; the files that it names are followed."""

    def __init__(self, config: Object, clock: Clock) -> None:
        """Raises `ConfigError` for a user that nobody can be."""
        self._users = {str(entry["name"]): Access(config, user=str(entry["name"])) for entry in config.get("users") or ()}
        self._tokens = {name: access.token(clock) for name, access in self._users.items()}
        contexts = {entry["name"]: entry.get("context") or {} for entry in config.get("contexts") or ()}
        self._current = str(contexts.get(config.get("current-context"), {}).get("user") or "")

    def name_for(self, target: str) -> str:
        """Which user is for a server (`host:port`); "" for none."""
        return next((name for name in (*names_for(target), self._current) if name in self._users), "")

    def token(self, name: str) -> str | Callable[[], str] | None:
        return self._tokens.get(name)

    def stamp(self, name: str) -> Stamp:
        """Another one when the certificate's files have changed."""
        user = self._users[name].user
        return stamp_of(user.get("client-certificate") or "", user.get("client-key") or "")

    def present(self, name: str, context: ssl.SSLContext) -> None:
        """Let connections show the user's certificate, if there is one. Raises `ConfigError`."""
        self._users[name].present_certificate(context)


def names_for(target: str) -> Iterator[str]:
    """The names that fit a server (`host:port`), the closest first."""
    yield from _with_domains(target)
    host, _, port = target.rpartition(":")
    if port == "443":
        yield from _with_domains(host.strip("[]"))
    yield "*"


def _with_domains(target: str) -> Iterator[str]:
    yield target
    parts = target.split(".")
    for place in range(1, len(parts)):
        yield ".".join(("*", *parts[place:]))


def read(document: Object, clock: Clock) -> Credentials:
    """As the plugin's document says. Raises ValueError."""
    alpha, versions = _ALPHA
    if document.get("kind") == alpha:
        check_kind(document, alpha, versions)
    else:
        check_kind(document, KIND, VERSIONS)
    if document.get("staticManifestsDir"):
        raise ValueError("staticManifestsDir: webhooks that are configured by files are not there yet")
    path = document.get("kubeConfigFile") or ""
    if not path:
        return Credentials({}, clock)
    if not isinstance(path, str) or not os.path.isabs(path):
        raise ValueError(str(FieldError.invalid("kubeConfigFile", path, "must be an absolute file path")))
    try:
        return Credentials(load(path), clock)
    except ConfigError as error:
        raise ValueError(str(error)) from error
