"""A cluster of real processes for stock clients: API server over TLS, controllers, scheduler, and one hollow node."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from pybernetes.client import kubeconfig
from tests.component.store.etcd_server import free_port

START_S = 60.0
STOP_S = 15.0
TOKEN = "clients-admin"
ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


@dataclass
class Cluster:
    """Runs inside `with`. Its files are below `directory`; `kubeconfig` is an administrator's."""

    directory: Path
    port: int = field(default_factory=free_port)
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> Cluster:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def pki(self) -> Path:
        return self.directory / "pki"

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "kubeconfig"

    @property
    def authority(self) -> Path:
        return self.pki / "ca.crt"

    def _start(self) -> None:
        tokens = self.directory / "tokens.csv"
        tokens.write_text(f'{TOKEN},admin,admin,"system:masters"\nclients-nobody,nobody,nobody\n')
        self._pyb(
            "apiserver", f"--data-dir={self.directory}", "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
            f"--secure-port={self.port}", f"--token-auth-file={tokens}", r"--cors-allowed-origins=^https://.*\.example\.com$",
        )  # fmt: skip
        self._until_ready()
        ca = self.authority.read_bytes()
        kubeconfig.write(self.kubeconfig, kubeconfig.build(server=self.url, certificate_authority=ca, token=TOKEN))
        self._pyb(
            "controller-manager", f"--kubeconfig={self.kubeconfig}", "--secure-port=0", "--leader-elect=false",
            f"--root-ca-file={self.authority}", f"--cluster-signing-cert-file={self.authority}",
            f"--cluster-signing-key-file={self.pki / 'ca.key'}",
            f"--service-account-private-key-file={self.pki / 'sa.key'}",
        )  # fmt: skip
        self._pyb("scheduler", f"--kubeconfig={self.kubeconfig}", "--secure-port=0", "--leader-elect=false")
        self._run("node", [sys.executable, "-m", "tests.component.clients.node", str(self.directory)])
        self.until(lambda: self.get("/api/v1/namespaces/default/serviceaccounts/default").get("kind") == "ServiceAccount")
        self.until(lambda: self.request("GET", "/api/v1/nodes/hollow")[0] == 200 and self.get("/api/v1/nodes/hollow")["status"])

    def _pyb(self, *words: str) -> None:
        self._run(words[0], [str(Path(sys.executable).with_name("pyb")), *words])

    def _run(self, name: str, command: list[str]) -> None:
        with (self.directory / f"{name}.log").open("ab") as log:
            self._processes.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT))

    def stop(self) -> None:
        """Raises AssertionError for a process that does not end when told to."""
        for process in reversed(self._processes):
            process.send_signal(signal.SIGTERM)
        hung = []
        for process in reversed(self._processes):
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                hung.append(process.args)
                process.kill()
                process.wait()
        self._processes.clear()
        assert not hung, f"told to stop, they went on: {hung}"

    def _until_ready(self) -> None:
        self.until(lambda: self.authority.exists() and self.request("GET", "/readyz")[0] == 200)

    def until(self, condition: Any) -> None:
        deadline_s = time.monotonic() + START_S
        while True:
            try:
                if condition():
                    return
            except OSError:
                pass
            dead = [process.args for process in self._processes if process.poll() is not None]
            if dead or time.monotonic() > deadline_s:
                logs = "\n".join(path.read_text()[-2000:] for path in self.directory.glob("*.log"))
                raise RuntimeError(f"the cluster does not start ({dead}): {logs}")
            time.sleep(0.05)

    def request(self, method: str, target: str, body: Any = None, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        """(status, body, headers) of a plain request by an administrator."""
        sent = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", **headers}
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        asked = urllib.request.Request(self.url + target, data, sent, method=method)
        try:
            with urllib.request.urlopen(asked, context=self.tls(), timeout=30) as answer:
                return answer.status, answer.read(), dict(answer.headers)
        except HTTPError as error:
            with error:
                return error.code, error.read(), dict(error.headers)

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.authority))

    def get(self, target: str) -> Any:
        return json.loads(self.request("GET", target)[1])

    def call(self, words: list[str], *, stdin: str = "", timeout_s: float = 60, **environment: str) -> Result:
        """Run a client as a process."""
        done = subprocess.run(
            words, check=False, input=stdin, capture_output=True, text=True, timeout=timeout_s,
            env=self.environment(**environment), cwd=self.directory,
        )  # fmt: skip
        return Result(done.returncode, done.stdout, done.stderr)

    def environment(self, **more: str) -> dict[str, str]:
        home = self.directory / "home"
        home.mkdir(exist_ok=True)
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "HOME": str(home), "PYTHONPATH": str(ROOT), **more}
