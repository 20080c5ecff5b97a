"""WebSockets of exec, attach and port-forward for a kubelet that takes these over SPDY alone.

A client's WebSocket that can say "end of input" (version 5), or that carries SPDY (port-forward), is as new as KEP-4006. A node
that declares the feature gets it as it is. For any other it is translated here; older WebSockets every kubelet knows.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from pybernetes.apiserver.proxying.exchange import forwarded_headers
from pybernetes.client.http import HttpTransport
from pybernetes.client.transport import ConnectionFailed
from pybernetes.machinery.errors import InternalError
from pybernetes.machinery.http import websocket
from pybernetes.machinery.http.messages import Request, Response
from pybernetes.machinery.http.websocket import WebSocket
from pybernetes.machinery.meta import Object
from pybernetes.machinery.stream_translation import (
    ERROR,
    PORT_FORWARD,
    PORT_FORWARD_TUNNEL,
    RESIZE,
    SPDY,
    STDERR,
    STDIN,
    STDOUT,
    V4,
    V5,
    translate_command,
    tunnel,
)

FEATURE = "ExtendWebSocketsToKubelet"


def must_translate(request: Request, subresource: str, node: Object) -> bool:
    """Whether the client speaks something that the node does not."""
    offered = [name.strip() for name in request.headers.get("sec-websocket-protocol", "").split(",")]
    # What the client offers besides is of no interest: some offer what they know of exec for port-forward too.
    new = PORT_FORWARD_TUNNEL if subresource == "portforward" else V5
    if not websocket.is_upgrade(request) or new not in offered:
        return False
    return FEATURE not in (node.get("status", {}).get("declaredFeatures") or ())


async def translated(request: Request, subresource: str, asked: Request, options: Object, transport: HttpTransport) -> Response:
    """The client's WebSocket `request`, taken to the kubelet by the SPDY request `asked` (its path and query).

    Raises `BadRequest`, `ConnectionFailed`.
    """
    if subresource == "portforward":
        return await _tunnelled(request, asked, transport)

    async def serve(socket: WebSocket) -> None:
        try:
            response, backend = await transport.upgrade(_over_spdy(request, asked, V4))
            if backend is None:
                said = response.body if isinstance(response.body, bytes) else b""
                raise ConnectionFailed(f"unable to upgrade connection: {said.decode(errors='replace').strip()}")
        except ConnectionFailed as error:
            # The WebSocket is open by now: its error channel is the only place left to say it.
            failure = InternalError(f"Internal error occurred: {error}")
            await socket.send(bytes([ERROR]) + orjson.dumps(failure.status))
            return
        await translate_command(socket, backend, _channels(options))

    return websocket.accept(request, [V5], serve)


async def _tunnelled(request: Request, asked: Request, transport: HttpTransport) -> Response:
    response, backend = await transport.upgrade(_over_spdy(request, asked, PORT_FORWARD))
    if backend is None:
        return response

    async def serve(socket: WebSocket) -> None:
        await tunnel(socket, backend)

    try:
        return websocket.accept(request, [PORT_FORWARD_TUNNEL], serve)
    except BaseException:
        backend.close()
        raise


def _over_spdy(request: Request, asked: Request, protocol: str) -> Request:
    headers = {name: value for name, value in forwarded_headers(request).items() if not name.startswith("sec-websocket-")}
    headers |= {"upgrade": SPDY, "connection": "Upgrade", "x-stream-protocol-version": protocol}
    return Request("POST", asked.path, asked.query, headers)


def _channels(options: Object) -> Sequence[int]:
    tty = options.get("tty", False)
    wanted = {
        STDIN: options.get("stdin", False),
        STDOUT: options.get("stdout", False),
        STDERR: options.get("stderr", False) and not tty,  # a terminal has one output
        RESIZE: tty,
    }
    return [channel for channel, is_wanted in wanted.items() if is_wanted]
