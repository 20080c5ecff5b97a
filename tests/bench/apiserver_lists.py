"""Whole lists over TLS: how long one takes, what it costs the server, and what it does to small requests meanwhile.

    python tests/bench/apiserver_lists.py [--objects 10948] [--bytes 4840] [--lists 20] [--http2]

Beside it, for the ratio: the same bytes, that lie there ready, from the bare HTTP server (the floor of this machine). The
reader only decrypts and counts. HTTP/2 is asked by h2load (Debian: nghttp2-client).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import socket
import ssl
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import uvloop
from apiserver_load import cpu_s
from apiserver_scale import TOKEN, UNVERIFIED, Running, fill, server

from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.http.messages import Request, Response
from pybernetes.machinery.http.server import Server
from pybernetes.machinery.http.tls import self_signed_context

PIECE = 120 * 1024
PAUSE_S = 0.003  # between small requests
TAIL = 512  # bytes of a part in which its end may show


class Reader:
    """One connection. What it reads is decrypted, counted and dropped."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received, self._sent = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = UNVERIFIED.wrap_bio(self._received, self._sent)
        self._raw = memoryview(bytearray(256 * 1024))
        self._plain = memoryview(bytearray(16 * 1024))
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()
        self._flush()

    def close(self) -> None:
        self._socket.close()

    def _flush(self) -> None:
        if data := self._sent.read():
            self._socket.sendall(data)

    def _fill(self) -> None:
        size = self._socket.recv_into(self._raw)
        assert size, "the server has hung up"
        self._received.write(self._raw[:size])

    def _read(self) -> memoryview:
        while True:
            try:
                size = self._tls.read(len(self._plain), self._plain)  # type: ignore[arg-type]
                assert size, "the server has hung up"
                return self._plain[:size]
            except ssl.SSLWantReadError:
                self._fill()

    def get(self, target: str, end: bytes = b"0\r\n\r\n") -> int:
        """The bytes of the answer: as many as it announces, or up to `end`."""
        self._tls.write(f"GET {target} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
        self._flush()
        part = self._read()
        assert part[:12] == b"HTTP/1.1 200", bytes(part)
        head, _, rest = bytes(part).partition(b"\r\n\r\n")
        announced = re.search(rb"content-length: (\d+)", head.lower())
        total, tail = len(rest), rest[-TAIL:]
        while total < int(announced[1]) if announced is not None else end not in tail:
            part = self._read()
            total += len(part)
            tail = tail[-TAIL:] + part[-TAIL:]
        return total


def report(name: str, size: int, took_ms: list[float], cpu_ms: float) -> None:
    print(f"{name}: {size / 1e6:.1f} MB, best {min(took_ms):.1f} ms, median {statistics.median(took_ms):.1f} ms, "
          f"CPU {cpu_ms / len(took_ms):.1f} ms", flush=True)  # fmt: skip


def lists(name: str, port: int, pid: int, target: str, count: int) -> None:
    reader = Reader(port)
    reader.get(target)
    took_ms, before = [], cpu_s(pid)
    for _ in range(count):
        begun = time.perf_counter()
        size = reader.get(target)
        took_ms.append((time.perf_counter() - begun) * 1e3)
    report(name, size, took_ms, (cpu_s(pid) - before) * 1e3)


def watches(name: str, port: int, pid: int, target: str, count: int) -> None:
    """Up to the end of what a watch begins with, as informers ask for it."""
    query = "watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
    took_ms, before = [], cpu_s(pid)
    for _ in range(count):
        reader = Reader(port)
        begun = time.perf_counter()
        size = reader.get(f"{target}?{query}", b'"k8s.io/initial-events-end":"true"')
        took_ms.append((time.perf_counter() - begun) * 1e3)
        reader.close()
    report(name, size, took_ms, (cpu_s(pid) - before) * 1e3)


def small_requests(port: int, target: str, seconds: float) -> list[float]:
    reader = Reader(port)
    took_ms, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        begun = time.perf_counter()
        reader.get(target)
        took_ms.append((time.perf_counter() - begun) * 1e3)
        time.sleep(PAUSE_S)
    return sorted(took_ms)


def _list_for_ever(port: int, target: str) -> None:
    reader = Reader(port)
    while True:
        reader.get(target)


def beside_lists(port: int, target: str, readers: int, seconds: float) -> None:
    """Small requests while others list."""
    context = get_context("fork")
    others = [context.Process(target=_list_for_ever, args=(port, target), daemon=True) for _ in range(readers)]
    for other in others:
        other.start()
    took_ms = small_requests(port, "/api/v1/namespaces/default", seconds)
    for other in others:
        other.terminate()
        other.join()
    print(f"{len(took_ms)} small requests beside {readers} readers of lists: median {statistics.median(took_ms):.1f} ms, "
          f"p99 {took_ms[len(took_ms) * 99 // 100]:.1f} ms, longest {took_ms[-1]:.1f} ms", flush=True)  # fmt: skip


def over_http2(name: str, port: int, pid: int, target: str, count: int) -> None:
    for window in (16, 22, 30):  # bits: the protocol's own, Go's for a stream, and all there is
        before = cpu_s(pid)
        load = ["h2load", "-n", str(count), "-c", "1", "-m", "1", "-w", str(window), "-W", str(max(window, 30))]
        load += ["-H", f"Authorization: Bearer {TOKEN}", f"https://127.0.0.1:{port}{target}"]
        told = subprocess.run(load, capture_output=True, text=True, check=True).stdout
        found = re.search(r"time for request:\s+(\S+)\s+(\S+)\s+(\S+)", told)
        assert found is not None and f"{count} succeeded" in told, told
        print(f"{name} over HTTP/2, window 2^{window}: best {found[1]}, mean {found[3]}, "
              f"CPU {(cpu_s(pid) - before) / count * 1e3:.1f} ms", flush=True)  # fmt: skip


@contextmanager
def floor(size: int) -> Iterator[tuple[int, int]]:
    """The bare server with a body of that size, whole (`/`) and in pieces (`/BYTES`): its port and process."""
    body = os.urandom(size)

    async def pieces(length: int) -> AsyncIterator[bytes]:
        for start in range(0, size, length):
            yield body[start : start + length]

    async def handler(request: Request) -> Response:
        length = int(request.path[1:] or 0)
        return Response(200, {}, pieces(length) if length else body)

    async def serve(tell: Callable[[int], None]) -> None:
        http = Server(handler, clock=SystemClock())
        context = self_signed_context(SystemClock())
        context.set_alpn_protocols(["h2", "http/1.1"])
        await http.start("127.0.0.1", 0, context)
        tell(http.port)
        await asyncio.Event().wait()

    context = get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=lambda: uvloop.run(serve(theirs.send)), daemon=True)
    process.start()
    try:
        assert process.pid is not None
        yield ours.recv(), process.pid
    finally:
        process.terminate()
        process.join()


