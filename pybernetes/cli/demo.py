"""`pyb demo`: a cluster, an app on it, its answer fetched by address and by name; the cluster stays up."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from pybernetes.cli.failure import Failure
from pybernetes.cli.images import BUSYBOX_IMAGE
from pybernetes.cli.layout import Layout
from pybernetes.cli.up import layout_options, start
from pybernetes.client import kubeconfig
from pybernetes.client.rest import Client, PatchType
from pybernetes.machinery.clock import Clock, SystemClock
from pybernetes.machinery.errors import AlreadyExists, NotFound, StatusError
from pybernetes.machinery.meta import Object, Resource, name_of
from pybernetes.machinery.resources import DEPLOYMENTS, PODS, SERVICES

NAMESPACE = "default"
APP = "hello"
CALLER = "hello-caller"
REPLICAS = 3
APP_TIMEOUT_S = 120.0
CALL_TIMEOUT_S = 10
POLL_S = 0.1
BAR_WIDTH = 30

# Each replica tells its own name, so that one sees the Service spread the requests.
SERVE = 'mkdir -p /tmp/www && echo "Hello from $(hostname)" > /tmp/www/index.html && exec httpd -f -p 8080 -h /tmp/www'


def deployment() -> Object:
    labels = {"app": APP}
    container: Object = {
        "name": "web",
        "image": BUSYBOX_IMAGE,
        "command": ["sh", "-c", SERVE],
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "10m", "memory": "8Mi"}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": APP, "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "replicas": REPLICAS,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
            },
        },
    }


def service() -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": APP, "namespace": NAMESPACE},
        "spec": {"selector": {"app": APP}, "ports": [{"port": 80, "targetPort": 8080}]},
    }


def caller(url: str) -> Object:
    """A pod that fetches the URL once, by the DNS of the cluster, and prints the answer."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": CALLER, "namespace": NAMESPACE},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "caller", "image": BUSYBOX_IMAGE, "command": ["wget", "-q", "-O", "-", url]}],
            "activeDeadlineSeconds": CALL_TIMEOUT_S,
        },
    }


@click.command("demo")
@layout_options
def command(data_dir: Path, run_dir: Path, log_dir: Path) -> None:
    """Start a cluster, run an app on it, fetch its answer. The cluster stays up."""
    layout = Layout(data_dir, run_dir, log_dir)
    clock = SystemClock()
    click.echo("Starting a cluster on this machine:")
    start(layout, clock, click.echo)
    asyncio.run(_show(layout, clock))
    click.echo(
        f"""
The cluster stays up. To go on:
  export KUBECONFIG={layout.admin_kubeconfig}    # for any kubectl, or use ours:
  ./pyb kubectl get pods -o wide
  ./pyb kubectl scale deployment {APP} --replicas=5
  ./pyb status
  ./pyb down"""
    )


async def _show(layout: Layout, clock: Clock) -> None:
    client = kubeconfig.connect(layout.admin_kubeconfig)
    try:
        async with asyncio.timeout(APP_TIMEOUT_S):
            click.echo(f"\nApplying a Deployment of {REPLICAS} replicas and a Service, both named {APP!r}:")
            await _apply(client, DEPLOYMENTS, deployment())
            cluster_ip = (await _apply(client, SERVICES, service()))["spec"]["clusterIP"]
            await _until_available(client, clock)
            click.echo("\nFetching its answer:")
            url = f"http://{cluster_ip}/"
            click.echo(f"  from this machine, {url}\n    {await _fetch(cluster_ip, clock)}")
            url = f"http://{APP}.{NAMESPACE}.svc.cluster.local/"
            click.echo(f"  from another pod, {url}\n    {await _fetch_from_pod(client, url, clock)}")
    except TimeoutError as error:
        raise Failure(
            f"The app did not answer within {APP_TIMEOUT_S:.0f} s: look at `pyb kubectl describe pods` and `pyb status`."
        ) from error
    except (OSError, StatusError) as error:
        raise Failure(f"The API server refused or broke off: {error}. See `pyb status` and `pyb logs apiserver`.") from error
    finally:
        await client.close()


async def _apply(client: Client, resource: Resource, obj: Object) -> Object:
    """Create, or set right what is there: the demo may be run again."""
    try:
        return await client.create(resource, obj)
    except AlreadyExists:
        return await client.patch(resource, name_of(obj), NAMESPACE, obj, PatchType.MERGE)


async def _until_available(client: Client, clock: Clock) -> None:
    """Show how many replicas are available until all are."""
    progress = _Progress()
    while True:
        found = await client.get(DEPLOYMENTS, APP, NAMESPACE)
        status = found.get("status", {})
        is_current = status.get("observedGeneration", 0) >= found["metadata"]["generation"]
        available = status.get("availableReplicas", 0) if is_current else 0
        progress.show(available, REPLICAS)
        if available >= REPLICAS and status.get("updatedReplicas") == REPLICAS:
            return progress.end()
        await clock.sleep(POLL_S)


class _Progress:
    """A bar on a terminal; in a file, a line for each change."""

    def __init__(self) -> None:
        self._is_terminal = sys.stdout.isatty()
        self._last = -1

    def show(self, done: int, total: int) -> None:
        if done == self._last:
            return
        self._last = done
        filled = BAR_WIDTH * done // total
        bar = f"  [{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {done} of {total} replicas available"
        click.echo(f"\r{bar}" if self._is_terminal else bar, nl=not self._is_terminal)

    def end(self) -> None:
        if self._is_terminal:
            click.echo()


async def _fetch(host: str, clock: Clock) -> str:
    """One HTTP GET from this machine, tried until the proxy has programmed the Service."""
    from pybernetes.client.http import HttpTransport
    from pybernetes.machinery.http.messages import Request

    while True:
        # Before the proxy knows the address, packets leave for the network, where anything may answer: only a 200 is the
        # app's, and a kept connection would go on to lead there.
        transport = HttpTransport(f"http://{host}:80", clock=clock)
        try:
            response = await transport.send(Request("GET", "/", headers={"host": host}), timeout_s=2)
            if response.status == 200:
                return _text(response.body)
        except OSError:
            pass
        finally:
            await transport.close()
        await clock.sleep(POLL_S)


async def _fetch_from_pod(client: Client, url: str, clock: Clock) -> str:
    """Run the caller to its end and read its log; tried again where the name was not known yet."""
    while True:
        await _delete_caller(client, clock)
        await client.create(PODS, caller(url))
        phase = ""
        while phase not in ("Succeeded", "Failed"):
            await clock.sleep(POLL_S)
            phase = (await client.get(PODS, CALLER, NAMESPACE)).get("status", {}).get("phase", "")
        answer = await client.raw("GET", PODS.path(NAMESPACE, CALLER, "log"))
        if phase == "Succeeded":
            await _delete_caller(client, clock)
            return _text(answer.body)


async def _delete_caller(client: Client, clock: Clock) -> None:
    while True:
        try:
            await client.delete(PODS, CALLER, NAMESPACE, grace_period_s=0)
        except NotFound:
            return
        await clock.sleep(POLL_S)


def _text(body: object) -> str:
    assert isinstance(body, bytes)
    return body.decode(errors="replace").strip()
