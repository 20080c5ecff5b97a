"""Small answers per second and CPU of the bare HTTP layer: `python tests/bench/apiserver_http.py` (one core, plain TCP).

The load comes from a forked process with raw sockets and keeps `CONNECTIONS` requests under way.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import time

import uvloop

from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.http.messages import Request, Response
from pybernetes.machinery.http.server import Server

CONNECTIONS = 16
SECONDS = 3.0
REQUEST = (
    b"GET /api/v1/namespaces/default/configmaps/one HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\n"
    b"Accept: application/json\r\n\r\n"
)
BODY = b"x" * 600


async def handler(_: Request) -> Response:
    return Response(200, {"Content-Type": "application/json"}, BODY)


def load(port: int) -> int:
    import select

    poller = select.epoll()
    sockets = {}
    for _ in range(CONNECTIONS):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sockets[connection.fileno()] = connection
        poller.register(connection, select.EPOLLIN)
        connection.send(REQUEST)
    answered, end = 0, time.monotonic() + SECONDS
    while time.monotonic() < end:
        for fileno, _ in poller.poll(1):
            sockets[fileno].recv(65536)
            sockets[fileno].send(REQUEST)
            answered += 1
    return answered


async def main() -> None:
    server = Server(handler, clock=SystemClock())
    await server.start("127.0.0.1", 0)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, str(load(server.port)).encode())
        os._exit(0)
    before = resource.getrusage(resource.RUSAGE_SELF)
    await asyncio.get_running_loop().run_in_executor(None, os.waitpid, child, 0)
    after = resource.getrusage(resource.RUSAGE_SELF)
    answered = int(os.read(read, 64))
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{answered / SECONDS:,.0f} answers/s, {answered / cpu:,.0f} per server CPU second")
    await server.stop(1)


if __name__ == "__main__":
    uvloop.run(main())
