"""One thin class over a CRI runtime's socket: a method per verb, plain arguments, generated messages as results.

grpc takes 10 MB and 30 ms to import, so it is imported when a client is made (only the kubelet makes one). Every call has a
time limit. A failure is a `RuntimeFailed`; what the runtime does not know (any more) is a `RuntimeNotFound`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pybernetes.kubelet.cri import containerd_events_pb2 as containerd
from pybernetes.kubelet.cri import runtime_pb2 as api

if TYPE_CHECKING:
    import grpc.aio

CALL_TIMEOUT_S = 120.0  # upstream's --runtime-request-timeout
LIST_TIMEOUT_S = 15.0
PULL_TIMEOUT_S = 1800.0
MESSAGE_BYTES_MAX = 16 * 1024 * 1024


class RuntimeFailed(Exception):
    """The runtime could not do it; `str()` is its sentence, `code` gRPC's status name."""

    def __init__(self, message: str, code: str = "UNKNOWN") -> None:
        super().__init__(message)
        self.code = code


class RuntimeNotFound(RuntimeFailed):
    """The runtime has no such sandbox, container or image."""


class RuntimeUnavailable(RuntimeFailed):
    """The runtime cannot be reached (not started yet, or gone)."""


class ExecTimeout(RuntimeFailed):
    """A command in a container did not end within its limit."""


