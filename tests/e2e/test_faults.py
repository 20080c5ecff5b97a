"""A cluster whose parts are killed, stopped and started again: it heals, and the app answers all the while."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import time
from pathlib import Path

import pytest

from pybernetes.cli.layout import Layout
from pybernetes.cli.processes import ProcessRef
from pybernetes.client.rest import PatchType
from pybernetes.client.transport import ConnectionFailed
from pybernetes.machinery.errors import AlreadyExists, StatusError
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.resources import CONFIG_MAPS, DEPLOYMENTS, PODS
from tests.e2e.cluster import PYB, Api, Cluster, pod, rolled_out, run, until, web
from tests.e2e.hammer import fetch, hammering, until_answers

COMPONENTS = ("apiserver", "scheduler", "controller-manager", "kubelet", "proxy", "dns", "containerd")
HEALED_S = 15.0
REPLICAS = 2


@pytest.fixture(autouse=True)
def running(cluster: Cluster) -> None:
    """Whatever the test before did to it."""
    if not cluster.is_up():
        cluster.up()


@pytest.fixture
async def address(api: Api) -> str:
    """Of an app of two replicas."""
    await api.create(DEPLOYMENTS, web(REPLICAS))
    made = await api.service("web", "web")
    await rolled_out(api)
    found: str = made["spec"]["clusterIP"]
    await until_answers(found)
    return found


async def lives(api: Api) -> dict[str, list[tuple[str, int]]]:
    """Of each pod, its containers' ids with their restarts: equal where nothing was started anew."""
    listed = await api.client.list(PODS, api.namespace)
    return {name_of(each): _containers(each) for each in listed["items"] if name_of(each).startswith("web-")}


def _containers(seen: Object) -> list[tuple[str, int]]:
    statuses = seen["status"].get("containerStatuses") or ()
    return [(status.get("containerID", ""), status["restartCount"]) for status in statuses]


def healed(cluster: Cluster, component: str, killed: ProcessRef) -> None:
    def again() -> bool:
        process = cluster.process(component)
        return process is not None and process != killed and process.is_alive()

    until(again, f"{component} is started again", HEALED_S)
    until(lambda: cluster.pyb("status", code=None).returncode == 0, "all components are well", HEALED_S)


async def works(api: Api) -> None:
    """The whole of it: a change of the Deployment goes through all components to a ready pod with a name."""
    await api.client.patch(DEPLOYMENTS, "web", api.namespace, {"spec": {"replicas": REPLICAS + 1}}, PatchType.MERGE)
    await rolled_out(api)
    caller = pod("caller", "until wget -q -O - http://web; do sleep 0.2; done", restartPolicy="Never")
    assert (await api.finish(caller)).strip().split("\n")[-1].startswith("web-")


@pytest.mark.parametrize("component", COMPONENTS)
async def test_a_killed_component_is_back_at_once_and_the_app_does_not_notice(
    cluster: Cluster, api: Api, address: str, component: str
) -> None:
    before = await lives(api)
    process = cluster.process(component)
    assert process is not None
    async with hammering(address) as hammer:
        process.send(signal.SIGKILL)
        await asyncio.to_thread(healed, cluster, component, process)
        assert before.items() <= (await lives(api)).items()
        await works(api)
    assert before.items() <= (await lives(api)).items()
    assert hammer.failures == []
    assert hammer.answers


