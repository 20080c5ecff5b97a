"""Which authorizers there are, and in which order: from flags, or from a file (`AuthorizationConfiguration`). Pure, but for
looking whether the kubeconfigs that a file names are there.

Source: https://kubernetes.io/docs/reference/access-authn-authz/authorization/#using-configuration-file-for-authorization
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pybernetes.apiserver.authorization.conditions import Conditions, compile_conditions
from pybernetes.machinery import go_duration
from pybernetes.machinery.errors import FieldError, aggregate
from pybernetes.machinery.meta import Object
from pybernetes.machinery.validation import dns_1123_subdomain_errors

WEBHOOK: Final = "Webhook"
TYPES: Final = ("ABAC", "AlwaysAllow", "AlwaysDeny", "Node", "RBAC", WEBHOOK)
DEFAULT_MODES: Final = ("Node", "RBAC")  # upstream's default, AlwaysAllow, is no good one
REVIEW_VERSIONS: Final = ("v1", "v1beta1")
DEFAULT_WEBHOOK: Final = "default"  # the name of the one that flags configure
TIMEOUT_S_MAX: Final = 30.0
_KUBECONFIG: Final = "KubeConfigFile"
_IN_CLUSTER: Final = "InClusterConfig"


class ConfigurationError(ValueError):
    """Flags or a file that cannot be followed; the message says why, in upstream's words."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """How a webhook is asked."""

    kubeconfig: str
    version: str = "v1"  # of the SubjectAccessReview
    timeout_s: float = TIMEOUT_S_MAX
    authorized_ttl_s: float = 300.0  # 0: such answers are not kept
    unauthorized_ttl_s: float = 30.0
    denies_on_failure: bool = False  # else it then has no opinion
    conditions: Conditions = field(default_factory=lambda: Conditions(()))


@dataclass(frozen=True, slots=True)
class AuthorizerConfiguration:
    type: str
    name: str
    webhook: Webhook | None = None


Configuration = tuple[AuthorizerConfiguration, ...]


def of_modes(modes: Sequence[str], webhook: Webhook | None = None) -> Configuration:
    """What `--authorization-mode` means; `webhook` is that of the mode of its name."""
    return tuple(
        AuthorizerConfiguration(mode, DEFAULT_WEBHOOK, webhook)
        if mode == WEBHOOK
        else AuthorizerConfiguration(mode, mode.lower())
        for mode in modes
    )


def of_flags(modes: Sequence[str], policy_file: str, webhook: Webhook | None) -> Configuration:
    """As `of_modes`, of flags that may contradict each other. Raises `ConfigurationError`."""
    problems = list(_flag_errors(modes, policy_file, webhook))
    if problems:
        raise ConfigurationError(aggregate(problems))
    return of_modes(modes, webhook)


def _flag_errors(modes: Sequence[str], policy_file: str, webhook: Webhook | None) -> Iterator[str]:
    if not modes:
        yield "at least one authorization-mode must be passed"
    for mode in modes:
        if mode not in TYPES:
            yield f'authorization-mode "{mode}" is not a valid mode'
    if "ABAC" in modes and not policy_file:
        yield "authorization-mode ABAC's authorization policy file not passed"
    if WEBHOOK in modes and webhook is None:
        yield "authorization-mode Webhook's authorization config file not passed"
    if policy_file and "ABAC" not in modes:
        yield "cannot specify --authorization-policy-file without mode ABAC"
    if webhook is not None and WEBHOOK not in modes:
        yield "cannot specify --authorization-webhook-config-file without mode Webhook"
    if len(set(modes)) < len(modes):
        listed = " ".join(f'"{mode}"' for mode in modes)
        yield f"authorization-mode [{listed}] has mode specified more than once"
    if webhook is not None and webhook.version not in REVIEW_VERSIONS:
        yield f'unsupported webhook authorizer version "{webhook.version}", supported versions are "v1", "v1beta1"'


