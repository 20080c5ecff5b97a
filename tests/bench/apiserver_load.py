"""Creates, gets and lists per second through TLS against an API server of its own, and what a request costs without sockets.

    python tests/bench/apiserver_load.py [--profile]

The load comes from a forked process (OpenSSL in Python, so it costs about as much as the server): read the CPU figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import socket
import ssl
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from pybernetes.apiserver import app
from pybernetes.apiserver.options import Options
from pybernetes.apiserver.server import ApiServer
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.machinery.http.messages import Request
from pybernetes.machinery.http.server import Server
from pybernetes.machinery.http.tls import server_context
from pybernetes.store.embedded import EmbeddedStore, SqliteLog

SECONDS = 3.0
CONFIG_MAP = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"generateName": "load-"}, "data": {"payload": "x" * 400}}
POD = {
    "kind": "Pod", "apiVersion": "v1", "metadata": {"generateName": "load-", "labels": {"app": "load"}},
    "spec": {"containers": [{"name": "c", "image": "example.com/image:1", "resources": {"requests": {"cpu": "10m"}}}]},
}  # fmt: skip


def _request(method: str, path: str, token: str, body: bytes = b"") -> bytes:
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\nAccept: application/json\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def load(port: int, connections: int, request: bytes) -> dict[str, float]:
    """Keep `connections` requests under way: answers per second, and the median time of one."""
    import selectors

    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    selector = selectors.DefaultSelector()
    begun: dict[ssl.SSLSocket, float] = {}
    for _ in range(connections):
        raw = socket.create_connection(("127.0.0.1", port))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = context.wrap_socket(raw)
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_READ)
        begun[connection] = time.monotonic()
        connection.send(request)
    times, failed, end = [], 0, time.monotonic() + SECONDS
    while time.monotonic() < end:
        for key, _ in selector.select(1):
            connection = key.fileobj
            try:
                data = connection.recv(65536)
            except ssl.SSLWantReadError:
                continue
            failed += not data.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201"))
            now = time.monotonic()
            times.append(now - begun[connection])
            begun[connection] = now
            connection.send(request)
    times.sort()
    return {"rate": len(times) / SECONDS, "p50_ms": 1000 * times[len(times) // 2], "failed": failed}


async def measure(name: str, port: int, connections: int, request: bytes) -> None:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, json.dumps(load(port, connections, request)).encode())
        os._exit(0)
    before = resource.getrusage(resource.RUSAGE_SELF)
    await asyncio.get_running_loop().run_in_executor(None, os.waitpid, child, 0)
    after = resource.getrusage(resource.RUSAGE_SELF)
    found = json.loads(os.read(read, 4096))
    os.close(read), os.close(write)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    per_cpu = found["rate"] * SECONDS / cpu
    print(
        f"{name}, {connections} connections: {found['rate']:,.0f}/s, p50 {found['p50_ms']:.2f} ms, "
        f"{per_cpu:,.0f} per server CPU second, {found['failed']} failed"
    )


async def main(profile: bool) -> None:
    with tempfile.TemporaryDirectory() as directory:
        tokens = Path(directory) / "tokens.csv"
        tokens.write_text('bench,bench,bench,"system:masters"\n')
        options = Options(data_dir=directory, secure_port=0, advertise_address="127.0.0.1", token_auth_file=str(tokens))
        clock, entropy = SystemClock(), SystemEntropy()
        files = app.complete_files(options, clock)
        store = await EmbeddedStore.open(SqliteLog(Path(directory) / "store"), clock=clock, entropy=entropy)
        api = ApiServer(store, clock=clock, entropy=entropy, config=app.config(options, files, "127.0.0.1"))
        http = Server(api.handle, clock=clock)
        await http.start("127.0.0.1", 0, server_context(files.certificate, files.key, files.client_ca))
        running = asyncio.create_task(api.run())
        await api.wait_ready()
        base = "/api/v1/namespaces/default"
        await api.handle(Request("POST", f"{base}/serviceaccounts", "", _headers(), b'{"metadata":{"name":"default"}}'))
        named = json.dumps({**CONFIG_MAP, "metadata": {"name": "one"}}).encode()
        await api.handle(Request("POST", f"{base}/configmaps", "", _headers(), named))
        if profile:
            await _profile(api)
        else:
            for count in (1, 16, 64):
                body = json.dumps(CONFIG_MAP).encode()
                await measure("get ConfigMap", http.port, count, _request("GET", f"{base}/configmaps/one", "bench"))
                await measure("create ConfigMap", http.port, count, _request("POST", f"{base}/configmaps", "bench", body))
            for count in (1, 16):
                body = json.dumps(POD).encode()
                await measure("create Pod", http.port, count, _request("POST", f"{base}/pods", "bench", body))
            started = time.perf_counter()
            response = await api.handle(Request("GET", "/api/v1/pods", "", _headers()))
            assert not isinstance(response.body, bytes)
            size = sum([len(chunk) async for chunk in response.body])
            print(f"list {len(api.image.table('/registry/pods/')):,} pods ({size / 1e6:.0f} MB), no sockets: "
                  f"{time.perf_counter() - started:.3f} s")  # fmt: skip
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await http.stop(1)
        await store.close()


def _headers() -> dict[str, str]:
    return {"authorization": "Bearer bench", "content-type": "application/json", "accept": "application/json"}


async def _profile(api: ApiServer) -> None:
    import cProfile
    import pstats

    base = "/api/v1/namespaces/default"
    for name, request, count in (
        ("get", Request("GET", f"{base}/configmaps/one", "", _headers()), 20_000),
        ("create ConfigMap", Request("POST", f"{base}/configmaps", "", _headers(), json.dumps(CONFIG_MAP).encode()), 3000),
        ("create Pod", Request("POST", f"{base}/pods", "", _headers(), json.dumps(POD).encode()), 2000),
    ):
        started = time.process_time()
        for _ in range(count):
            response = await api.handle(request)
        print(f"{name}: {1e6 * (time.process_time() - started) / count:.0f} µs of CPU", response.status)
        profiler = cProfile.Profile()
        profiler.enable()
        for _ in range(count // 4):
            await api.handle(request)
        profiler.disable()
        pstats.Stats(profiler, stream=sys.stdout).sort_stats("tottime").print_stats(18)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", action="store_true")
    uvloop.run(main(parser.parse_args().profile))
