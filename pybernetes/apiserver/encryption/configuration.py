"""The file of `--encryption-provider-config`: EncryptionConfiguration (apiserver.config.k8s.io/v1), read and checked.

Source: API reference, "kube-apiserver Encryption Configuration (v1)"; tasks, "Encrypting Confidential Data at Rest". The
sentences of errors are upstream's; no key, and no part of one, is ever in them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pybernetes.machinery import config_file, go_duration
from pybernetes.machinery.errors import FieldError, aggregate

API_VERSION: Final = "apiserver.config.k8s.io/v1"
KIND: Final = "EncryptionConfiguration"
KMS_TIMEOUT: Final = "3s"
KEY_BYTES: Final[Mapping[str, Sequence[int]]] = {"aesgcm": (16, 24, 32), "aescbc": (16, 24, 32), "secretbox": (32,)}
NO_PROVIDER: Final = "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity"

_TEXT: Final = {"type": "string"}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _list(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


_KEYS: Final = _object(keys=_list(_object(name=_TEXT, secret=_TEXT)))
_KMS: Final = _object(apiVersion=_TEXT, name=_TEXT, cachesize={"type": "integer"}, endpoint=_TEXT, timeout=_TEXT)
_PROVIDER: Final = _object(aesgcm=_KEYS, aescbc=_KEYS, secretbox=_KEYS, kms=_KMS, identity={"type": "object"})
_SCHEMA: Final = _object(resources=_list(_object(resources=_list(_TEXT), providers=_list(_PROVIDER))))
_PROVIDERS: Final = ("aesgcm", "aescbc", "secretbox", "kms", "identity")
_NOT_SERVED: Final = frozenset(("apiserveripinfo", "serviceipallocations", "servicenodeportallocations"))


@dataclass(frozen=True, slots=True)
class Key:
    name: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Kms:
    """A key management service's plugin, reached through a socket of this machine."""

    api_version: str
    name: str
    endpoint: str
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Provider:
    """`kind` is the field's name: aesgcm, aescbc, secretbox (with `keys`), kms (with `kms`), or identity."""

    kind: str
    keys: tuple[Key, ...] = ()
    kms: Kms | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """For some resources (`secrets`, `deployments.apps`, `*.apps`, `*.`, `*.*`): the first provider writes, all read."""

    resources: tuple[str, ...]
    providers: tuple[Provider, ...]


@dataclass(frozen=True, slots=True)
class Configuration:
    rules: tuple[Rule, ...]
    hash: str  # of the file's content