_WEBHOOK_SCHEMA: Final[Object] = {
    "type": "object",
    "properties": {
        **{
            name: {"type": "string"}
            for name in (
                "authorizedTTL", "unauthorizedTTL", "timeout", "subjectAccessReviewVersion",
                "matchConditionSubjectAccessReviewVersion", "failurePolicy",
            )
        },
        "cacheAuthorizedRequests": {"type": "boolean"},
        "cacheUnauthorizedRequests": {"type": "boolean"},
        "connectionInfo": {
            "type": "object",
            "properties": {"type": {"type": "string"}, "kubeConfigFile": {"type": "string", "nullable": True}},
        },
        "matchConditions": {
            "type": "array",
            "items": {"type": "object", "properties": {"expression": {"type": "string"}}},
        },
    },
}  # fmt: skip
_SCHEMA: Final[Object] = {
    "type": "object",
    "properties": {
        "authorizers": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "type": {"type": "string"},
                    "name": {"type": "string"},
                    "webhook": {**_WEBHOOK_SCHEMA, "nullable": True},
                },
            },
        }
    },
}
_VERSIONS: Final = {f"apiserver.config.k8s.io/{version}": _SCHEMA for version in ("v1", "v1beta1", "v1alpha1")}


def parse(data: bytes, required: Collection[str] = ()) -> Configuration:
    """The configuration of a file's content. `required`: types that must be there. Raises `ConfigurationError`."""
    from pybernetes.machinery import config_file  # for those who have a file

    try:
        document = config_file.read(data, "AuthorizationConfiguration", _VERSIONS) if data else {}
        authorizers = [_with_durations(found) for found in document.get("authorizers") or ()]
    except ValueError as error:
        raise ConfigurationError(f"failed to load AuthorizationConfiguration from file: {error}") from error
    problems: list[FieldError] = []
    conditions = []
    if not authorizers:
        problems.append(FieldError.required("authorizers", "at least one authorization mode must be defined"))
    seen: list[Object] = []
    for place, found in enumerate(authorizers):
        path = f"authorizers[{place}]"
        problems += _authorizer_errors(found, path, seen)
        seen.append(found)
        compiled, wrong = compile_conditions((found.get("webhook") or {}).get("matchConditions") or (), path)
        conditions.append(compiled)
        problems += wrong if found.get("type") == WEBHOOK else []
    if problems:
        raise ConfigurationError(aggregate(map(str, problems)))
    refused = list(_server_errors(authorizers, required))
    if refused:
        raise ConfigurationError(aggregate(refused))
    return tuple(
        AuthorizerConfiguration(
            found["type"], found["name"], _webhook(found["webhook"], compiled) if found.get("webhook") else None
        )
        for found, compiled in zip(authorizers, conditions, strict=True)
    )


_DURATIONS: Final = {"timeout": 0, "authorizedTTL": 300 * 10**9, "unauthorizedTTL": 30 * 10**9}  # nanoseconds; defaults


def _with_durations(authorizer: Object) -> Object:
    """Texts to nanoseconds, defaults filled in. Raises ValueError."""
    webhook = authorizer.get("webhook")
    if webhook is None:
        return authorizer
    parsed = {name: go_duration.parse(webhook[name]) if webhook.get(name) else 0 for name in _DURATIONS}
    return {**authorizer, "webhook": {**webhook, **{name: parsed[name] or _DURATIONS[name] for name in _DURATIONS}}}


def _authorizer_errors(found: Object, path: str, before: Sequence[Object]) -> Iterator[FieldError]:
    kind, name = found.get("type") or "", found.get("name") or ""
    if not kind:
        yield FieldError.required(f"{path}.type")
        return
    if kind not in TYPES:
        yield FieldError.not_supported(f"{path}.type", kind, TYPES)
        return
    if kind != WEBHOOK and any(other.get("type") == kind for other in before):
        yield FieldError.duplicate(f"{path}.type", kind)
        return
    if not name:
        yield FieldError.required(f"{path}.name")
    elif any(other.get("name") == name for other in before):
        yield FieldError.duplicate(f"{path}.name", name)
    elif wrong := dns_1123_subdomain_errors(name):
        yield FieldError.invalid(f"{path}.name", name, f"authorizer name is invalid: {', '.join(wrong)}")
    webhook: Object | None = found.get("webhook")
    if webhook is None:
        if kind == WEBHOOK:
            yield FieldError.required(f"{path}.webhook", "required when type=Webhook")
    elif kind == WEBHOOK:
        yield from _webhook_errors(webhook, path)
    else:
        yield FieldError.invalid(f"{path}.webhook", "non-null", "may only be specified when type=Webhook")


