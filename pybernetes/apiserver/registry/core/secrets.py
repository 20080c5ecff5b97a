"""Secrets: typed (API concepts, "Types of Secret"), written as text or base64, possibly immutable (KEP-1412)."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks, printing
from pybernetes.apiserver.registry.core.config_maps import SIZE_MAX, decoded_size, frozen
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Context, Strategy
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.json_text import syntax_error
from pybernetes.machinery.meta import Object, annotations_of, name_of
from pybernetes.machinery.resources import SECRETS

OPAQUE = "Opaque"
SERVICE_ACCOUNT_TOKEN = "kubernetes.io/service-account-token"
SERVICE_ACCOUNT_NAME = "kubernetes.io/service-account.name"
_REDACTED = "<secret contents redacted>"
_DOCKER_KEYS = {"kubernetes.io/dockercfg": ".dockercfg", "kubernetes.io/dockerconfigjson": ".dockerconfigjson"}


def default(secret: Object) -> None:
    if not secret.get("type"):
        secret["type"] = OPAQUE
    texts = secret.pop("stringData", None)
    if texts:
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
        secret["data"] = {**(secret.get("data") or {}), **encoded}


def prepare_for_update(_: Context, new: Object, old: Object) -> None:
    if not new.get("type"):
        new["type"] = old.get("type", OPAQUE)


def validate(secret: Object) -> Iterator[FieldError]:
    data, type_ = secret.get("data") or {}, secret.get("type", "")
    size = 0
    for key, value in data.items():
        yield from checks.invalid_by(f"data[{key}]", key, validation.config_key_errors)
        size += decoded_size(value)
    if size > SIZE_MAX:
        yield FieldError.too_long("data", SIZE_MAX)
    if type_ == SERVICE_ACCOUNT_TOKEN:
        if not annotations_of(secret).get(SERVICE_ACCOUNT_NAME):
            yield FieldError.required(f"metadata.annotations[{SERVICE_ACCOUNT_NAME}]")
    elif type_ in _DOCKER_KEYS:
        key = _DOCKER_KEYS[type_]
        if key not in data:
            yield FieldError.required(f"data[{key}]")
        elif error := syntax_error(base64.b64decode(data[key])):
            yield FieldError.invalid(f"data[{key}]", _REDACTED, error)
    elif type_ == "kubernetes.io/basic-auth":
        if "username" not in data and "password" not in data:
            yield FieldError.required("data[username]")
            yield FieldError.required("data[password]")
    elif type_ == "kubernetes.io/ssh-auth":
        if not data.get("ssh-privatekey"):
            yield FieldError.required("data[ssh-privatekey]")
    elif type_ == "kubernetes.io/tls":
        for key in ("tls.crt", "tls.key"):
            if key not in data:
                yield FieldError.required(f"data[{key}]")


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from checks.immutable(new.get("type"), old.get("type"), "type")
    yield from frozen(new, old, ("data",))


def cells(secret: Object, now: datetime) -> list[Any]:
    return [name_of(secret), secret.get("type", ""), len(secret.get("data") or ()), printing.age(secret, now)]


STRATEGY = Strategy(
    resource=SECRETS,
    default=default,
    prepare_for_update=prepare_for_update,
    validate=validate,
    validate_update=validate_update,
    selectable_fields={"type": lambda secret: secret.get("type", "")},
    columns=(NAME, Column("Type"), Column("Data"), AGE),
    cells=cells,
)
