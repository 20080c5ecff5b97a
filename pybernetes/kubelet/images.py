"""Images: present, pulled, or not to be had; with upstream's policies, reasons, events and back-off.

Source: "Images" (imagePullPolicy, ImagePullBackOff, imagePullSecrets).
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson

from pybernetes.kubelet.backoff import Backoff
from pybernetes.kubelet.cri import runtime_pb2 as api
from pybernetes.kubelet.cri.client import Runtime, RuntimeFailed
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.meta import Object, uid_of

# (type, reason, message) of an event about the container
Report = Callable[[str, str, str], None]

_REFERENCE = re.compile(
    r"^[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?::[0-9]+)?(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@[a-z0-9]+:[0-9a-f]{32,})?$",
    re.IGNORECASE,
)


class ImageError(Exception):
    """The image cannot be used now. `reason` is the container's waiting reason, `str()` its message."""

    def __init__(self, reason: str, message: str, retry_in_s: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_in_s = retry_in_s


@dataclass(frozen=True, slots=True)
class Credentials:
    """From pull secrets; `registry` is the key in the Docker configuration."""

    registry: str
    username: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials({self.registry!r}, {self.username!r}, …)"


def normalized(image: str) -> str:
    """With `:latest` if it has neither tag nor digest."""
    return image if "@" in image or ":" in image.rpartition("/")[2] else f"{image}:latest"


def pull_policy(container: Object) -> str:
    policy = container.get("imagePullPolicy")
    if policy:
        return str(policy)
    return "Always" if normalized(container["image"]).endswith(":latest") else "IfNotPresent"


def registry_of(image: str) -> str:
    first, separator, _ = image.partition("/")
    if not separator or not ("." in first or ":" in first or first == "localhost"):
        return "docker.io"
    return first


def credentials_of(secrets: Sequence[Object], image: str) -> list[Credentials]:
    """Those that fit the image's registry, the most specific first."""
    found = []
    registry = registry_of(image)
    for secret in secrets:
        data = secret.get("data") or {}
        try:
            if ".dockerconfigjson" in data:
                auths = orjson.loads(base64.b64decode(data[".dockerconfigjson"])).get("auths") or {}
            elif ".dockercfg" in data:
                auths = orjson.loads(base64.b64decode(data[".dockercfg"]))
            else:
                continue
        except (ValueError, AttributeError):
            continue
        for key, entry in auths.items():
            host, _, path = re.sub(r"^https?://", "", key).rstrip("/").partition("/")
            path = "" if path in ("v1", "v2") else path
            host = "docker.io" if host in ("index.docker.io", "registry-1.docker.io") else host
            if host != registry or (path and f"/{path}" not in image):
                continue
            username, password = entry.get("username", ""), entry.get("password", "")
            if entry.get("auth"):
                username, _, password = base64.b64decode(entry["auth"]).decode(errors="replace").partition(":")
            found.append(Credentials(key, username, password))
    return sorted(found, key=lambda credentials: len(credentials.registry), reverse=True)


class Images:
    """The node's images. Failures to pull back off per pod and image."""

    def __init__(self, runtime: Runtime, *, clock: Clock, parallel: int = 4) -> None:
        self._runtime = runtime
        self._clock = clock
        self._backoff = Backoff()
        self._failures: dict[str, _Failure] = {}  # by pod uid and image
        self._pulls = asyncio.Semaphore(parallel)

    async def ensure(
        self,
        pod: Object,
        container: Object,
        report: Report,
        secrets: Callable[[], Awaitable[Sequence[Object]]],
        sandbox_config: api.PodSandboxConfig | None = None,
    ) -> api.Image:
        """The image, pulled if the policy asks for it. `secrets` gives the pod's pull secrets. Raises ImageError."""
        named = container["image"]
        if not _REFERENCE.match(named):
            message = f'couldn\'t parse image name "{named}": invalid reference format'
            message = f'Failed to apply default image tag "{named}": {message}'
            report("Warning", "InspectFailed", message)
            raise ImageError("InvalidImageName", message)
        image, policy = normalized(named), pull_policy(container)
        try:
            present = await self._runtime.image_status(image)
        except RuntimeFailed as error:
            message = f'Failed to inspect image "{named}": {error}'
            report("Warning", "InspectFailed", message)
            raise ImageError("ImageInspectError", message) from error
        if present is not None and policy != "Always":
            report("Normal", "Pulled", f'Container image "{named}" already present on machine')
            return present
        if policy == "Never":
            message = f'Container image "{named}" is not present with pull policy of Never'
            report("Warning", "ErrImageNeverPull", message)
            raise ImageError("ErrImageNeverPull", message)
        key = f"{uid_of(pod)}/{image}"
        failure = self._failures.get(key)
        if failure is not None and failure.retry_at > (now := self._clock.now()):
            report("Normal", "BackOff", f'Back-off pulling image "{named}"')
            message = f'Back-off pulling image "{named}": ErrImagePull: {failure.message}'
            raise ImageError("ImagePullBackOff", message, (failure.retry_at - now).total_seconds())
        report("Normal", "Pulling", f'Pulling image "{named}"')
        asked = self._clock.monotonic()
        async with self._pulls:
            began = self._clock.monotonic()
            try:
                await self._pull(image, credentials_of(await secrets(), image), sandbox_config)
                pulled = await self._runtime.image_status(image)
                if pulled is None:
                    raise RuntimeFailed("the image is not there after it was pulled")
            except RuntimeFailed as error:
                now = self._clock.now()
                self._backoff.next(key, now)
                retry_in_s = self._backoff.delay_s(key)
                self._failures[key] = _Failure(now + timedelta(seconds=retry_in_s), str(error))
                report("Warning", "Failed", f'Failed to pull image "{named}": {error}')
                report("Warning", "Failed", "Error: ErrImagePull")
                raise ImageError("ErrImagePull", str(error), retry_in_s) from error
        self._failures.pop(key, None)
        ended = self._clock.monotonic()
        took = f"{ended - began:.3g}s ({ended - asked:.3g}s including waiting)"
        report("Normal", "Pulled", f'Successfully pulled image "{named}" in {took}. Image size: {pulled.size} bytes.')
        return pulled

    async def _pull(self, image: str, credentials: list[Credentials], sandbox_config: api.PodSandboxConfig | None) -> None:
        """With each of the credentials in turn, anonymously if there are none. Raises the last RuntimeFailed."""
        attempts: list[api.AuthConfig | None] = [
            api.AuthConfig(username=entry.username, password=entry.password) for entry in credentials
        ]
        failed: RuntimeFailed | None = None
        for auth in attempts or [None]:
            try:
                await self._runtime.pull_image(image, auth, sandbox_config)
                return
            except RuntimeFailed as error:
                failed = error
        assert failed is not None
        raise failed

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        self._backoff.forget(f"{uid}/")
        for key in [key for key in self._failures if key.startswith(f"{uid}/")]:
            del self._failures[key]


@dataclass(frozen=True, slots=True)
class _Failure:
    retry_at: datetime
    message: str