def _webhook_errors(webhook: Object, path: str) -> Iterator[FieldError]:
    """The paths leave out `webhook`, as upstream's do."""
    timeout = webhook["timeout"]
    if not timeout:
        yield FieldError.required(f"{path}.timeout")
    elif not 0 < timeout <= TIMEOUT_S_MAX * 1e9:
        yield FieldError.invalid(f"{path}.timeout", go_duration.text_of(timeout), "must be > 0s and <= 30s")
    for name in ("authorizedTTL", "unauthorizedTTL"):
        if webhook[name] < 0:
            yield FieldError.invalid(f"{path}.{name}", go_duration.text_of(webhook[name]), "must be > 0s")
    yield from _choice_errors(webhook.get("subjectAccessReviewVersion"), REVIEW_VERSIONS, f"{path}.subjectAccessReviewVersion")
    version = webhook.get("matchConditionSubjectAccessReviewVersion") or ""
    if not version and webhook.get("matchConditions"):
        sentence = "required if match conditions are specified"
        yield FieldError.required(f"{path}.matchConditionSubjectAccessReviewVersion", sentence)
    elif version:
        yield from _choice_errors(version, ("v1",), f"{path}.matchConditionSubjectAccessReviewVersion")
    yield from _choice_errors(webhook.get("failurePolicy"), ("NoOpinion", "Deny"), f"{path}.failurePolicy")
    yield from _connection_errors(webhook.get("connectionInfo") or {}, f"{path}.connectionInfo")


def _choice_errors(value: str | None, choices: Sequence[str], path: str) -> Iterator[FieldError]:
    if not value:
        yield FieldError.required(path)
    elif value not in choices:
        yield FieldError.not_supported(path, value, choices)


def _connection_errors(info: Object, path: str) -> Iterator[FieldError]:
    kind, file = info.get("type") or "", info.get("kubeConfigFile")
    if not kind:
        yield FieldError.required(f"{path}.type")
    elif kind == _IN_CLUSTER:
        if file is not None:
            yield FieldError.invalid(f"{path}.kubeConfigFile", file, "can only be set when type=KubeConfigFile")
    elif kind == _KUBECONFIG:
        yield from _file_errors(file or "", f"{path}.kubeConfigFile")
    else:
        # Upstream shows the whole struct.
        yield FieldError.not_supported(f"{path}.type", {"Type": kind, "KubeConfigFile": file}, (_IN_CLUSTER, _KUBECONFIG))


def _file_errors(file: str, path: str) -> Iterator[FieldError]:
    if not file:
        yield FieldError.required(path)
        return
    if not os.path.isabs(file):
        yield FieldError.invalid(path, file, "must be an absolute path")
        return
    try:
        mode = os.stat(file).st_mode
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        yield FieldError.invalid(path, file, f"error loading file: stat {file}: {why}")
        return
    if not stat.S_ISREG(mode):
        yield FieldError.invalid(path, file, "must be a regular file")


def _server_errors(authorizers: Sequence[Object], required: Collection[str]) -> Iterator[str]:
    """What the file may not say to this server, whatever it may say to others."""
    present = {found["type"] for found in authorizers}
    for found in authorizers:
        kind, name = found["type"], found["name"]
        if kind != WEBHOOK and name != kind.lower():
            yield f"expected name {kind.lower()} for authorizer {kind} instead of {name}"
        if kind == WEBHOOK and found["webhook"]["connectionInfo"]["type"] == _IN_CLUSTER:
            yield f"authorizer {name}: connectionInfo.type InClusterConfig is not allowed for kube-apiserver"
    if missing := sorted(set(required) - present):
        yield f"missing required types: [{' '.join(missing)}]"


def _webhook(webhook: Any, conditions: Conditions) -> Webhook:
    keeps_yes, keeps_no = webhook.get("cacheAuthorizedRequests"), webhook.get("cacheUnauthorizedRequests")
    return Webhook(
        webhook["connectionInfo"]["kubeConfigFile"],
        webhook["subjectAccessReviewVersion"],
        webhook["timeout"] / 1e9,
        0.0 if keeps_yes is False else webhook["authorizedTTL"] / 1e9,
        0.0 if keeps_no is False else webhook["unauthorizedTTL"] / 1e9,
        webhook["failurePolicy"] == "Deny",
        conditions,
    )
