"""`WebhookClientConfig`: where a webhook is, as admission configurations and conversions of custom resources say it."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object

_FORM: Final = "; desired format: https://host[/path]"
_CERTIFICATE: Final = re.compile(rb"-----BEGIN CERTIFICATE-----\s.+?-----END CERTIFICATE-----", re.DOTALL)


def validate(config: Object, path: str) -> Iterator[FieldError]:
    """The place; its `caBundle` is another matter (`validate_ca_bundle`)."""
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        yield FieldError.required(path, "exactly one of url or service is required")
    elif url is not None:
        yield from _url(url, path + ".url")
    else:
        assert service is not None
        yield from _service(service, path + ".service")


def validate_ca_bundle(bundle: str, path: str) -> Iterator[FieldError]:
    """`bundle`: base64 of PEM, not empty."""
    try:
        found = _CERTIFICATE.search(base64.b64decode(bundle, validate=True))
    except (ValueError, binascii.Error):
        found = None
    if found is None:
        yield FieldError.invalid(path, bundle, "unable to load root certificates: unable to parse bytes as PEM block")


def _url(url: str, path: str) -> Iterator[FieldError]:
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as error:
        yield FieldError.required(path, f"url must be a valid URL: {error}{_FORM}")
        return
    if parts.scheme != "https":
        yield FieldError.invalid(path, parts.scheme, f"'https' is the only allowed URL scheme{_FORM}")
    if not host:
        yield FieldError.invalid(path, parts.netloc, f"host must be specified{_FORM}")
    if parts.username is not None:
        yield FieldError.invalid(path, parts.netloc.rpartition("@")[0], "user information is not permitted in the URL")
    if parts.fragment:
        yield FieldError.invalid(path, parts.fragment, "fragments are not permitted in the URL")
    if parts.query:
        yield FieldError.invalid(path, parts.query, "query parameters are not permitted in the URL")


def _service(service: Object, path: str) -> Iterator[FieldError]:
    for field in ("name", "namespace"):
        if not service.get(field):
            yield FieldError.required(f"{path}.{field}", f"service {field} is required")
    port = service.get("port", 443)
    if not 1 <= port <= 65535:
        yield FieldError.invalid(path + ".port", port, "port is not valid: must be between 1 and 65535, inclusive")
    yield from _url_path(service.get("path") or "", path + ".path")


def _url_path(given: str, path: str) -> Iterator[FieldError]:
    if given in ("", "/"):
        return
    if given == "//":
        yield FieldError.invalid(path, given, "segment[0] may not be empty")
        return
    if not given.startswith("/"):
        yield FieldError.invalid(path, given, "must start with a '/'")
    for place, step in enumerate(given[1:].removesuffix("/").split("/")):
        if not step:
            yield FieldError.invalid(path, given, f"segment[{place}] may not be empty")
            continue
        for sentence in validation.dns_1123_subdomain_errors(step):
            yield FieldError.invalid(path, given, f"segment[{place}]: {sentence}")
