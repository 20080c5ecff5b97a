"""Webhook configurations, compiled once per change of any of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pybernetes.apiserver.admission.matching import Criteria, compile_criteria
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery.meta import Object, Resource, name_of

DEFAULT_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class ServiceReference:
    namespace: str
    name: str
    path: str
    port: int


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """Where a webhook is: a URL or a Service. `ca_bundle` is base64 of PEM; "" trusts the system's authorities."""

    url: str = ""
    service: ServiceReference | None = None
    ca_bundle: str = ""


@dataclass(frozen=True, slots=True)
class Hook:
    """One webhook of one configuration."""

    name: str
    configuration: str
    uid: str  # tells it from namesakes in one configuration, and in others
    client: ClientConfig
    criteria: Criteria
    match_conditions: tuple[tuple[str, str], ...]  # (name, CEL expression)
    ignores_failures: bool
    reinvocable: bool
    side_effects: str
    timeout_s: int
    review_versions: tuple[str, ...]


class HookSource:
    """The hooks of all configurations of one kind, in upstream's order: by configuration name, then as written."""

    def __init__(self, reader: Reader, resource: Resource) -> None:
        self._reader = reader
        self._resource = resource
        self._generation = -1
        self._hooks: tuple[Hook, ...] = ()

    def current(self) -> Sequence[Hook]:
        generation = self._reader.generation(self._resource)
        if generation != self._generation:
            configurations = sorted(self._reader.list(self._resource), key=name_of)
            self._hooks = tuple(hook for configuration in configurations for hook in compile_hooks(configuration))
            self._generation = generation
        return self._hooks


def compile_hooks(configuration: Object) -> Sequence[Hook]:
    """The webhooks of one configuration (validated and defaulted)."""
    seen: dict[str, int] = {}
    hooks = []
    for webhook in configuration.get("webhooks") or ():
        name = webhook["name"]
        number = seen[name] = seen.get(name, -1) + 1
        hooks.append(_compile(webhook, name_of(configuration), number))
    return hooks


def _compile(webhook: Object, configuration: str, number: int) -> Hook:
    name = webhook["name"]
    return Hook(
        name=name,
        configuration=configuration,
        uid=f"{configuration}/{name}/{number}",
        client=client_config(webhook.get("clientConfig") or {}),
        criteria=compile_criteria(webhook, webhook.get("rules") or ()),
        match_conditions=tuple((found["name"], found["expression"]) for found in webhook.get("matchConditions") or ()),
        ignores_failures=webhook.get("failurePolicy", "Fail") == "Ignore",
        reinvocable=webhook.get("reinvocationPolicy") == "IfNeeded",
        side_effects=webhook.get("sideEffects", ""),
        timeout_s=webhook.get("timeoutSeconds") or DEFAULT_TIMEOUT_S,
        review_versions=tuple(webhook.get("admissionReviewVersions") or ()),
    )


def client_config(config: Object) -> ClientConfig:
    """A `WebhookClientConfig`, as admission webhooks and conversion webhooks have it."""
    reference = config.get("service")
    service = None
    if reference is not None:
        service = ServiceReference(
            reference["namespace"], reference["name"], reference.get("path") or "", reference.get("port") or 443
        )
    return ClientConfig(config.get("url") or "", service, config.get("caBundle") or "")
