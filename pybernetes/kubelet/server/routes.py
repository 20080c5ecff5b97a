"""The kubelet's HTTP API: what the API server, kubectl's commands and metrics collectors ask a node."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, unquote

import orjson

from pybernetes.kubelet import observed
from pybernetes.kubelet.cri import runtime_pb2 as api
from pybernetes.kubelet.cri.client import RuntimeFailed, RuntimeNotFound
from pybernetes.kubelet.kubelet import Kubelet
from pybernetes.kubelet.observed import ContainerSeen, PodSeen, State
from pybernetes.kubelet.observer import observe
from pybernetes.kubelet.server.auth import Gate
from pybernetes.kubelet.server.logs import LogOptions, read_log
from pybernetes.kubelet.server.metrics import resource_metrics, summary
from pybernetes.kubelet.server.streaming import Streams
from pybernetes.kubelet.shared import container_spec
from pybernetes.machinery.clock import Clock, parse_time
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.errors import BadRequest, InternalError, NotFound, StatusError
from pybernetes.machinery.http.health import health
from pybernetes.machinery.http.messages import Request, Response
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object, uid_of
from pybernetes.machinery.stream_translation import RESIZE, STDERR, STDIN, STDOUT

log = logger("kubelet.server")

TEXT = {"Content-Type": "text/plain; charset=utf-8"}
JSON = {"Content-Type": "application/json"}
METRICS = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}


class KubeletServer:
    """`handle` answers requests. Errors are plain text with their code, as upstream's kubelet gives them."""

    def __init__(self, kubelet: Kubelet, *, clock: Clock, entropy: Entropy) -> None:
        self._kubelet = kubelet
        self._clock = clock
        self._gate = Gate(kubelet.client, kubelet.configuration, kubelet.facts.name, clock=clock)
        self._streams = Streams(clock=clock)

    async def handle(self, request: Request) -> Response:
        try:
            await self._gate.check(request)
            return await self._route(request)
        except StatusError as error:
            return Response(error.code, dict(TEXT), error.message.encode())
        except RuntimeFailed as error:
            return Response(500, dict(TEXT), str(error).encode())

    async def _route(self, request: Request) -> Response:
        answer = await health(request, {"syncloop": self._kubelet.healthy})
        if answer is not None:
            return answer
        parts = [unquote(part) for part in request.path.strip("/").split("/")]
        query = parse_qs(request.query, keep_blank_values=True)
        simple: dict[str, Callable[[], Awaitable[Response]]] = {
            "pods": self._pods,
            "stats/summary": self._summary,
            "metrics/resource": self._resource_metrics,
            "metrics": self._metrics,
        }
        if "/".join(parts) in simple:
            return await simple["/".join(parts)]()
        match parts:
            case ["containerLogs", namespace, pod, container]:
                return await self._logs(namespace, pod, container, query)
            case ["exec" | "attach" as verb, namespace, pod, container] | [
                "exec" | "attach" as verb, namespace, pod, _, container,
            ]:  # fmt: skip
                return await self._command(verb, request, namespace, pod, container, query)
            case ["run", namespace, pod, container]:
                return await self._run(namespace, pod, container, query)
            case ["portForward", namespace, pod] | ["portForward", namespace, pod, _]:
                return await self._port_forward(request, namespace, pod, query)
        raise NotFound("404 page not found")

    # Pods and figures

    async def _pods(self) -> Response:
        items = []
        for pod in self._kubelet.pods.list():
            status = self._kubelet.shared.statuses.latest(uid_of(pod))
            items.append({**pod, "status": status} if status else pod)
        return Response(200, dict(JSON), orjson.dumps({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}))

    async def _summary(self) -> Response:
        stats = await self._kubelet.runtime.container_stats()
        return Response(200, dict(JSON), orjson.dumps(summary(self._kubelet.facts.name, stats, self._clock.now())))

    async def _resource_metrics(self) -> Response:
        stats = await self._kubelet.runtime.container_stats()
        return Response(200, dict(METRICS), resource_metrics(self._kubelet.facts.name, stats, self._clock.now()))

    async def _metrics(self) -> Response:
        pods = len(self._kubelet.workers.active_pods())
        name = self._kubelet.facts.name
        text = f'# TYPE kubelet_node_name gauge\nkubelet_node_name{{node="{name}"}} 1\n'
        text += f"# TYPE kubelet_active_pods gauge\nkubelet_active_pods {pods}\n"
        return Response(200, dict(METRICS), text.encode())

    # Containers

    def _pod(self, namespace: str, name: str) -> Object:
        pod = self._kubelet.pods.get(namespace, name)
        if pod is None:
            raise NotFound(f'pod "{name}" not found')
        return pod

    async def _seen(self, pod: Object, container: str) -> PodSeen:
        if container_spec(pod, container) is None:
            raise BadRequest(f"container {container} is not valid for pod {pod['metadata']['name']}")
        return await observe(self._kubelet.runtime, uid_of(pod), {})

    async def _running(self, namespace: str, name: str, container: str) -> ContainerSeen:
        seen = await self._seen(self._pod(namespace, name), container)
        found = seen.container(container)
        if found is None or not found.running:
            raise NotFound(f'container not found ("{container}")')
        return found

    async def _logs(self, namespace: str, name: str, container: str, query: dict[str, list[str]]) -> Response:
        pod = self._pod(namespace, name)
        seen = await self._seen(pod, container)
        found = seen.container(container)
        if _flag(query, "previous"):
            dead = [c for c in seen.containers if c.name == container and c.state is State.EXITED]
            if found is not None and found.state is State.EXITED and len(dead) == 1:
                dead = dead if _restarting(self._status(pod), container) else []
            if not dead:
                raise BadRequest(f'previous terminated container "{container}" in pod "{name}" not found')
            found = dead[1] if found is not None and not found.running and len(dead) > 1 else dead[0]
        if found is None or found.state is State.CREATED:
            reason = _waiting_reason(self._status(pod), container)
            raise BadRequest(f'container "{container}" in pod "{name}" is waiting to start: {reason}')
        options = self._log_options(query)
        path = Path(found.log_path)
        container_id = found.id

        async def running() -> bool:
            try:
                return (await self._kubelet.runtime.container_status(container_id)).status.state == api.CONTAINER_RUNNING
            except RuntimeNotFound:
                return False

        if not _exists(path):
            return Response(200, dict(TEXT), b"")
        return Response(200, dict(TEXT), read_log(path, options, running=running, clock=self._clock))

    def _log_options(self, query: dict[str, list[str]]) -> LogOptions:
        since = None
        try:
            if "sinceSeconds" in query:
                since = self._clock.now() - timedelta(seconds=int(query["sinceSeconds"][0]))
            elif "sinceTime" in query:
                since = parse_time(query["sinceTime"][0])
            stream = query.get("stream", ["All"])[0]
            return LogOptions(
                follow=_flag(query, "follow"),
                tail_lines=int(query["tailLines"][0]) if "tailLines" in query else None,
                limit_bytes=int(query["limitBytes"][0]) if "limitBytes" in query else None,
                since=since,
                timestamps=_flag(query, "timestamps"),
                stream="" if stream == "All" else stream.lower(),
            )
        except ValueError as error:
            raise BadRequest(f"invalid log options: {error}") from error

    def _status(self, pod: Object) -> Object:
        return self._kubelet.shared.statuses.latest(uid_of(pod)) or pod.get("status") or {}

    async def _command(
        self, verb: str, request: Request, namespace: str, name: str, container: str, query: dict[str, list[str]]
    ) -> Response:
        found = await self._running(namespace, name, container)
        stdin, stdout = _flag(query, "stdin", "input"), _flag(query, "stdout", "output")
        stderr, tty = _flag(query, "stderr", "error"), _flag(query, "tty")
        if not (stdin or stdout or stderr):
            raise BadRequest("you must specify at least one of stdin, stdout, stderr")
        stderr = stderr and not tty
        if verb == "exec":
            command = query.get("command", [])
            if not command:
                raise BadRequest("you must specify at least 1 command for the container")
            ask = api.ExecRequest(container_id=found.id, cmd=command, tty=tty, stdin=stdin, stdout=stdout, stderr=stderr)
            url = await self._kubelet.runtime.exec_url(ask)
        else:
            spec = container_spec(self._pod(namespace, name), container) or {}
            tty = bool(spec.get("tty"))
            stderr = stderr and not tty
            attach = api.AttachRequest(
                container_id=found.id, tty=tty, stdin=stdin and bool(spec.get("stdin")), stdout=stdout, stderr=stderr
            )
            stdin = attach.stdin
            url = await self._kubelet.runtime.attach_url(attach)
        asked = ((STDIN, stdin), (STDOUT, stdout), (STDERR, stderr), (RESIZE, tty))
        channels = [channel for channel, wanted in asked if wanted]
        return await self._streams.command(request, url, channels)

    async def _run(self, namespace: str, name: str, container: str, query: dict[str, list[str]]) -> Response:
        found = await self._running(namespace, name, container)
        command = query.get("cmd", [""])[0].split()
        _, output = await self._kubelet.runtime.exec_sync(found.id, command, 0)
        return Response(200, dict(TEXT), output)

    async def _port_forward(self, request: Request, namespace: str, name: str, query: dict[str, list[str]]) -> Response:
        pod = self._pod(namespace, name)
        sandboxes = await self._kubelet.runtime.list_sandboxes({observed.LABEL_POD_UID: uid_of(pod)})
        ready = next((sandbox for sandbox in sandboxes if sandbox.state == api.SANDBOX_READY), None)
        if ready is None:
            raise InternalError(f'pod "{name}" has no running sandbox')
        try:
            ports = [int(port) for value in (*query.get("ports", []), *query.get("port", [])) for port in value.split(",")]
        except ValueError as error:
            raise BadRequest(f"query parameter ports is invalid: {error}") from error
        url = await self._kubelet.runtime.port_forward_url(ready.id, ports)
        return await self._streams.port_forward(request, url, ports)


def _flag(query: dict[str, list[str]], *names: str) -> bool:
    values: Sequence[str] = [value for name in names for value in query.get(name, [])]
    return any(value in ("1", "true", "True", "TRUE", "t", "T") for value in values)


def _exists(path: Path) -> bool:
    return path.exists()


def _entry(status: Object, container: str) -> Object:
    for field in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for entry in status.get(field) or ():
            if entry["name"] == container:
                return entry  # type: ignore[no-any-return]
    return {}


def _restarting(status: Object, container: str) -> bool:
    return "waiting" in (_entry(status, container).get("state") or {})


def _waiting_reason(status: Object, container: str) -> str:
    waiting = (_entry(status, container).get("state") or {}).get("waiting") or {}
    reason = waiting.get("reason", "ContainerCreating")
    if reason in ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"):
        return "trying and failing to pull image" if reason != "ErrImageNeverPull" else "image can't be pulled"
    return str(reason)
