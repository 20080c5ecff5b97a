"""Debian's etcd, and `pyb etcd`, as processes of our own: one member on loopback."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

START_TIMEOUT_S = 20.0


def missing() -> str:
    """Why there can be no etcd here; "" if there can."""
    for program, package in (("etcd", "etcd-server"), ("etcdctl", "etcd-client")):
        if shutil.which(program) is None:
            return f"{program} is not installed (Debian package {package})"
    return ""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class EtcdServer:
    """Runs inside `with`. `flags` are etcd's own; TLS flags make its URL https."""

    def __init__(self, directory: Path, *flags: str) -> None:
        self.directory = directory
        self.flags = flags
        self.credentials: tuple[str, ...] = ()  # flags of etcdctl's
        self.port, self.peer_port = free_port(), free_port()
        self.url = f"{'https' if any(flag.startswith('--cert-file') for flag in flags) else 'http'}://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> EtcdServer:
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.kill()

    def command(self) -> list[str]:
        peer = f"http://127.0.0.1:{self.peer_port}"
        return [
            "etcd", "--name=test", f"--data-dir={self.directory}/data", f"--listen-client-urls={self.url}",
            f"--advertise-client-urls={self.url}", f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=test={peer}", "--log-level=error",
            # A short election is a short start, and allows leases of a second.
            "--heartbeat-interval=10", "--election-timeout=100", *self.flags,
        ]  # fmt: skip

    def start(self) -> None:
        command = self.command()
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"it does not start: {(self.directory / 'log').read_text()[-2000:]}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=0.2):
                return True
        except OSError:
            return False

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def running(self) -> bool:
        return self._process is not None

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def limit_files(self, size: int) -> None:
        """No file that it writes may become larger than that: to it, a full disk."""
        assert self._process is not None
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def wipe(self) -> None:
        """As if its disk were new. Only while it does not run."""
        shutil.rmtree(self.directory / "data")

    def ctl(self, *arguments: str, check: bool = True, stdin: str = "") -> str:
        """`etcdctl`'s output."""
        environment = {"PATH": os.environ["PATH"], "ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": self.url}
        command = ["etcdctl", *self.credentials, *arguments]
        done = subprocess.run(
            command, env=environment, input=stdin, capture_output=True, text=True, timeout=30, check=False
        )  # fmt: skip
        if check and done.returncode:
            raise RuntimeError(f"etcdctl {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def raw(self, key: str) -> bytes:
        """A value's bytes."""
        [found] = json.loads(self.ctl("get", key, "-w", "json"))["kvs"]
        return b64decode(found["value"])

    def empty(self) -> None:
        """Without keys and leases; revisions go on."""
        self.ctl("del", "", "--prefix")
        for line in self.ctl("lease", "list").splitlines()[1:]:
            self.ctl("lease", "revoke", line.strip())


class EtcdMember(EtcdServer):
    """One of several that are one etcd; `cluster` is set on each before the first is started."""

    def __init__(self, directory: Path, name: str) -> None:
        directory.mkdir()
        super().__init__(directory)
        self.name = name
        self.cluster: Sequence[EtcdMember] = ()

    def command(self) -> list[str]:
        members = ",".join(f"{member.name}=http://127.0.0.1:{member.peer_port}" for member in self.cluster)
        changed = {"--name": self.name, "--initial-cluster": members}
        names = [flag.partition("=")[0] for flag in super().command()]
        return [
            f"{name}={changed[name]}" if name in changed else flag
            for name, flag in zip(names, super().command(), strict=True)
        ]  # fmt: skip

    @property
    def leads(self) -> bool:
        try:
            [found] = json.loads(self.ctl("endpoint", "status", "-w", "json"))
        except RuntimeError:
            return False
        return bool(found["Status"]["leader"] == found["Status"]["header"]["member_id"])


class PybEtcd(EtcdServer):
    """`pyb etcd`, in etcd's place."""

    def command(self) -> list[str]:
        return [
            sys.executable, "-m", "pybernetes", "etcd", "--name=test", f"--data-dir={self.directory}/data",
            f"--listen-client-urls={self.url}", *self.flags,
        ]  # fmt: skip
