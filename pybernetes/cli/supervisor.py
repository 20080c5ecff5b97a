"""The supervisor: it starts the components, restarts whichever ends, and stops them in order.

One thread, no event loop: it sleeps in `sigtimedwait` until a child ends, a restart is due or it is told to stop. That keeps
it small, and safe to fork from: a Python component is a fork of this process, which has the shared modules loaded already, so
that it starts at once and shares their memory.

    started ──ends──▶ waiting (back-off) ──due──▶ started …      SIGTERM: all stopped, in the opposite order of their start
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module

from pybernetes.cli.components import Component
from pybernetes.cli.credentials import ApiAddress
from pybernetes.cli.layout import Layout
from pybernetes.cli.processes import ProcessRef
from pybernetes.cli.state import ComponentState, State
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy, jittered
from pybernetes.machinery.log import logger

log = logger("supervisor")

BACKOFF_FIRST_S = 0.1
BACKOFF_MOST_S = 10.0
STEADY_AFTER_S = 30.0  # a component that ran this long starts its back-off anew
STOP_GRACE_S = 10.0
LOG_BYTES_MOST = 20 * 2**20  # a larger log is put aside (one generation) when the component starts

# Loaded before the first fork: what several components need. What one alone needs (numpy, gRPC, netlink) it loads itself.
SHARED_MODULES = (
    "asyncio", "ssl", "uvloop", "httptools", "orjson", "cryptography.x509", "pybernetes.client.informer",
    "pybernetes.client.kubeconfig", "pybernetes.client.workqueue", "pybernetes.client.events",
    "pybernetes.machinery.http.server", "pybernetes.machinery.resources", "pybernetes.cli.main", "pybernetes.cli.runtime",
)  # fmt: skip

_PR_SET_PDEATHSIG = 1
_WAKING = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT)


@dataclass(slots=True)
class _Child:
    component: Component
    process: ProcessRef | None = None
    started_at: float = 0.0
    due_at: float = 0.0  # when to start it, while it does not run
    backoff_s: float = BACKOFF_FIRST_S
    restarts: int = -1  # 0 after the first start


class Supervisor:
    def __init__(
        self, components: Sequence[Component], layout: Layout, api: ApiAddress, clock: Clock, entropy: Entropy
    ) -> None:
        self._children = [_Child(component) for component in components]
        self._layout = layout
        self._api = api
        self._clock = clock
        self._entropy = entropy
        self._myself = ProcessRef.of(os.getpid())

    def run(self, on_started: Callable[[], None]) -> None:
        """Until SIGTERM or SIGINT. `on_started` is called once when every component has been started."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _WAKING)
        _load_shared_modules()
        self._start_due()
        on_started()
        while True:
            received = signal.sigtimedwait(_WAKING, self._until_next_start_s())
            if received is not None and received.si_signo != signal.SIGCHLD:
                log.info("Stopping", signal=signal.Signals(received.si_signo).name)
                self._stop_all()
                self._layout.state_file.unlink(missing_ok=True)
                return
            self._reap()
            self._start_due()

    def _until_next_start_s(self) -> float:
        waits = [child.due_at - self._clock.monotonic() for child in self._children if child.process is None]
        return max(min(waits), 0.0) if waits else 3600.0

    def _start_due(self) -> None:
        now = self._clock.monotonic()
        started = False
        for child in self._children:
            if child.process is None and child.due_at <= now:
                child.process = self._start(child.component)
                child.started_at = now
                child.restarts += 1
                started = True
        if started:
            self._save_state()

    def _reap(self) -> None:
        """Collect every child that ended, and decide when it starts again."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for child in self._children:
                if child.process is not None and child.process.pid == pid:
                    self._ended(child, status)

    def _ended(self, child: _Child, status: int) -> None:
        now = self._clock.monotonic()
        if now - child.started_at >= STEADY_AFTER_S:
            child.backoff_s = BACKOFF_FIRST_S
        delay_s = jittered(child.backoff_s, self._entropy, factor=0.2)
        log.warning(
            "Component ended; restarting it",
            component=child.component.name, exit=os.waitstatus_to_exitcode(status), delay_s=round(delay_s, 2),
        )  # fmt: skip
        child.process = None
        child.due_at = now + delay_s
        child.backoff_s = min(child.backoff_s * 2, BACKOFF_MOST_S)
        self._save_state()

    def _start(self, component: Component) -> ProcessRef:
        path = self._layout.log(component.name)
        if path.exists() and path.stat().st_size > LOG_BYTES_MOST:
            path.replace(path.with_suffix(".log.1"))
        pid = os.fork()
        if pid == 0:
            _become(component, str(path), self._myself.pid)
        log.info("Started component", component=component.name, pid=pid)
        return ProcessRef.of(pid)

    def _stop_all(self) -> None:
        # Backwards, one after another: whoever is being stopped still has what it needs to say goodbye.
        for child in reversed(self._children):
            if child.process is not None:
                _stop_child(child.process.pid, self._clock)
                child.process = None

    def _save_state(self) -> None:
        states = tuple(
            ComponentState(
                child.component.name, child.process, max(child.restarts, 0), child.component.health, child.component.address
            )
            for child in self._children
        )
        State(self._myself, self._api, states).save(self._layout.state_file)


def _load_shared_modules() -> None:
    for name in SHARED_MODULES:
        import_module(name)
    # Objects that live for ever go out of the collector's sight: it would touch, and so copy, their shared pages.
    gc.collect()
    gc.freeze()


def _become(component: Component, log_path: str, supervisor_pid: int) -> None:
    """In the child: turn into the component. Never returns."""
    try:
        os.setpgid(0, 0)  # a Ctrl-C at a terminal is the supervisor's business
        for number in _WAKING:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _WAKING)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != supervisor_pid:
            os._exit(1)  # the supervisor died before we asked to be told
        output = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        os.dup2(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        if component.is_program:
            os.execvp(component.argv[0], component.argv)
        _run_command(component)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(1)


def _run_command(component: Component) -> None:
    import setproctitle

    from pybernetes.cli.main import pyb

    setproctitle.setproctitle(f"pyb {' '.join(component.argv)}")
    sys.argv = ["pyb", *component.argv]
    try:
        pyb.main(args=list(component.argv), prog_name="pyb")
        code = 0
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _stop_child(pid: int, clock: Clock) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = clock.monotonic() + STOP_GRACE_S
    while clock.monotonic() < deadline:
        try:
            if os.waitpid(pid, os.WNOHANG)[0] == pid:
                return
        except ChildProcessError:
            return
        time.sleep(0.01)
    log.warning("Component did not stop in time; killing it", pid=pid)
    with suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
