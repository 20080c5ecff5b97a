"""One request sent on, its answer streamed back; an upgraded connection (WebSocket, SPDY) is relayed byte by byte."""

from __future__ import annotations

from pybernetes.apiserver.authentication.union import WEBSOCKET_TOKEN_PREFIX
from pybernetes.client.http import HttpTransport
from pybernetes.machinery.http.messages import Request, Response, Upgradable
from pybernetes.machinery.http.relay import relay

# Until an answer begins; then it may take as long as it likes. The log of a silent pod begins late.
HEAD_TIMEOUT_S = 4 * 3600.0
# RFC 9110, section 7.6.1: about this connection only. The credentials are ours to use, not to pass on.
NOT_FORWARDED = frozenset((
    "authorization", "connection", "content-length", "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
))  # fmt: skip
NOT_RETURNED = frozenset(("connection", "keep-alive", "transfer-encoding", "upgrade", "date"))


def upgrades(request: Request) -> bool:
    return "upgrade" in request.headers.get("connection", "").lower()


def forwarded_headers(request: Request) -> dict[str, str]:
    """The client's headers without those that are only for us; `Host` stays the client's."""
    dropped = NOT_FORWARDED | {name.strip().lower() for name in request.headers.get("connection", "").split(",")}
    headers = {
        name: value for name, value in request.headers.items() if name not in dropped and not name.startswith("impersonate-")
    }
    if protocols := headers.get("sec-websocket-protocol"):  # a browser's token is among them
        offered = [name.strip() for name in protocols.split(",")]
        headers["sec-websocket-protocol"] = ", ".join(name for name in offered if not name.startswith(WEBSOCKET_TOKEN_PREFIX))
    if request.peer:
        before = request.headers.get("x-forwarded-for", "")
        headers["x-forwarded-for"] = (f"{before}, " if before else "") + request.peer.rpartition(":")[0].strip("[]")
    return headers


async def exchange(
    transport: HttpTransport, request: Request, *, upgrade: str = "", head_timeout_s: float = HEAD_TIMEOUT_S
) -> Response:
    """The answer to `request`; with `upgrade`, that protocol is asked for, and spoken if the other side agrees.

    Raises `ConnectionFailed`.
    """
    if upgrade:
        headers = {**request.headers, "upgrade": upgrade, "connection": "Upgrade"}
        asked = Request(request.method, request.path, request.query, headers, more_headers=request.more_headers)
        response, connection = await transport.upgrade(asked)
        if connection is not None:
            return relayed(response, connection)
    else:
        response = await transport.send(request, stream=True, timeout_s=head_timeout_s)
    kept = {name.lower(): value for name, value in response.headers.items() if name.lower() not in NOT_RETURNED}
    if isinstance(response.body, bytes):
        kept.pop("content-length", None)
    return Response(response.status, kept, response.body)


def relayed(response: Response, backend: Upgradable) -> Response:
    """The 101 of the other side, and then its bytes and the client's, until one of them ends."""

    async def serve(client: Upgradable) -> None:
        await relay(client, backend)

    headers = {name.lower(): value for name, value in response.headers.items()}
    kept = {name: value for name, value in headers.items() if name not in ("connection", "upgrade", "date", "content-length")}
    return Response(101, {**kept, "Upgrade": headers.get("upgrade", ""), "Connection": "Upgrade"}, upgrade=serve)
