"""Watch fan-out through TLS: many watchers of one namespace, events per second, and how late they are.

    python tests/bench/apiserver_watch.py [--watchers 1000] [--rate 20] [--seconds 10] [--selective]

With --selective each watcher has a label selector of its own, which one object in all matches: then an event is delivered once
however many watch. The server, the watchers and the writer are processes of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import selectors
import socket
import ssl
import tempfile
import time
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

from apiserver_load import cpu_s
from apiserver_scale import TOKEN, UNVERIFIED, server

SENT = re.compile(rb'"sent":"([0-9.]+)"')


def watch(port: int, count: int, seconds: float, selective: bool, ready: int) -> dict[str, Any]:
    """Read `count` watches until `seconds` after the last one was answered; delays of the events in milliseconds."""
    context, selector = UNVERIFIED, selectors.DefaultSelector()
    for number in range(count):
        raw = socket.create_connection(("127.0.0.1", port))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = context.wrap_socket(raw)
        chosen = f"&labelSelector=watcher%3Dw{number}" if selective else ""
        target = f"/api/v1/namespaces/default/configmaps?watch=1&resourceVersion=0{chosen}"
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
        assert b" 200 " in connection.recv(4096)
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_READ)
    os.write(ready, b"!")
    delays: list[float] = []
    end = time.monotonic() + seconds + 1
    while time.monotonic() < end:
        for key, _ in selector.select(0.1):
            try:
                while data := key.fileobj.recv(65536):  # type: ignore[union-attr]
                    now = time.monotonic()
                    delays += [1000 * (now - float(sent)) for sent in SENT.findall(data)]
            except ssl.SSLWantReadError:
                continue
    delays.sort()
    if not delays:
        return {"events": 0}
    return {"events": len(delays), "p50_ms": delays[len(delays) // 2], "p99_ms": delays[len(delays) * 99 // 100]}


def write(port: int, rate: float, seconds: float, watchers: int) -> int:
    connection = HTTPSConnection("127.0.0.1", port, context=UNVERIFIED)
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    begun, number = time.monotonic(), 0
    while (now := time.monotonic()) < begun + seconds:
        labels = {"watcher": f"w{number % watchers}"}
        body = {"metadata": {"generateName": "event-", "labels": labels}, "data": {"sent": f"{now:.6f}"}}
        connection.request("POST", "/api/v1/namespaces/default/configmaps", json.dumps(body), headers)
        response = connection.getresponse()
        assert response.status == 201, response.read()
        response.read()
        number += 1
        time.sleep(max(0.0, begun + number / rate - time.monotonic()))
    return number


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--watchers", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=20)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--selective", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pyb-watch-") as directory, server(Path(directory)) as running:
        idle_mib = running.memory_mib()
        found, result = os.pipe()
        is_ready, ready = os.pipe()
        if (child := os.fork()) == 0:
            told = watch(running.port, arguments.watchers, arguments.seconds, arguments.selective, ready)
            os.write(result, json.dumps(told).encode())
            os._exit(0)
        begun = time.monotonic()
        os.read(is_ready, 1)
        print(f"{arguments.watchers} watches open after {time.monotonic() - begun:.1f} s", flush=True)
        used_mib, before = running.memory_mib(), cpu_s(running.process.pid)
        written = write(running.port, arguments.rate, arguments.seconds, arguments.watchers)
        os.waitpid(child, 0)
        cpu = cpu_s(running.process.pid) - before
        told = json.loads(os.read(found, 4096))
        events, watchers = told["events"], arguments.watchers
        delays = f"p50 {told.get('p50_ms', 0):.1f} ms, p99 {told.get('p99_ms', 0):.1f} ms"
        print(f"{written} writes: {events:,} events delivered, delay {delays}")
        print(f"{cpu:.2f} s of the server's CPU: {1e6 * cpu / max(1, events):.1f} µs an event delivered, "
              f"{1000 * cpu / written:.2f} ms a write; {(used_mib - idle_mib) * 1024 / watchers:.0f} KiB a watch")  # fmt: skip


if __name__ == "__main__":
    main()
