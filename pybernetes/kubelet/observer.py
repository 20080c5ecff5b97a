"""Look at one pod in the runtime, and at what its dead containers left as their last words."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from dataclasses import replace
from pathlib import Path

from pybernetes.kubelet import observed
from pybernetes.kubelet.cri import runtime_pb2 as api
from pybernetes.kubelet.cri.client import Runtime, RuntimeNotFound
from pybernetes.kubelet.observed import ContainerSeen, PodSeen, SandboxSeen, State

MESSAGE_BYTES_MAX = 4096
FALLBACK_BYTES_MAX = 2048
FALLBACK_LINES_MAX = 80


async def observe(runtime: Runtime, uid: str, dead: MutableMapping[str, ContainerSeen]) -> PodSeen:
    """What the runtime has of the pod now. `dead` remembers exited containers: they do not change any more.

    Raises RuntimeFailed.
    """
    labels = {observed.LABEL_POD_UID: uid}
    sandboxes, containers = await asyncio.gather(runtime.list_sandboxes(labels), runtime.list_containers(labels))
    sandboxes_seen, containers_seen = await asyncio.gather(
        asyncio.gather(*(_sandbox(runtime, sandbox.id) for sandbox in sandboxes)),
        asyncio.gather(*(_container(runtime, container, dead) for container in containers)),
    )
    for container_id in dead.keys() - {container.id for container in containers}:
        del dead[container_id]
    first = sandboxes[0].metadata if sandboxes else None
    return observed.pod_seen(
        uid,
        first.name if first else "",
        first.namespace if first else "",
        [sandbox for sandbox in sandboxes_seen if sandbox is not None],
        [container for container in containers_seen if container is not None],
    )


async def _sandbox(runtime: Runtime, sandbox_id: str) -> SandboxSeen | None:
    try:
        return observed.sandbox_seen((await runtime.sandbox_status(sandbox_id)).status)
    except RuntimeNotFound:
        return None


async def _container(runtime: Runtime, listed: api.Container, dead: MutableMapping[str, ContainerSeen]) -> ContainerSeen | None:
    known = dead.get(listed.id)
    if known is not None:
        return known
    try:
        status = (await runtime.container_status(listed.id)).status
    except RuntimeNotFound:
        return None
    seen = observed.container_seen(status, listed.pod_sandbox_id)
    if seen.state is State.EXITED:
        if message := last_words(seen):
            seen = replace(seen, message=message)
        dead[seen.id] = seen
    return seen


def last_words(container: ContainerSeen) -> str:
    """The termination message (Container v1: terminationMessagePath, terminationMessagePolicy), or the runtime's."""
    path = container.annotations.get(observed.ANNOTATION_TERMINATION_PATH, "")
    on_host = next((host for inside, host in container.mounts if inside == path), None)
    message = _head(Path(on_host), MESSAGE_BYTES_MAX) if on_host else ""
    policy = container.annotations.get(observed.ANNOTATION_TERMINATION_POLICY)
    if not message and policy == "FallbackToLogsOnError" and container.exit_code != 0 and container.log_path:
        message = _log_tail(Path(container.log_path))
    return message or container.message


def _head(path: Path, size: int) -> str:
    try:
        with path.open("rb") as file:
            return file.read(size).decode(errors="replace")
    except OSError:
        return ""


def _log_tail(path: Path) -> str:
    from pybernetes.kubelet.server.logs import text_of

    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(file.tell() - 16 * FALLBACK_BYTES_MAX, 0))
            lines = file.read().splitlines()[-FALLBACK_LINES_MAX:]
    except OSError:
        return ""
    return b"".join(text_of(line) for line in lines)[-FALLBACK_BYTES_MAX:].decode(errors="replace")
