"""HTTP/2 against HTTP/1.1, one ConfigMap over TLS: `python tests/bench/apiserver_http2.py`. Needs h2load (nghttp2-client).

The API server runs alone in a process of its own, h2load on the other core. Prints answers per second and per CPU second of
the server.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SECONDS = 4
WIDTHS = ((1, 1), (16, 1), (1, 16), (4, 16), (1, 100))  # connections, streams on each


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        tokens = Path(folder, "tokens.csv")
        tokens.write_text('t,admin,admin,"system:masters"\n')
        port = free_port()
        code = "from pybernetes.cli.main import main; main()"
        flags = ["--data-dir", f"{folder}/data", "--secure-port", str(port), "--token-auth-file", str(tokens)]
        command = [sys.executable, "-c", code, "apiserver", "--bind-address", "127.0.0.1", *flags]
        server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            base = f"https://127.0.0.1:{port}"
            curl = ["curl", "-skf", "-H", "Authorization: Bearer t", "-H", "Content-Type: application/json"]
            while subprocess.run([*curl, f"{base}/readyz"], capture_output=True, check=False).returncode:
                time.sleep(0.1)
            maps = f"{base}/api/v1/namespaces/default/configmaps"
            body = '{"metadata":{"name":"one"},"data":{"k":"' + "v" * 400 + '"}}'
            subprocess.run([*curl, "-d", body, maps], check=True, capture_output=True)
            for connections, streams in WIDTHS:
                for protocol in ("h2", "h1"):
                    if protocol == "h1" and streams > 1:
                        continue
                    load = ["h2load", "-D", str(SECONDS), "-c", str(connections), "-m", str(streams)]
                    load += ["-H", "Authorization: Bearer t", *(["--h1"] if protocol == "h1" else []), f"{maps}/one"]
                    before = cpu_s(server.pid)
                    out = subprocess.run(load, capture_output=True, text=True, check=True).stdout
                    used = cpu_s(server.pid) - before
                    found = re.search(r"(\d+) 2xx", out)
                    assert found is not None, out
                    done = int(found[1])
                    width = f"{connections:3} × {streams:3}"
                    print(f"{protocol} {width}: {done / SECONDS:8,.0f}/s, {done / used:8,.0f} per CPU second")
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
