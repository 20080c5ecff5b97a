"""kubectl's exec, attach, cp, logs and port-forward, through the API server to a node that knows SPDY alone.

kubectl 1.36 comes with WebSockets, which are translated on the way; kubectl 1.24 with SPDY, which is relayed.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.component.clients.cluster import Cluster
from tests.component.clients.conftest import Run, installed


@pytest.fixture
def pod(kubectl: Run) -> str:
    kubectl("run", "p", "--image=busybox")
    kubectl("wait", "pod", "p", "--for=condition=Ready", "--timeout=20s")
    return "p"


def test_a_command_has_input_two_outputs_and_an_exit_code(any_kubectl: Run, pod: str) -> None:
    assert any_kubectl("exec", pod, "--", "echo", "hi").out == "hi\n"
    assert any_kubectl("exec", "-i", pod, "--", "cat", stdin="typed\n").out == "typed\n"
    result = any_kubectl("exec", pod, "--", "sh", "-c", "echo out; echo err >&2; exit 3", fails=True)
    assert (result.code, result.out) == (3, "out\n")
    assert result.err == "err\ncommand terminated with exit code 3\n"


def test_an_attached_client_talks_to_the_main_process(any_kubectl: Run, pod: str) -> None:
    assert any_kubectl("attach", "-i", pod, stdin="over there?\n").out == "over there?\n"


def test_large_input_and_output_arrive_whole(any_kubectl: Run, pod: str, tmp_path: Path) -> None:
    sent, back = tmp_path / "sent", tmp_path / "back"
    sent.write_bytes(os.urandom(3_000_000))
    any_kubectl("cp", str(sent), f"{pod}:{back}")
    assert hashlib.sha256(back.read_bytes()).digest() == hashlib.sha256(sent.read_bytes()).digest()
    copy = tmp_path / "copy"
    any_kubectl("cp", f"{pod}:{back}", str(copy))
    assert copy.read_bytes() == sent.read_bytes()


def test_logs_come_in_part_and_errors_as_such(any_kubectl: Run, pod: str) -> None:
    assert any_kubectl("logs", pod, "--tail=2").out == "line 3\nline 4\n"
    assert "container nope is not valid for pod p" in any_kubectl("logs", pod, "-c", "nope", fails=True).err


def test_nobody_may_run_commands_with_the_right_to_look_alone(kubectl: Run, pod: str, namespace: str) -> None:
    kubectl("create", "role", "looks", "--verb=get", "--resource=pods,pods/exec")
    kubectl("create", "rolebinding", "looks", "--role=looks", "--user=looker")
    said = kubectl("exec", pod, "--as=looker", "--", "echo", "hi", fails=True).err
    assert "is forbidden" in said


@pytest.fixture
def backend() -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.path.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize("version", ["kubectl-1.36", "kubectl-1.24"])
def test_ports_are_forwarded_for_many_connections(
    cluster: Cluster, pod: str, namespace: str, backend: int, version: str
) -> None:
    command = [str(installed(version, "kubectl")), "port-forward", "-n", namespace, pod, f":{backend}", ":1"]
    with subprocess.Popen(command, env=cluster.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline().decode() for _ in range(4)]
            ports = {line.split()[-1]: int(line.split()[2].rpartition(":")[2]) for line in lines if "127.0.0.1" in line}
            for number in range(5):
                with urllib.request.urlopen(f"http://127.0.0.1:{ports[str(backend)]}/{number}", timeout=10) as answer:
                    assert answer.read() == f"/{number}".encode()
            with pytest.raises((urllib.error.URLError, ConnectionError)):  # nobody listens there
                urllib.request.urlopen(f"http://127.0.0.1:{ports['1']}/", timeout=10)
        finally:
            process.terminate()
            process.wait(10)
