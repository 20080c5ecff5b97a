"""The supervisor with real processes: small programs stand for the components."""

import os
import signal
import time

import pytest

from pybernetes.cli import state, supervisor
from pybernetes.cli.components import Component
from pybernetes.cli.credentials import ApiAddress
from pybernetes.cli.layout import Layout
from pybernetes.cli.supervisor import Supervisor
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy

ADDRESS = ApiAddress("192.0.2.2", 6443, "10.96.0.1", "cluster.local", "node-a")
LIMIT_S = 10.0


def until(condition):
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError("it did not come true in time")


@pytest.fixture
def running(tmp_path, monkeypatch):
    """A supervisor of two sleeping programs, in a child process; yields its pid and what it says of its state."""
    layout = Layout(tmp_path / "data", tmp_path / "run", tmp_path / "logs")
    layout.logs.mkdir()
    monkeypatch.setattr(supervisor, "SHARED_MODULES", ())
    components = [Component(name, ("sleep", "1000"), is_program=True) for name in ("first", "second")]
    pid = os.fork()
    if pid == 0:
        try:
            Supervisor(components, layout, ADDRESS, SystemClock(), SystemEntropy()).run(lambda: None)
        finally:
            os._exit(0)
    children = []
    try:
        until(lambda: state.load(layout.state_file))

        def processes():
            loaded = state.load(layout.state_file)
            found = {each.name: each for each in loaded.components} if loaded else {}
            children.extend(each.process for each in found.values() if each.process)
            return found

        yield pid, processes, layout
    finally:
        for process in (state.ProcessRef.of(pid) if os.path.exists(f"/proc/{pid}") else None, *children):
            if process is not None:
                process.send(signal.SIGKILL)
        if os.path.exists(f"/proc/{pid}"):
            os.waitpid(pid, 0)


def test_a_component_that_is_killed_is_started_again(running):
    _, processes, _ = running
    before = processes()["first"].process
    other = processes()["second"].process
    before.send(signal.SIGKILL)

    def healed():
        now = processes()["first"]
        return now.process and now.process != before and now

    assert until(healed).restarts == 1
    assert processes()["second"].process == other


def test_a_component_that_keeps_failing_is_tried_ever_more_slowly(running):
    _, processes, _ = running
    seen = set()
    while len(seen) < 4:
        process = until(lambda: processes()["first"].process)
        if process not in seen:
            seen.add(process)
            started = time.monotonic()
            process.send(signal.SIGKILL)
            until(lambda dead=process: processes()["first"].process != dead)
    until(lambda: processes()["first"].process)
    assert time.monotonic() - started >= supervisor.BACKOFF_FIRST_S * 4


def test_it_stops_its_components_and_forgets_them(running):
    pid, processes, layout = running
    components = [each.process for each in processes().values()]
    os.kill(pid, signal.SIGTERM)
    assert os.waitpid(pid, 0)[1] == 0
    assert not any(process.is_alive() for process in components)
    assert not layout.state_file.exists()


def test_its_components_do_not_outlive_it(running):
    pid, processes, _ = running
    components = [each.process for each in processes().values()]
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    until(lambda: not any(process.is_alive() for process in components))