async def test_no_acknowledged_write_is_lost_when_the_api_server_is_killed(cluster: Cluster, api: Api) -> None:
    acknowledged = []
    for round_ in range(3):
        process = cluster.process("apiserver")
        assert process is not None
        killing = asyncio.get_running_loop().call_later(0.2 + 0.05 * round_, process.send, signal.SIGKILL)
        for number in range(10_000):
            name = f"map-{round_}-{number}"
            try:
                await api.create(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
            except ConnectionFailed:
                break
            acknowledged.append(name)
        killing.cancel()
        await asyncio.to_thread(healed, cluster, "apiserver", process)
    listed = await api.client.list(CONFIG_MAPS, api.namespace)
    assert set(acknowledged) <= {name_of(each) for each in listed["items"]}
    assert len(acknowledged) > 30


async def test_a_rollout_gets_through_though_all_components_are_killed_one_after_another(cluster: Cluster, api: Api) -> None:
    made = False
    for component in (*COMPONENTS, *reversed(COMPONENTS)):
        if not made:
            try:
                await api.create(DEPLOYMENTS, web(4))
            except (AlreadyExists, OSError, StatusError):
                pass
            made = True
        process = cluster.process(component)
        if process is not None:
            process.send(signal.SIGKILL)
        await asyncio.sleep(0.25)
    until(cluster.is_up, "all components are started again", HEALED_S)
    until(lambda: cluster.pyb("status", code=None).returncode == 0, "all components are well", HEALED_S)
    try:
        await api.create(DEPLOYMENTS, web(4))
    except AlreadyExists:
        pass
    await rolled_out(api)
    assert len(await lives(api)) == 4


@pytest.mark.parametrize("victims", ["the supervisor", "everything"])
async def test_after_a_kill_up_brings_the_same_cluster_back_with_its_pods_adopted(
    cluster: Cluster, api: Api, address: str, victims: str
) -> None:
    before = await lives(api)
    state = cluster.state()
    assert state is not None
    async with hammering(address) as hammer:
        for process in (state.supervisor, *(state.processes() if victims == "everything" else ())):
            process.send(signal.SIGKILL)
        # Each ends in order, which takes long on a busy machine.
        until(lambda: not any(process.is_alive() for process in state.processes()), "all components are gone", 30)
        refused = cluster.pyb("status", code=1)
        assert refused.stderr.count("\n") == 1
        assert "`pyb up` brings the cluster back" in refused.stderr
        await asyncio.to_thread(cluster.up)
        assert await lives(api) == before
        await works(api)
        await asyncio.sleep(1)
    assert before.items() <= (await lives(api)).items()
    assert hammer.failures == []


async def test_down_keeps_the_data_and_up_brings_the_app_back(cluster: Cluster, api: Api, address: str) -> None:
    await api.create(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept"}, "data": {"a": "1"}})
    before = set(await lives(api))
    said = await asyncio.to_thread(cluster.pyb, "down")
    assert "`pyb up` brings it back" in said.stdout
    with pytest.raises(OSError):
        await fetch(address)
    assert "No cluster is running" in cluster.pyb("down").stdout
    await asyncio.to_thread(cluster.up)
    assert (await api.get(CONFIG_MAPS, "kept"))["data"] == {"a": "1"}
    await until_answers(address, timeout_s=30)
    assert set(await lives(api)) == before
    await works(api)


# What a user gets wrong: one clear sentence each.


def sentence(stderr: str) -> str:
    lines = stderr.strip().split("\n")
    assert len(lines) == 1, stderr
    assert lines[0].startswith("Error: "), stderr
    return lines[0]


def test_a_second_up_says_that_the_cluster_is_running(cluster: Cluster) -> None:
    began = time.monotonic()
    said = cluster.pyb("up").stdout
    assert said.splitlines()[-1] == "The cluster is already running: `pyb status` shows it, `pyb down` stops it."
    assert time.monotonic() - began < 5


def test_without_root_it_says_what_is_needed(cluster: Cluster) -> None:
    # In a user namespace without a mapping we are nobody; and may still read the checkout, wherever it is.
    if run("unshare", "--user", "true", code=None).returncode != 0:
        pytest.skip("no user namespace can be made here")
    for verb in ("up", "down", "demo"):
        refused = run("unshare", "--user", PYB, verb, *cluster.directories, "--run-dir=/run/elsewhere", code=1)
        assert "needs root" in sentence(refused.stderr)


def test_what_stands_in_the_way_of_a_start_is_said(cluster: Cluster, tmp_path: Path) -> None:
    cluster.pyb("down")
    programs = tmp_path / "bin"
    programs.mkdir()
    for directory in reversed(os.environ["PATH"].split(":")):
        for program in Path(directory).glob("*"):
            link = programs / program.name
            link.unlink(missing_ok=True)
            link.symlink_to(program)
    (programs / "runc").unlink()
    refused = cluster.pyb("up", code=1, env={"PATH": str(programs)})
    assert sentence(refused.stderr) == "Error: Not installed: runc. On Debian: apt-get install runc"

    with socket.create_server(("127.0.0.1", 10259)):
        refused = cluster.pyb("up", code=1)
    assert "Port 10259, which the scheduler needs, is in use" in sentence(refused.stderr)

    with socket.create_server(("0.0.0.0", 6443)):
        refused = cluster.pyb("up", code=1)
    assert "Port 6443, which the API server needs, is in use" in sentence(refused.stderr)

    blocked = Layout(tmp_path / "file", cluster.layout.run, cluster.layout.logs)
    blocked.data.write_text("not a directory")
    refused = Cluster(blocked).pyb("up", code=1)
    assert "--data-dir" in sentence(refused.stderr)
    assert shutil.which("runc")
    cluster.up()


def test_a_component_that_cannot_run_is_named_with_its_log(cluster: Cluster) -> None:
    cluster.pyb("down")
    store = cluster.layout.store
    kept = store.rename(store.with_name("kept"))
    store.write_text("not a directory")
    try:
        refused = cluster.pyb("up", code=1)
        assert "The apiserver ends as soon as it starts: `pyb logs apiserver` tells why" in sentence(refused.stderr)
        told = cluster.pyb("logs", "apiserver").stdout
        assert str(store) in told.splitlines()[-1]
        cluster.pyb("down")
    finally:
        store.unlink()
        kept.rename(store)
    cluster.up()


def test_a_second_cluster_in_other_directories_is_refused_and_the_first_goes_on(cluster: Cluster, tmp_path: Path) -> None:
    other = Cluster(Layout(tmp_path / "data", tmp_path / "run", tmp_path / "logs"))
    refused = other.pyb("up", code=1)
    assert "is in use" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert cluster.pyb("status").returncode == 0
