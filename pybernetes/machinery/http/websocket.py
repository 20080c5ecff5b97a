"""WebSocket (RFC 6455) over an upgraded connection, both sides; the protocol itself is wsproto's.

Server: a handler returns `accept(request, subprotocols, serve)`. Client: send `handshake(...)` as an upgrade request, check the
answer with `subprotocol_of`, then talk through `WebSocket(connection, client=True)`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Awaitable, Callable, Sequence

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.errors import BadRequest
from pybernetes.machinery.http.messages import Request, Response, Upgradable

MESSAGE_LIMIT_BYTES = 4 * 1024 * 1024
_ACCEPT_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

Serve = Callable[["WebSocket"], Awaitable[None]]


class WebSocket:
    """An open WebSocket. One reader and any number of writers; messages are bytes whatever their opcode."""

    def __init__(self, connection: Upgradable, *, client: bool = False, subprotocol: str = "") -> None:
        self.subprotocol = subprotocol
        self._connection = connection
        self._protocol = Connection(ConnectionType.CLIENT if client else ConnectionType.SERVER)
        self._parts: list[bytes] = []
        self._size = 0
        self._messages: list[bytes] = []

    async def receive(self) -> bytes | None:
        """The next message; None once the other side has closed or gone."""
        while not self._messages:
            if self._protocol.state is ConnectionState.CLOSED:
                return None
            data = await self._connection.read()
            try:
                self._protocol.receive_data(data or None)
                await self._handle_events()
            except (RemoteProtocolError, LocalProtocolError):
                await self.close(1002, "protocol error")
                return None
            if not data:
                return self._messages.pop(0) if self._messages else None
        return self._messages.pop(0)

    async def _handle_events(self) -> None:
        for event in self._protocol.events():
            if isinstance(event, BytesMessage | TextMessage):
                self._add(event)
            elif isinstance(event, Ping):
                await self._connection.write(self._protocol.send(event.response()))
            elif isinstance(event, CloseConnection):
                if self._protocol.state is ConnectionState.REMOTE_CLOSING:
                    try:
                        await self._connection.write(self._protocol.send(event.response()))
                    except ConnectionError:  # it said goodbye and left: what it sent before counts all the same
                        pass
                return
            else:
                assert isinstance(event, Pong)

    def _add(self, event: BytesMessage | TextMessage) -> None:
        part = event.data.encode() if isinstance(event.data, str) else bytes(event.data)
        self._parts.append(part)
        self._size += len(part)
        if self._size > MESSAGE_LIMIT_BYTES:
            raise RemoteProtocolError("message too big")
        if event.message_finished:
            self._messages.append(self._parts[0] if len(self._parts) == 1 else b"".join(self._parts))
            self._parts, self._size = [], 0

    async def send(self, data: bytes | str) -> None:
        """One message, binary or text. Raises ConnectionResetError once the connection is closed."""
        try:
            frame = self._protocol.send(TextMessage(data=data) if isinstance(data, str) else BytesMessage(data=data))
        except LocalProtocolError as error:
            raise ConnectionResetError("WebSocket is closed") from error
        await self._connection.write(frame)

    async def ping(self) -> None:
        """Keep the path open through proxies that cut idle connections."""
        if self._protocol.state is ConnectionState.OPEN:
            await self._connection.write(self._protocol.send(Ping()))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye and close the connection; may be called again."""
        try:
            if self._protocol.state in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
                await self._connection.write(self._protocol.send(CloseConnection(code=code, reason=reason or None)))
        except (LocalProtocolError, ConnectionError):
            pass
        finally:
            self._connection.close()


def is_upgrade(request: Request) -> bool:
    """Whether the client asks for a WebSocket."""
    return request.headers.get("upgrade", "").lower() == "websocket"


def accept(request: Request, subprotocols: Sequence[str], serve: Serve) -> Response:
    """Answer 101 and run `serve` on the WebSocket, which is closed when `serve` returns.

    The first of `subprotocols` that the client offers is chosen. Raises BadRequest for a malformed handshake, or where the
    client offers protocols and none of ours.
    """
    key = request.headers.get("sec-websocket-key", "")
    if request.method != "GET" or not is_upgrade(request) or not key:
        raise BadRequest("not a WebSocket handshake")
    offered = [name.strip() for name in request.headers.get("sec-websocket-protocol", "").split(",") if name.strip()]
    chosen = next((name for name in subprotocols if name in offered), "")
    if offered and not chosen:
        raise BadRequest(f"requested protocol(s) are not supported: {offered}; supports {list(subprotocols)}")

    async def run(connection: Upgradable) -> None:
        socket = WebSocket(connection, subprotocol=chosen)
        try:
            await serve(socket)
        finally:
            await socket.close()

    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": accept_value(key)}
    if chosen:
        headers["Sec-WebSocket-Protocol"] = chosen
    return Response(101, headers, upgrade=run)


def handshake(path: str, query: str, subprotocols: Sequence[str], entropy: Entropy) -> Request:
    """The client's upgrade request."""
    headers = {
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-version": "13",
        "sec-websocket-key": base64.b64encode(entropy.token_bytes(16)).decode(),
    }
    if subprotocols:
        headers["sec-websocket-protocol"] = ", ".join(subprotocols)
    return Request("GET", path, query, headers)


def subprotocol_of(request: Request, response: Response) -> str:
    """The subprotocol that the server chose. Raises ConnectionError if its answer is not one to our handshake."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    if headers.get("sec-websocket-accept") != accept_value(request.headers["sec-websocket-key"]):
        raise ConnectionError("not a WebSocket answer")
    return headers.get("sec-websocket-protocol", "")


def accept_value(key: str) -> str:
    return base64.b64encode(hashlib.sha1(key.encode() + _ACCEPT_GUID).digest()).decode()
