"""Requests for groups that an extension server serves: sent on as the user who asks, the answer streamed back."""

from __future__ import annotations

from pybernetes.apiserver.aggregation.front_proxy import identity_headers, is_identity_header
from pybernetes.apiserver.aggregation.remote_services import Misconfigured, RemoteServices
from pybernetes.apiserver.aggregation.service_resolver import Unroutable
from pybernetes.apiserver.attributes import User
from pybernetes.apiserver.proxying import NOT_FORWARDED, NOT_RETURNED, relayed
from pybernetes.client.failures import explain
from pybernetes.client.transport import ConnectionFailed
from pybernetes.machinery.http.messages import Request, Response
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object, condition, name_of

log = logger("apiserver")

HEAD_TIMEOUT_S = 60.0  # until an answer begins; then it may take as long as it likes
_TEXT = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}


def is_available(service: Object) -> bool:
    found = condition((service.get("status") or {}).get("conditions"), "Available")
    return found is not None and found.get("status") == "True"


async def serve(service: Object, request: Request, user: User, remote: RemoteServices) -> Response:
    """The extension server's answer to `request`, asked in the name of `user`."""
    if not is_available(service):
        return _problem(503, "service unavailable")
    try:
        transport = remote.transport(service)
    except Unroutable as error:
        log.warning("No way to the extension server", apiservice=name_of(service), err=str(error))
        return _problem(503, "service unavailable")
    except Misconfigured as error:
        return _problem(500, str(error))
    headers = {
        name: value
        for name, value in request.headers.items()
        if name not in NOT_FORWARDED and not name.startswith("impersonate-") and not is_identity_header(name)
    }
    headers["host"] = request.headers.get("host", "")
    if request.peer:
        before = request.headers.get("x-forwarded-for", "")
        headers["x-forwarded-for"] = (f"{before}, " if before else "") + request.peer.rpartition(":")[0].strip("[]")
    forwarded = Request(
        request.method, request.path, request.query, headers, request.body, more_headers=tuple(identity_headers(user))
    )
    try:
        if "upgrade" in request.headers.get("connection", "").lower():
            headers["upgrade"], headers["connection"] = request.headers.get("upgrade", ""), "Upgrade"
            response, connection = await transport.upgrade(forwarded)
            if connection is not None:
                return relayed(response, connection)
        else:
            response = await transport.send(forwarded, stream=True, timeout_s=HEAD_TIMEOUT_S)
    except ConnectionFailed as error:
        return _problem(503, f"error trying to reach service: {explain(error, transport.host)}")
    kept = {name: value for name, value in response.headers.items() if name.lower() not in NOT_RETURNED}
    if isinstance(response.body, bytes):
        kept.pop("content-length", None)
    return Response(response.status, kept, response.body)


def _problem(status: int, text: str) -> Response:
    return Response(status, dict(_TEXT), f"{text}\n".encode())