def measure(running: Running, count: int, *, http2: bool) -> None:
    pid, target = running.process.pid, "/api/v1/pods"
    size = len(running.get(target))
    with floor(size) as (port, bare):
        lists("bare server, one piece", port, bare, "/", count)
        lists(f"bare server, pieces of {PIECE // 1024} KiB", port, bare, f"/{PIECE}", count)
        lists("list of pods", running.port, pid, target, count)
        watches("watch of pods, up to its first bookmark", running.port, pid, target, count)
        if http2:
            over_http2(f"bare server, pieces of {PIECE // 1024} KiB", port, bare, f"/{PIECE}", count)
            over_http2("list of pods", running.port, pid, target, count)
    beside_lists(running.port, target, 1, 5.0)
    beside_lists(running.port, target, 4, 5.0)
    print(f"the server has {running.memory_mib():,.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=10_948)
    parser.add_argument("--bytes", type=int, default=4840)
    parser.add_argument("--lists", type=int, default=20)
    parser.add_argument("--http2", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pyb-lists-") as name:
        directory = Path(name)
        if (filler := os.fork()) == 0:  # apart, so that its memory is not counted
            uvloop.run(fill(directory, "pods", arguments.objects, arguments.bytes))
            os._exit(0)
        os.waitpid(filler, 0)
        with server(directory) as running:
            measure(running, arguments.lists, http2=arguments.http2)


if __name__ == "__main__":
    main()
