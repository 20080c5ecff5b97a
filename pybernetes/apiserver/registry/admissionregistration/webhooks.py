"""MutatingWebhookConfigurations and ValidatingWebhookConfigurations."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks, printing, webhook_clients
from pybernetes.apiserver.registry.admissionregistration import rules
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Strategy
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.resources import MUTATING_WEBHOOK_CONFIGURATIONS, VALIDATING_WEBHOOK_CONFIGURATIONS

_REVIEW_VERSIONS = frozenset(("v1", "v1beta1"))


def default(configuration: Object) -> None:
    mutating = configuration.get("kind") == "MutatingWebhookConfiguration"
    for webhook in configuration.get("webhooks") or ():
        put = webhook.setdefault
        put("failurePolicy", "Fail")
        put("matchPolicy", "Equivalent")
        put("namespaceSelector", {})
        put("objectSelector", {})
        put("timeoutSeconds", 10)
        if mutating:
            put("reinvocationPolicy", "Never")
        service = webhook.setdefault("clientConfig", {}).get("service")
        if service is not None:
            service.setdefault("port", 443)
        for rule in webhook.get("rules") or ():
            rule.setdefault("scope", "*")


def validate(configuration: Object) -> Iterator[FieldError]:
    seen = set()
    for i, webhook in enumerate(configuration.get("webhooks") or ()):
        path, name = f"webhooks[{i}]", webhook.get("name", "")
        if not name:
            yield FieldError.required(path + ".name")
        else:
            yield from checks.invalid_by(path + ".name", name, validation.dns_1123_subdomain_errors)
            if name.count(".") < 2:
                sentence = "should be a domain with at least three segments separated by dots"
                yield FieldError.invalid(path + ".name", name, sentence)
        if name in seen:
            yield FieldError.duplicate(path + ".name", name)
        seen.add(name)
        yield from _validate_webhook(webhook, path)


def _validate_webhook(webhook: Object, path: str) -> Iterator[FieldError]:
    versions = webhook.get("admissionReviewVersions") or []
    if not versions:
        sentence = "must specify one of v1, v1beta1"
        yield FieldError.required(path + ".admissionReviewVersions", sentence)
    elif not _REVIEW_VERSIONS & set(versions):
        sentence = "must include at least one of v1, v1beta1"
        yield FieldError.invalid(path + ".admissionReviewVersions", versions, sentence)
    side_effects = webhook.get("sideEffects")
    if side_effects is None:
        yield FieldError.required(path + ".sideEffects", "must specify one of None, NoneOnDryRun")
    else:
        yield from checks.one_of(side_effects, ("None", "NoneOnDryRun"), path + ".sideEffects")
    if webhook.get("failurePolicy") is not None:
        yield from checks.one_of(webhook["failurePolicy"], ("Fail", "Ignore"), path + ".failurePolicy")
    if webhook.get("matchPolicy") is not None:
        yield from checks.one_of(webhook["matchPolicy"], ("Equivalent", "Exact"), path + ".matchPolicy")
    if webhook.get("reinvocationPolicy") is not None:
        yield from checks.one_of(webhook["reinvocationPolicy"], ("IfNeeded", "Never"), path + ".reinvocationPolicy")
    timeout = webhook.get("timeoutSeconds")
    if timeout is not None and not 1 <= timeout <= 30:
        yield FieldError.invalid(path + ".timeoutSeconds", timeout, "the timeout value must be between 1 and 30 seconds")
    for field in ("namespaceSelector", "objectSelector"):
        yield from checks.label_selector(webhook.get(field), f"{path}.{field}")
    for i, rule in enumerate(webhook.get("rules") or ()):
        yield from rules.rule(rule, f"{path}.rules[{i}]")
    yield from rules.match_conditions(webhook.get("matchConditions") or (), path + ".matchConditions", _why_not)
    yield from webhook_clients.validate(webhook.get("clientConfig") or {}, path + ".clientConfig")


def _why_not(expression: str) -> str:
    """Why the expression is no match condition; "" if it is one."""
    from pybernetes.apiserver.admission.webhooks.conditions import compiled  # loaded by those who use conditions

    return compiled(expression).why


def cells(configuration: Object, now: datetime) -> list[Any]:
    return [name_of(configuration), len(configuration.get("webhooks") or ()), printing.age(configuration, now)]


_COLUMNS = (NAME, Column("Webhooks", "integer"), AGE)

MUTATING_STRATEGY = Strategy(
    resource=MUTATING_WEBHOOK_CONFIGURATIONS,
    default=default,
    validate=validate,
    validates_by_turns=True,
    bumps_generation=True,
    columns=_COLUMNS,
    cells=cells,
)
VALIDATING_STRATEGY = Strategy(
    resource=VALIDATING_WEBHOOK_CONFIGURATIONS,
    default=default,
    validate=validate,
    validates_by_turns=True,
    bumps_generation=True,
    columns=_COLUMNS,
    cells=cells,
)