class Runtime:
    """A CRI v1 runtime (RuntimeService and ImageService on one socket, `unix:///…`)."""

    def __init__(self, endpoint: str) -> None:
        # The only forks here are followed by an exec; gRPC's care for others costs a warning at each.
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
        import grpc
        import grpc.aio

        self._grpc = grpc
        self.endpoint = endpoint if "://" in endpoint else f"unix://{endpoint}"
        self._channel: grpc.aio.Channel = grpc.aio.insecure_channel(
            self.endpoint,
            options=[
                ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
                ("grpc.enable_http_proxy", 0),
                # A runtime that restarts is found again at once: the socket is local, there is nothing to spare.
                ("grpc.initial_reconnect_backoff_ms", 50),
                ("grpc.min_reconnect_backoff_ms", 50),
                ("grpc.max_reconnect_backoff_ms", 1000),
                # gRPC refuses the authority that it derives from a unix path in some runtimes.
                ("grpc.default_authority", "localhost"),
            ],
        )
        self._methods: dict[str, Callable[..., Awaitable[Any]]] = {}

    async def close(self) -> None:
        await self._channel.close(None)

    async def wait_ready(self, timeout_s: float) -> None:
        """Until the socket answers. Raises RuntimeUnavailable after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._channel.channel_ready()
        except TimeoutError:
            raise RuntimeUnavailable(f"no container runtime answers at {self.endpoint}", "UNAVAILABLE") from None

    async def _call(self, service: str, method: str, request: Any, response: Any, timeout_s: float) -> Any:
        path = f"/runtime.v1.{service}/{method}"
        call = self._methods.get(path)
        if call is None:
            call = self._methods[path] = self._channel.unary_unary(
                path, request_serializer=type(request).SerializeToString, response_deserializer=response.FromString
            )
        try:
            return await call(request, timeout=timeout_s)
        except self._grpc.aio.AioRpcError as error:
            raise self._mapped(error, method) from error

    def _mapped(self, error: grpc.aio.AioRpcError, method: str) -> RuntimeFailed:
        code = error.code()
        message = error.details() or code.name
        status = self._grpc.StatusCode
        if code == status.NOT_FOUND:
            return RuntimeNotFound(message, code.name)
        if code == status.UNAVAILABLE:
            return RuntimeUnavailable(message, code.name)
        if code == status.DEADLINE_EXCEEDED and method == "ExecSync":
            return ExecTimeout(message, code.name)
        return RuntimeFailed(message, code.name)

    async def _runtime(self, method: str, request: Any, response: Any, timeout_s: float = CALL_TIMEOUT_S) -> Any:
        return await self._call("RuntimeService", method, request, response, timeout_s)

    async def _image(self, method: str, request: Any, response: Any, timeout_s: float = CALL_TIMEOUT_S) -> Any:
        return await self._call("ImageService", method, request, response, timeout_s)

    # The runtime itself

    async def version(self) -> api.VersionResponse:
        answer: api.VersionResponse = await self._runtime("Version", api.VersionRequest(), api.VersionResponse, LIST_TIMEOUT_S)
        return answer

    async def status(self) -> api.StatusResponse:
        answer: api.StatusResponse = await self._runtime("Status", api.StatusRequest(), api.StatusResponse, LIST_TIMEOUT_S)
        return answer

    # Sandboxes

    async def run_sandbox(self, config: api.PodSandboxConfig, handler: str = "") -> str:
        request = api.RunPodSandboxRequest(config=config, runtime_handler=handler)
        answer: api.RunPodSandboxResponse = await self._runtime("RunPodSandbox", request, api.RunPodSandboxResponse, 240)
        return answer.pod_sandbox_id

    async def stop_sandbox(self, sandbox_id: str) -> None:
        await self._runtime("StopPodSandbox", api.StopPodSandboxRequest(pod_sandbox_id=sandbox_id), api.StopPodSandboxResponse)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        await self._runtime(
            "RemovePodSandbox", api.RemovePodSandboxRequest(pod_sandbox_id=sandbox_id), api.RemovePodSandboxResponse
        )

    async def sandbox_status(self, sandbox_id: str, *, verbose: bool = False) -> api.PodSandboxStatusResponse:
        request = api.PodSandboxStatusRequest(pod_sandbox_id=sandbox_id, verbose=verbose)
        answer: api.PodSandboxStatusResponse = await self._runtime(
            "PodSandboxStatus", request, api.PodSandboxStatusResponse, LIST_TIMEOUT_S
        )
        return answer

    async def list_sandboxes(self, labels: Mapping[str, str] | None = None) -> Sequence[api.PodSandbox]:
        request = api.ListPodSandboxRequest(filter=api.PodSandboxFilter(label_selector=labels or {}))
        answer: api.ListPodSandboxResponse = await self._runtime(
            "ListPodSandbox", request, api.ListPodSandboxResponse, LIST_TIMEOUT_S
        )
        return answer.items

    # Containers

    async def create_container(self, sandbox_id: str, config: api.ContainerConfig, sandbox_config: api.PodSandboxConfig) -> str:
        request = api.CreateContainerRequest(pod_sandbox_id=sandbox_id, config=config, sandbox_config=sandbox_config)
        answer: api.CreateContainerResponse = await self._runtime("CreateContainer", request, api.CreateContainerResponse)
        return answer.container_id

    async def start_container(self, container_id: str) -> None:
        await self._runtime("StartContainer", api.StartContainerRequest(container_id=container_id), api.StartContainerResponse)

    async def stop_container(self, container_id: str, grace_s: int) -> None:
        """SIGTERM (or the image's stop signal), then SIGKILL after `grace_s`; returns when it has stopped."""
        request = api.StopContainerRequest(container_id=container_id, timeout=grace_s)
        await self._runtime("StopContainer", request, api.StopContainerResponse, CALL_TIMEOUT_S + grace_s)

    async def remove_container(self, container_id: str) -> None:
        await self._runtime(
            "RemoveContainer", api.RemoveContainerRequest(container_id=container_id), api.RemoveContainerResponse
        )

    async def container_status(self, container_id: str, *, verbose: bool = False) -> api.ContainerStatusResponse:
        request = api.ContainerStatusRequest(container_id=container_id, verbose=verbose)
        answer: api.ContainerStatusResponse = await self._runtime(
            "ContainerStatus", request, api.ContainerStatusResponse, LIST_TIMEOUT_S
        )
        return answer

    async def list_containers(self, labels: Mapping[str, str] | None = None) -> Sequence[api.Container]:
        request = api.ListContainersRequest(filter=api.ContainerFilter(label_selector=labels or {}))
        answer: api.ListContainersResponse = await self._runtime(
            "ListContainers", request, api.ListContainersResponse, LIST_TIMEOUT_S
        )
        return answer.containers

    async def container_stats(self) -> Sequence[api.ContainerStats]:
        answer: api.ListContainerStatsResponse = await self._runtime(
            "ListContainerStats", api.ListContainerStatsRequest(), api.ListContainerStatsResponse, LIST_TIMEOUT_S
        )
        return answer.stats

    # Commands and streams in containers

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout_s: int) -> tuple[int, bytes]:
        """Run it; (exit code, stdout then stderr). Raises ExecTimeout. `timeout_s` 0 is no limit of the runtime's."""
        request = api.ExecSyncRequest(container_id=container_id, cmd=command, timeout=timeout_s)
        limit_s = timeout_s + 2.0 if timeout_s else CALL_TIMEOUT_S  # the runtime's own limit comes first
        answer: api.ExecSyncResponse = await self._runtime("ExecSync", request, api.ExecSyncResponse, limit_s)
        return answer.exit_code, answer.stdout + answer.stderr

    async def exec_url(self, request: api.ExecRequest) -> str:
        answer: api.ExecResponse = await self._runtime("Exec", request, api.ExecResponse)
        return answer.url

    async def attach_url(self, request: api.AttachRequest) -> str:
        answer: api.AttachResponse = await self._runtime("Attach", request, api.AttachResponse)
        return answer.url

    async def port_forward_url(self, sandbox_id: str, ports: Sequence[int]) -> str:
        request = api.PortForwardRequest(pod_sandbox_id=sandbox_id, port=ports)
        answer: api.PortForwardResponse = await self._runtime("PortForward", request, api.PortForwardResponse)
        return answer.url

    # Images

    async def image_status(self, image: str) -> api.Image | None:
        request = api.ImageStatusRequest(image=api.ImageSpec(image=image))
        answer: api.ImageStatusResponse = await self._image("ImageStatus", request, api.ImageStatusResponse, LIST_TIMEOUT_S)
        return answer.image if answer.HasField("image") else None

    async def pull_image(self, image: str, auth: api.AuthConfig | None, sandbox_config: api.PodSandboxConfig | None) -> str:
        request = api.PullImageRequest(image=api.ImageSpec(image=image), auth=auth, sandbox_config=sandbox_config)
        answer: api.PullImageResponse = await self._image("PullImage", request, api.PullImageResponse, PULL_TIMEOUT_S)
        return answer.image_ref

    async def list_images(self) -> Sequence[api.Image]:
        answer: api.ListImagesResponse = await self._image(
            "ListImages", api.ListImagesRequest(), api.ListImagesResponse, LIST_TIMEOUT_S
        )
        return answer.images

    # Events

    async def events(self) -> AsyncIterator[api.ContainerEventResponse]:
        """CRI's event stream (KEP-3386). Raises RuntimeFailed with code UNIMPLEMENTED where the runtime has none."""
        call = self._channel.unary_stream(
            "/runtime.v1.RuntimeService/GetContainerEvents",
            request_serializer=api.GetEventsRequest.SerializeToString,
            response_deserializer=api.ContainerEventResponse.FromString,
        )
        try:
            async for event in call(api.GetEventsRequest()):
                yield event
        except self._grpc.aio.AioRpcError as error:
            raise self._mapped(error, "GetContainerEvents") from error

    async def containerd_exits(self) -> AsyncIterator[str]:
        """Ids of containers (sandboxes included) whose first process ended, from containerd's own stream.

        Raises RuntimeFailed with code UNIMPLEMENTED where the runtime is not containerd.
        """
        call = self._channel.unary_stream(
            "/containerd.services.events.v1.Events/Subscribe",
            request_serializer=containerd.SubscribeRequest.SerializeToString,
            response_deserializer=containerd.Envelope.FromString,
        )
        try:
            async for envelope in call(containerd.SubscribeRequest(filters=['topic=="/tasks/exit"'])):
                event = containerd.TaskExit.FromString(envelope.event.value)
                if event.id == event.container_id:  # else an exec's end, of which probes make many
                    yield event.container_id
        except self._grpc.aio.AioRpcError as error:
            raise self._mapped(error, "Subscribe") from error
