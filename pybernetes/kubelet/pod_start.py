"""Bring up what a pod lacks: sandbox, volumes, cgroup and images at the same time, then its containers.

Upstream makes volumes, sandbox and images one after the other. They do not depend on each other, and the sandbox (its network
above all) takes most of the time, so everything else hides behind it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field

from pybernetes.kubelet.cgroups import Limits, pod_limits_of
from pybernetes.kubelet.containers import StartFailed, start_container
from pybernetes.kubelet.cri import runtime_pb2 as api
from pybernetes.kubelet.cri.client import RuntimeFailed
from pybernetes.kubelet.dns import dns_config, host_names
from pybernetes.kubelet.images import ImageError
from pybernetes.kubelet.observed import PodSeen, sandbox_seen
from pybernetes.kubelet.pod_actions import PodActions
from pybernetes.kubelet.pod_status import Waiting
from pybernetes.kubelet.sandbox_config import log_directory, sandbox_config
from pybernetes.kubelet.shared import Shared, container_spec
from pybernetes.kubelet.volumes.manager import MountFailed
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object, key_of, uid_of

log = logger("kubelet.start")


@dataclass(slots=True)
class Result:
    """`waiting` says of each container that should run, and does not, why. `ok` if nothing failed."""

    ok: bool = True
    waiting: dict[str, Waiting] = field(default_factory=dict)
    retry_soon: bool = False  # something failed that has no back-off of its own
    retry_in_s: float | None = None

    def failed(self, name: str, waiting: Waiting, retry_in_s: float | None = None) -> None:
        self.ok = False
        self.waiting[name] = waiting
        if retry_in_s is None:
            self.retry_soon = True
        else:
            self.retry_in_s = retry_in_s if self.retry_in_s is None else min(retry_in_s, self.retry_in_s)


class Start:
    """One attempt to carry out the starts that `PodActions` asks for."""

    def __init__(self, shared: Shared, pod: Object, seen: PodSeen, actions: PodActions) -> None:
        self._shared = shared
        self._pod = pod
        self._seen = seen
        self._actions = actions
        self._uid = uid_of(pod)
        self._result = Result()

    async def run(self) -> Result:
        """Failures are in the result, after events about them; only what nobody expects is raised."""
        actions, pod = self._actions, self._pod
        config = self._sandbox_config(actions.attempt)
        specs = [spec for name in actions.starts if (spec := container_spec(pod, name)) is not None]
        sandbox, volumes, images = await asyncio.gather(self._sandbox(config), self._volumes(), self._images(specs, config))
        if sandbox is None or not volumes:
            self._result.ok, self._result.retry_soon = False, True
            return self._result
        sandbox_id, pod_ips = sandbox
        starts = [
            self._start(spec, image, sandbox_id, config, pod_ips) for spec, image in zip(specs, images, strict=True) if image
        ]
        await self._in_order(specs, starts)
        return self._result

    async def _in_order(self, specs: Sequence[Object], starts: Sequence[Awaitable[None]]) -> None:
        """At once; but where a container has a postStart hook, those after it wait for it, as people have come to rely on."""
        if any("postStart" in (spec.get("lifecycle") or {}) for spec in specs):
            for start in starts:
                await start
        else:
            await asyncio.gather(*starts)

    def _sandbox_config(self, attempt: int) -> api.PodSandboxConfig:
        shared, pod = self._shared, self._pod
        configuration = shared.configuration
        hostname, domain = host_names(pod, configuration.cluster_domain)
        if pod["spec"].get("setHostnameAsFQDN") and domain:
            hostname = f"{hostname}.{domain}"
        return sandbox_config(
            pod,
            attempt=attempt,
            hostname=hostname,
            dns=dns_config(
                pod,
                cluster_dns=configuration.cluster_dns,
                cluster_domain=configuration.cluster_domain,
                node=shared.node.resolver,
            ),
            pod_logs=configuration.pod_logs_dir,
            cgroup_parent=shared.cgroups.parent_of(pod),
            seccomp_supported=shared.node.seccomp_supported,
            root=shared.root,
        )

    async def _sandbox(self, config: api.PodSandboxConfig) -> tuple[str, tuple[str, ...]] | None:
        shared, pod = self._shared, self._pod
        seen = self._seen.sandbox
        if not self._actions.create_sandbox:
            assert seen is not None
            return seen.id, self._ips(seen.ips)
        configuration = shared.configuration
        limits = pod_limits_of(
            pod,
            period_us=configuration.cpu_cfs_quota_period_us,
            enforce_quota=configuration.cpu_cfs_quota,
            pids=configuration.pod_pids_limit,
        )
        await _to_its_end(asyncio.to_thread(self._prepare, limits))
        try:
            sandbox_id = await shared.runtime.run_sandbox(config)
            status = sandbox_seen((await shared.runtime.sandbox_status(sandbox_id)).status)
        except RuntimeFailed as error:
            shared.events.event(pod, "Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
            log.warning("Cannot create a sandbox", pod=key_of(pod), error=str(error))
            return None
        return sandbox_id, self._ips(status.ips)

    def _prepare(self, limits: Limits) -> None:
        self._shared.cgroups.create(self._pod, limits)
        os.makedirs(log_directory(self._shared.configuration.pod_logs_dir, self._pod), mode=0o755, exist_ok=True)
        self._shared.volumes.pod_directory(self._uid).mkdir(mode=0o750, parents=True, exist_ok=True)

    def _ips(self, ips: tuple[str, ...]) -> tuple[str, ...]:
        return self._shared.node.host_ips if self._pod["spec"].get("hostNetwork") else ips

    async def _volumes(self) -> bool:
        shared, pod = self._shared, self._pod
        if shared.volumes.mounted(self._uid) is not None:
            return True
        try:
            await shared.volumes.set_up(pod, host_ips=shared.node.host_ips, allocatable=shared.node.allocatable)
        except MountFailed as error:
            shared.events.event(pod, "Warning", error.reason, str(error))
            log.warning("Cannot make a pod's volumes", pod=key_of(pod), error=str(error))
            return False
        return True

    async def _images(self, specs: Sequence[Object], config: api.PodSandboxConfig) -> list[api.Image | None]:
        return await asyncio.gather(*(self._image(spec, config) for spec in specs))

    async def _image(self, spec: Object, config: api.PodSandboxConfig) -> api.Image | None:
        shared, pod, name = self._shared, self._pod, spec["name"]

        def report(type_: str, reason: str, message: str) -> None:
            shared.container_event(pod, name, type_, reason, message)

        try:
            return await shared.images.ensure(pod, spec, report, self._pull_secrets, config)
        except ImageError as error:
            self._result.failed(name, Waiting(error.reason, str(error)), error.retry_in_s)
            return None

    async def _pull_secrets(self) -> list[Object]:
        namespace = self._pod["metadata"]["namespace"]
        names = [entry.get("name", "") for entry in self._pod["spec"].get("imagePullSecrets") or ()]
        found = await asyncio.gather(*(self._shared.objects.secret(namespace, name) for name in names))
        return [secret for secret in found if secret is not None]

    async def _start(
        self,
        spec: Object,
        image: api.Image,
        sandbox_id: str,
        config: api.PodSandboxConfig,
        pod_ips: tuple[str, ...],
    ) -> None:
        target = spec.get("targetContainerName")
        target_seen = self._seen.container(target) if target else None
        try:
            await start_container(
                self._shared,
                self._pod,
                spec,
                image=image,
                sandbox_id=sandbox_id,
                sandbox_config=config,
                pod_ips=pod_ips,
                restart_count=self._restart_count(spec["name"]),
                target_id=target_seen.id if target_seen else "",
            )
        except StartFailed as error:
            self._result.failed(spec["name"], Waiting(error.reason, str(error)))

    def _restart_count(self, name: str) -> int:
        last = self._seen.container(name)
        if last is not None:
            return last.restart_count + 1
        status = self._pod.get("status") or {}
        for field_name in ("containerStatuses", "initContainerStatuses"):
            for entry in status.get(field_name) or ():
                if entry["name"] == name and entry.get("containerID"):
                    return int(entry["restartCount"]) + 1  # its containers were collected
        return 0


async def _to_its_end(work: Awaitable[None]) -> None:
    """Await a thread's work even when cancelled: what it makes must be there before the clean-up looks for it."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
