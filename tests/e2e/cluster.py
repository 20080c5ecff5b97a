"""A cluster of one node, made by this checkout's `pyb` as a user would, with its things in scratch directories."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pybernetes.cli import state
from pybernetes.cli.images import BUSYBOX_IMAGE
from pybernetes.cli.layout import Layout
from pybernetes.cli.processes import ProcessRef
from pybernetes.client.rest import Client
from pybernetes.machinery.errors import NotFound, StatusError
from pybernetes.machinery.meta import Object, Resource, condition, name_of
from pybernetes.machinery.resources import DEPLOYMENTS, EVENTS, PODS, SERVICES

CHECKOUT = Path(__file__).parents[2]
PYB = Path(sys.executable).with_name("pyb")
POLL_S = 0.05

Completed = subprocess.CompletedProcess[str]


def run(
    *words: str | Path, env: Mapping[str, str] | None = None, stdin: str = "", timeout_s: float = 60, code: int | None = 0
) -> Completed:
    """Run a program to its end. Its exit code must be `code`, unless that is None."""
    done = subprocess.run(
        [str(word) for word in words],
        env={**os.environ, **(env or {})},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if code is not None and done.returncode != code:
        raise AssertionError(
            f"{' '.join(map(str, words))} exited with {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}"
        )
    return done


@dataclass
class Cluster:
    layout: Layout
    seen: set[ProcessRef] = field(default_factory=set)  # every process of ours that was ever met: none may outlive the cluster

    @property
    def directories(self) -> tuple[str, ...]:
        return (
            f"--data-dir={self.layout.data}", f"--run-dir={self.layout.run}", f"--log-dir={self.layout.logs}",
        )  # fmt: skip

    @property
    def kubeconfig(self) -> Path:
        return self.layout.admin_kubeconfig

    def pyb(self, verb: str, *words: str, **how: Any) -> Completed:
        return run(PYB, verb, *self.directories, *words, **how)

    def up(self, **how: Any) -> Completed:
        done = self.pyb("up", timeout_s=150, **how)  # it gives up after 120 s, and says why
        self.state()
        return done

    def state(self) -> state.State | None:
        found = state.load(self.layout.state_file)
        if found is not None:
            self.seen |= {found.supervisor, *found.processes()}
        return found

    def process(self, component: str) -> ProcessRef | None:
        """Of one component, or the supervisor; None while it does not run."""
        found = self.state()
        if found is None:
            return None
        if component == "supervisor":
            return found.supervisor
        return next(each.process for each in found.components if each.name == component)

    def is_up(self) -> bool:
        found = self.state()
        return found is not None and all(process.is_alive() for process in (found.supervisor, *found.processes()))


def until(true: Callable[[], Any], what: str, timeout_s: float = 30.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := true():
            return found
        time.sleep(POLL_S)
    raise AssertionError(f"not within {timeout_s:.0f} s: {what}")


class Api:
    """What the tests ask of the cluster's API, in one namespace of theirs."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.client = client
        self.namespace = namespace

    async def create(self, resource: Resource, obj: Object) -> Object:
        return await self.client.create(resource, obj, self.namespace if resource.namespaced else "")

    async def get(self, resource: Resource, name: str) -> Object:
        return await self.client.get(resource, name, self.namespace if resource.namespaced else "")

    async def until(
        self, resource: Resource, name: str, true: Callable[[Object], Any], what: str, timeout_s: float = 30.0
    ) -> Object:
        """The object once `true` of it; with its last state in the failure."""
        found: Object = {}
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    try:
                        found = await self.get(resource, name)
                        if true(found):
                            return found
                    except NotFound:
                        pass
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            events = [f"{event['reason']}: {event.get('message')}" for event in await self.events(name)]
            raise AssertionError(
                f"{resource.plural}/{name}: not within {timeout_s:.0f} s: {what}\n{found.get('status')}\n{events}"
            ) from None

    async def gone(self, resource: Resource, name: str, timeout_s: float = 30.0) -> None:
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    await self.get(resource, name)
                except NotFound:
                    return
                await asyncio.sleep(POLL_S)

    async def events(self, name: str) -> list[Object]:
        listed = await self.client.list(EVENTS, self.namespace, field_selector=f"involvedObject.name={name}")
        return listed["items"]

    async def run(self, pod: Object, timeout_s: float = 30.0) -> Object:
        """Create the pod and wait until it is Ready."""
        await self.create(PODS, pod)
        return await self.until(PODS, name_of(pod), is_ready, "Ready", timeout_s)

    async def finish(self, pod: Object, phase: str = "Succeeded", timeout_s: float = 30.0) -> str:
        """Run the pod to its end; what it printed."""
        await self.create(PODS, pod)
        await self.until(PODS, name_of(pod), lambda seen: seen["status"].get("phase") == phase, phase, timeout_s)
        return await self.logs(name_of(pod))

    async def logs(self, name: str, **query: str) -> str:
        answer = await self.client.raw("GET", PODS.path(self.namespace, name, "log"), query=query)
        assert isinstance(answer.body, bytes)
        return answer.body.decode()

    async def until_logged(self, name: str, text: str, timeout_s: float = 30.0, **query: str) -> str:
        logged = ""
        try:
            async with asyncio.timeout(timeout_s):
                while text not in logged:
                    try:
                        logged = await self.logs(name, **query)
                    except StatusError:
                        pass
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise AssertionError(f"{name} did not log {text!r} within {timeout_s:.0f} s, only {logged!r}") from None
        return logged

    async def service(self, name: str, app: str, port: int = 80, target: int = 8080, **spec: Any) -> Object:
        return await self.create(
            SERVICES,
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name},
                "spec": {"selector": {"app": app}, "ports": [{"port": port, "targetPort": target}], **spec},
            },
        )


