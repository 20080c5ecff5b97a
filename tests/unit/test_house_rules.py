"""House rules that a machine can check: who may know the time, draw lots or open sockets; how long a file may be; maps."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "pybernetes"
LINES_MOST = 600

# Design, law 4: time, randomness and the network are passed in. Here are their owners, each with its reason.
OWNERS = {
    "time": {
        "machinery/clock.py": "the owner of time",
        "cli/logs.py": "waits for lines of a file, without an event loop",
        "cli/processes.py": "waits for processes to end, without an event loop",
        "cli/supervisor.py": "waits for a child to end where the event loop is gone already",
    },
    "randomness": {
        "machinery/entropy.py": "the owner of randomness",
    },
    "network": {
        "machinery/http/server.py": "every HTTP server",
        "client/http.py": "the way to the API server",
        "kubelet/http_get.py": "asks containers: probes and hooks",
        "kubelet/hooks.py": "a hook of a container: tcpSocket",
        "kubelet/probes/probe.py": "a probe of a container: tcpSocket",
        "dns/server.py": "answers queries",
        "dns/forward.py": "asks upstream name servers",
        "cli/preflight.py": "tries whether a port is free",
        "cli/machine.py": "asks the kernel which address packets leave from; sends nothing",
        "apiserver/app.py": "the same, for an API server of its own",
        "kubelet/node_facts.py": "the same, for a kubelet of its own",
    },
}

RANDOM_MODULES = frozenset({"random", "secrets", "uuid"})
RANDOM_CALLS = frozenset({"os.urandom", "os.getrandom"})
TIME_NAMES = ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep", "localtime", "gmtime")
DATE_NAMES = ("now", "utcnow", "today")
CLOCK_READS = frozenset(
    [f"time.{name}" for name in TIME_NAMES]
    + [f"{left}.{name}" for left in ("datetime", "datetime.datetime", "date", "datetime.date") for name in DATE_NAMES]
)
# Last parts of names: they are methods of event loops and functions of asyncio and socket.
OPENS_CONNECTIONS = frozenset(
    {
        "open_connection", "start_server", "create_connection", "create_server", "create_datagram_endpoint",
        "open_unix_connection", "start_unix_server", "create_unix_connection", "create_unix_server",
    }
)  # fmt: skip


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if not path.stem.endswith(("_pb2", "_pb2_grpc")))


def dotted(node: ast.expr) -> str:
    """`a.b.c` for such an expression, else ""."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (left := dotted(node.value)):
        return f"{left}.{node.attr}"
    return ""


def uses(source: str) -> Iterator[tuple[str, int, str]]:
    """(of what, line, what) for each use of what has an owner."""
    for node in ast.walk(ast.parse(source)):
        imported = isinstance(node, ast.Import | ast.ImportFrom)
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Attribute):
            names = [dotted(node) or f"?.{node.attr}"]
        else:
            continue
        for name in names:
            if name in CLOCK_READS:
                yield "time", node.lineno, name
            elif name in RANDOM_CALLS or (imported and name in RANDOM_MODULES):
                yield "randomness", node.lineno, name
            elif name == "socket.socket" or name.rpartition(".")[2] in OPENS_CONNECTIONS:
                yield "network", node.lineno, name


def offences(of: str) -> list[str]:
    owners = OWNERS[of]
    return [
        f"{path.relative_to(ROOT)}:{line}: {what}"
        for path in modules()
        if str(path.relative_to(PACKAGE)) not in owners
        for kind, line, what in uses(path.read_text())
        if kind == of
    ]


@pytest.mark.parametrize("of", OWNERS)
def test_time_randomness_and_the_network_have_owners(of: str) -> None:
    assert offences(of) == []


@pytest.mark.parametrize("of", OWNERS)
def test_every_owner_uses_what_it_owns(of: str) -> None:
    for name in OWNERS[of]:
        assert any(kind == of for kind, _, _ in uses((PACKAGE / name).read_text())), f"{name} is no owner of {of} any more"


@pytest.mark.parametrize(
    "source",
    [
        "import random",
        "from uuid import uuid4",
        "import secrets as s",
        "import time\ntime.time()",
        "import time\nclock = time.monotonic",
        "from time import monotonic",
        "from datetime import datetime\ndatetime.now()",
        "import datetime\ndatetime.datetime.utcnow()",
        "import os\nos.urandom(8)",
        "async def f():\n    await asyncio.open_connection(host, 80)",
        "async def f():\n    await asyncio.get_running_loop().create_server(make)",
        "def later():\n    with socket.socket() as probe: pass",
    ],
)
def test_the_search_finds(source: str) -> None:
    assert list(uses(source)) != []


@pytest.mark.parametrize(
    "source",
    [
        "from pybernetes.machinery.resources import secrets",
        "self.clock.now()",
        "entropy.random()",
        "clock.monotonic()",
        "import timeit",
        "import socket\nsocket.gethostname()",
    ],
)
def test_the_search_lets_pass(source: str) -> None:
    assert list(uses(source)) == []


def test_no_file_is_too_long_to_be_read() -> None:
    files = [*modules(), *(ROOT / "tests").rglob("*.py"), *(ROOT / "tools").rglob("*.py")]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}
    assert {name: length for name, length in lengths.items() if length > LINES_MOST} == {}


def test_every_package_opens_with_its_map() -> None:
    folders = {path.parent for path in modules()}
    missing = sorted(str(folder.relative_to(ROOT)) for folder in folders if not (folder / "__init__.py").exists())
    assert missing == [], "folders of modules without __init__.py"
    silent = [folder for folder in folders if not ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))]
    assert sorted(str(folder.relative_to(ROOT)) for folder in silent) == [], "packages without a docstring"


def test_every_module_opens_with_its_promise() -> None:
    silent = [path for path in modules() if not ast.get_docstring(ast.parse(path.read_text()))]
    assert [str(path.relative_to(ROOT)) for path in silent] == []
