"""Requests for groups that an extension server serves: sent on as the user who asks, the answer streamed back."""

from __future__ import annotations

from pybernetes.apiserver.aggregation.front_proxy import identity_headers
from pybernetes.apiserver.aggregation.remote_services import Misconfigured, RemoteServices
from pybernetes.apiserver.aggregation.service_resolver import Unroutable
from pybernetes.apiserver.attributes import User
from pybernetes.apiserver.proxying.exchange import exchange, forwarded_headers, upgrades
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
    """The extension server's answer to `request`, asked in the name of `user`; whom it named itself is taken off already."""
    if not is_available(service):
        return _problem(503, "service unavailable")
    try:
        transport = remote.transport(service)
    except Unroutable as error:
        log.warning("No way to the extension server", apiservice=name_of(service), err=str(error))
        return _problem(503, "service unavailable")
    except Misconfigured as error:
        return _problem(500, str(error))
    headers = forwarded_headers(request)
    asked = Request(
        request.method, request.path, request.query, headers, request.body, more_headers=tuple(identity_headers(user))
    )
    upgrade = request.headers.get("upgrade", "") if upgrades(request) else ""
    try:
        return await exchange(transport, asked, upgrade=upgrade, head_timeout_s=HEAD_TIMEOUT_S)
    except ConnectionFailed as error:
        return _problem(503, f"error trying to reach service: {explain(error, transport.host)}")


def _problem(status: int, text: str) -> Response:
    return Response(status, dict(_TEXT), f"{text}\n".encode())
