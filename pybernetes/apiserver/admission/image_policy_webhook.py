"""ImagePolicyWebhook: a webhook is asked whether a pod's images may run. Off by default; deprecated upstream.

Source: https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#imagepolicywebhook
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

import orjson

from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest, Operation
from pybernetes.apiserver.admission.refusals import refusal
from pybernetes.apiserver.kubeconfig_webhook import Backoff, KubeconfigWebhook, WebhookFailed
from pybernetes.client.kubeconfig import ConfigError
from pybernetes.machinery import go_duration
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object, annotations_of
from pybernetes.machinery.recent import Recent
from pybernetes.machinery.resources import PODS

log = logger("apiserver")

KEPT_MAX: Final = 1024  # answers; the longest unused goes
FAILED_OPEN: Final = "alpha.image-policy.k8s.io/failed-open"  # of pods that nobody could be asked about
AUDIT_PREFIX: Final = "imagepolicywebhook.image-policy.k8s.io/"
_FOR_WEBHOOK: Final = ".image-policy.k8s.io/"  # what the webhook is told of a pod's annotations
_S, _MS, _MINUTE = 10**9, 10**6, 60 * 10**9  # nanoseconds


@dataclass(frozen=True, slots=True)
class Configuration:
    """`default_allow`: what becomes of pods while the webhook does not answer."""

    kubeconfig: str
    allow_ttl_s: float
    deny_ttl_s: float
    retry_backoff_s: float
    default_allow: bool


def parse(document: Object | None) -> Configuration:
    """Raises ValueError."""
    found = (document or {}).get("imagePolicy")
    if not isinstance(found, dict):
        raise ValueError("no configuration: there must be an imagePolicy in the plugin's configuration")
    return Configuration(
        kubeconfig=str(found.get("kubeConfigFile") or ""),
        retry_backoff_s=_seconds(found.get("retryBackoff"), _MS, 1, 5 * _MINUTE, 500 * _MS),
        allow_ttl_s=_seconds(found.get("allowTTL"), _S, _S, 30 * _MINUTE, 5 * _MINUTE),
        deny_ttl_s=_seconds(found.get("denyTTL"), _S, _S, 30 * _MINUTE, 30 * _S),
        default_allow=bool(found.get("defaultAllow")),
    )


def _seconds(value: Any, unit: int, low: int, high: int, default: int) -> float:
    """Of a number in some unit; 0 is the default, -1 is 0. All but `value` in nanoseconds. Raises ValueError."""
    if not isinstance(value or 0, int):
        raise ValueError(f"{value!r} is not a whole number")
    if value == -1:
        return 0.0
    wanted = value * unit if value else default
    if value and not low < wanted <= high:
        shown = " and ".join(map(go_duration.text_of, (low, high)))
        raise ValueError(f"valid value is between {shown}, got {go_duration.text_of(wanted)}")
    return wanted / _S


class Remote(Protocol):
    """The server that is asked: `KubeconfigWebhook`, over the network."""

    async def post(self, review: Object) -> Object:
        """The review, answered. Raises `WebhookFailed`."""
        ...

    async def close(self) -> None: ...


def connect(configuration: Configuration, clock: Clock, entropy: Entropy) -> Remote:
    """Raises ValueError."""
    backoff = Backoff(first_delay_s=configuration.retry_backoff_s)
    try:
        return KubeconfigWebhook(configuration.kubeconfig, clock=clock, entropy=entropy, backoff=backoff)
    except ConfigError as error:
        raise ValueError(str(error)) from error


class _Kept(NamedTuple):
    status: Object
    until_s: float  # monotonic


class ImagePolicyWebhook(AdmissionPlugin):
    name = "ImagePolicyWebhook"
    resources = (PODS,)

    def __init__(self, configuration: Configuration, remote: Remote, clock: Clock) -> None:
        self._configuration = configuration
        self._remote = remote
        self._clock = clock
        self._kept: Recent[bytes, _Kept] = Recent(KEPT_MAX)

    async def close(self) -> None:
        await self._remote.close()

    async def validate(self, request: AdmissionRequest) -> None:
        pod = request.object
        if pod is None or request.subresource not in ("", "ephemeralcontainers"):
            return
        if request.operation not in (Operation.CREATE, Operation.UPDATE):
            return
        try:
            status = await self._status(spec_of(pod, request.subresource, request.namespace))
        except WebhookFailed as failure:
            allowed = self._configuration.default_allow
            log.warning("Failed to ask the image policy webhook", allowed=allowed, err=str(failure))
            if not allowed:
                raise refusal(request, str(failure)) from failure
            request.audit_annotations[AUDIT_PREFIX + "failed-open"] = "true"
            pod["metadata"]["annotations"] = {**annotations_of(pod), FAILED_OPEN: "true"}
            return
        for key, value in (status.get("auditAnnotations") or {}).items():
            request.audit_annotations[AUDIT_PREFIX + key] = str(value)
        if status.get("allowed") is not True:
            reason = status.get("reason")
            raise refusal(
                request,
                f"image policy webhook backend denied one or more images: {reason}"
                if reason
                else "one or more images rejected by webhook backend",
            )

    async def _status(self, spec: Object) -> Object:
        """The webhook's, or what it said of the same images before. Raises `WebhookFailed`."""
        key = orjson.dumps(spec)
        known = self._kept.get(key)
        if known is not None and known.until_s > self._clock.monotonic():
            return known.status
        review = {"kind": "ImageReview", "apiVersion": "imagepolicy.k8s.io/v1alpha1", "metadata": {}, "spec": spec}
        status = (await self._remote.post({**review, "status": {}})).get("status")
        if not isinstance(status, dict):
            status = {}
        ttl_s = self._configuration.allow_ttl_s if status.get("allowed") is True else self._configuration.deny_ttl_s
        if ttl_s > 0:
            self._kept.put(key, _Kept(status, self._clock.monotonic() + ttl_s))
        return status


def spec_of(pod: Object, subresource: str, namespace: str) -> Object:
    """What the webhook is asked."""
    fields = ("ephemeralContainers",) if subresource else ("containers", "initContainers")
    containers = [{"image": found["image"]} for field in fields for found in pod["spec"].get(field) or ()]
    spec: Object = {"containers": containers}
    annotations = {key: value for key, value in annotations_of(pod).items() if _FOR_WEBHOOK in key}
    if annotations:
        spec["annotations"] = annotations
    spec["namespace"] = namespace
    return spec