def is_ready(pod: Object) -> bool:
    ready = condition(pod.get("status", {}).get("conditions"), "Ready")
    return ready is not None and ready["status"] == "True"


def container_status(pod: Object, name: str = "main", kind: str = "containerStatuses") -> Object:
    return next((each for each in pod.get("status", {}).get(kind) or () if each["name"] == name), {})


def container(script: str, name: str = "main", **fields: Any) -> Object:
    return {"name": name, "image": BUSYBOX_IMAGE, "command": ["sh", "-c", script], **fields}


def pod(name: str, script: str = "sleep 1000", *, labels: Mapping[str, str] | None = None, **spec: Any) -> Object:
    """A pod of one container, `main`, unless `containers` says otherwise. Fields of the container go into `main`."""
    main = spec.pop("main", {})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name, **(labels or {})}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container(script, **main)], **spec},
    }


def serve(port: int = 8080, text: str = "$(hostname)") -> str:
    """A shell script that answers every request with the text."""
    return f'mkdir -p /tmp/www && echo "{text}" > /tmp/www/index.html && exec httpd -f -p {port} -h /tmp/www'


def deployment(name: str, replicas: int, template_pod: Object, **spec: Any) -> Object:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": template_pod["spec"]},
            **spec,
        },
    }


READINESS = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}


def web(replicas: int, text: str = "$(hostname)", **main: object) -> Object:
    return deployment("web", replicas, pod("web", serve(text=text), main={"readinessProbe": READINESS, **main}))


async def rolled_out(api: Api, name: str = "web", timeout_s: float = 40.0) -> Object:
    def done(seen: Object) -> bool:
        status, wanted = seen.get("status", {}), seen["spec"]["replicas"]
        counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
        return bool(status.get("observedGeneration", 0) >= seen["metadata"]["generation"] and counts == [wanted] * 3)

    return await api.until(DEPLOYMENTS, name, done, "rolled out", timeout_s)


def node_processes() -> Iterator[tuple[int, str, str]]:
    """(id, command line, cgroups) of each process on the machine."""
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            yield int(directory.name), command, (directory / "cgroup").read_text()
        except OSError:
            continue