def read(path: str) -> tuple[bytes, str]:
    """The file and the hash of its content. Raises ValueError."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise ValueError(f'error reading encryption provider configuration file "{path}": open {path}: {why}') from error
    if not data:
        raise ValueError(f'encryption provider configuration file "{path}" is empty')
    return data, hashlib.sha256(data).hexdigest()


def load(path: str, *, reload: bool) -> Configuration:
    """`reload`: whether the file is read again when it changes; the rules for names of plugins are stricter then.

    Raises ValueError with upstream's sentence.
    """
    try:
        try:
            data, digest = read(path)
        except ValueError as error:
            raise ValueError(f"error while loading file: {error}") from error
        try:
            document = decode(data)
        except ValueError as error:
            raise ValueError(f'error decoding encryption provider configuration file "{path}": {error}') from error
        if errors := aggregate(map(str, validate(document, reload=reload))):
            raise ValueError(errors)
    except ValueError as error:
        raise ValueError(f"error while parsing file: {error}") from error
    return Configuration(tuple(_rule(rule) for rule in document["resources"]), digest)


def decode(data: bytes) -> dict[str, Any]:
    """The document, every field of a known name and the right type, defaults put in. Raises ValueError."""
    try:
        document = config_file.read(data, KIND, {API_VERSION: _SCHEMA})
    except ValueError as error:
        what, of_file, _ = str(error).partition(" is missing in ")  # what follows is the file, and so the keys
        raise ValueError(f"{what}{of_file.removesuffix(' in ')}") from None
    for rule in document.get("resources") or ():
        for provider in rule.get("providers") or ():
            if (kms := provider.get("kms")) is not None:
                kms["apiVersion"] = kms.get("apiVersion") or "v1"
                kms["timeout"] = kms.get("timeout") or KMS_TIMEOUT
                go_duration.parse(kms["timeout"])
                if kms["apiVersion"] == "v1" and kms.get("cachesize") is None:
                    kms["cachesize"] = 1000
    return document


def validate(document: Mapping[str, Any], *, reload: bool) -> Iterator[FieldError]:
    rules = document.get("resources") or ()
    if not rules:
        yield FieldError.required("resources", "at least one resources is required")
    plugins: set[str] = set()
    for index, rule in enumerate(rules):
        here = f"resources[{index}]"
        names, providers = rule.get("resources") or [], rule.get("providers") or []
        if not names:
            yield FieldError.required(f"{here}.resources", f"at least one {here}.resources is required")
        yield from _overlaps(names, f"{here}.resources")
        for place, name in enumerate(names):
            if why := _bad_resource(name):
                yield FieldError.invalid(f"{here}.resources[{place}]", name, why)
        if not providers:
            yield FieldError.required(f"{here}.providers", f"at least one {here}.providers is required")
        for place, provider in enumerate(providers):
            yield from _check_provider(provider, f"{here}.providers[{place}]", plugins, reload)


def split(resource: str) -> tuple[str, str]:
    """(group, plural) of a group resource as text."""
    plural, _, group = resource.partition(".")
    return group, plural


def _overlaps(names: Sequence[str], path: str) -> Iterator[FieldError]:
    found = [split(name) for name in names]
    if len(set(found)) < len(found):
        yield FieldError.invalid(path, list(names), "the same resource cannot be specified multiple times")
    several = set(found)
    groups = [group for group, _ in several]
    masked = any(plural == "*" and groups.count(group) > 1 for group, plural in several)
    if masked or (("*", "*") in several and len(several) > 1):
        why = "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as they will be"
        yield FieldError.invalid(path, list(names), f"{why} masked")


def _bad_resource(name: str) -> str:
    """Why it cannot be in the list; "" if it can."""
    group, plural = split(name)
    if name != name.lower():
        return "resource name should not contain capital letters"
    if name == "*":
        return "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources"
    if name in _NOT_SERVED:
        return "resources which do not have REST API/s cannot be encrypted"
    if group == "events.k8s.io":
        return (
            "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in the config file"
        )
    if group == "extensions":
        return "'extensions' group has been removed and cannot be used for encryption"
    if group == "*" and plural != "*":
        return "encrypting the same resource across groups is not supported"
    return ""


def _check_provider(provider: Mapping[str, Any], path: str, plugins: set[str], reload: bool) -> Iterator[FieldError]:
    given = [name for name in _PROVIDERS if provider.get(name) is not None]
    if not given:
        nothing = dict.fromkeys(("AESGCM", "AESCBC", "Secretbox", "Identity", "KMS"))
        yield FieldError.invalid(path, nothing, NO_PROVIDER)
        return
    if len(given) > 1:
        why = "more than one provider specified in a single element, should split into different list elements"
        yield FieldError.invalid(path, given, why)  # the names alone: upstream shows the keys here
        return
    kind = given[0]
    if kind == "kms":
        yield from _check_kms(provider[kind], f"{path}.kms", plugins, reload)
        plugins.add(provider[kind].get("name") or "")
    elif kind != "identity":
        yield from _check_keys(provider[kind].get("keys") or (), f"{path}.{kind}.keys", KEY_BYTES[kind])


def _check_keys(keys: Sequence[Mapping[str, Any]], path: str, sizes: Sequence[int]) -> Iterator[FieldError]:
    if not keys:
        yield FieldError.required(path, "at least one keys is required")
    for index, key in enumerate(keys):
        if not key.get("name"):
            yield FieldError.required(f"{path}[{index}].name", "name is a mandatory field for a key")
        where = f"{path}[{index}].secret"
        if not key.get("secret"):
            yield FieldError.required(where, "secret is a mandatory field for a key")
            continue
        try:
            size = len(_secret(key))
        except binascii.Error:
            yield FieldError.invalid(where, "REDACTED", "secrets must be base64 encoded")
            continue
        if size not in sizes:
            expected = " ".join(map(str, sizes))
            why = f"secret is not of the expected length, got {size}, expected one of [{expected}]"
            yield FieldError.invalid(where, "REDACTED", why)


def _check_kms(kms: Mapping[str, Any], path: str, plugins: set[str], reload: bool) -> Iterator[FieldError]:
    name, version, endpoint = kms.get("name") or "", kms["apiVersion"], kms.get("endpoint") or ""
    if not name:
        yield FieldError.required(f"{path}.name", "name is a mandatory field for a provider")
    if version != "v1" and ":" in name:
        yield FieldError.invalid(f"{path}.name", name, f"invalid KMS provider name {name}, must not contain ':'")
    if (reload or version != "v1") and name in plugins:
        yield FieldError.invalid(f"{path}.name", name, f"duplicate KMS provider name {name}, names must be unique")
    if go_duration.parse(kms["timeout"]) <= 0:
        yield FieldError.invalid(f"{path}.timeout", kms["timeout"], "timeout should be a positive value")
    if not endpoint:
        yield FieldError.invalid(f"{path}.endpoint", "", "endpoint is a mandatory field for a kms")
    elif (scheme := urlsplit(endpoint).scheme) != "unix":
        yield FieldError.invalid(
            f"{path}.endpoint", endpoint, f'unsupported scheme "{scheme}" for KMS provider, only unix is supported'
        )
    size = kms.get("cachesize")
    if version != "v1" and size is not None:
        yield FieldError.invalid(f"{path}.cachesize", size, "cachesize is not supported in v2")
    if version == "v1" and size == 0:
        yield FieldError.invalid(f"{path}.cachesize", size, "cachesize should be a positive value, or negative to disable")
    if version not in ("v1", "v2"):
        why = "unsupported apiVersion apiVersion for KMS provider, only v1 and v2 are supported"  # to the letter
        yield FieldError.invalid(f"{path}.apiVersion", version, why)


def _rule(rule: Mapping[str, Any]) -> Rule:
    return Rule(tuple(rule["resources"]), tuple(_provider(provider) for provider in rule["providers"]))


def _provider(provider: Mapping[str, Any]) -> Provider:
    kind = next(name for name in _PROVIDERS if provider.get(name) is not None)
    found = provider[kind]
    if kind == "kms":
        timeout_s = go_duration.parse(found["timeout"]) / 1e9
        return Provider(kind, kms=Kms(found["apiVersion"], found["name"], found["endpoint"], timeout_s))
    return Provider(kind, tuple(Key(key["name"], _secret(key)) for key in found.get("keys") or ()))


def _secret(key: Mapping[str, Any]) -> bytes:
    """Raises `binascii.Error`."""
    text: str = key["secret"]
    # As Go's decoder: new lines do not count.
    return base64.b64decode(text.replace("\n", "").replace("\r", "").encode(), validate=True)
