"""The table of debugging paths: /debug/pprof/, /debug/flags/v, /debug/api_priority_and_fairness/, /logs/."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs

from pybernetes.apiserver import refusals
from pybernetes.apiserver.flow_control import dumps as flows
from pybernetes.apiserver.flow_control.gate import Gate
from pybernetes.machinery import log
from pybernetes.machinery.http.messages import Request, Response

PROFILES: Final = "/debug/pprof/"
FLAGS: Final = "/debug/flags/"
LOGS: Final = Path("/var/log")
_PROFILE_S: Final = 30.0
_HEAP_S: Final = 10.0
_INDEX: Final = (
    ("profile", "what the process does: ?seconds=30; ?debug=1 as collapsed stacks"),
    ("goroutine", "its threads and the tasks of its event loop"),
    ("heap", "what it allocates in ?seconds=10 and keeps"),
    ("cmdline", "how it was started"),
)

Page = Callable[[Request], Awaitable[Response]]


def pages(gate: Gate | None, *, profiling: bool, logs: bool) -> dict[str, Page]:
    """By path, or by a prefix that ends with "/"."""
    found: dict[str, Page] = {}
    if profiling:
        found |= {PROFILES: _profiles, "/debug/pprof": _profiles, f"{FLAGS}v": _verbosity}
    if gate is not None:
        found[flows.ROOT + "/"] = partial(_flow_control, gate)
    if logs:
        found["/logs/"] = found["/logs"] = _logs
    return found


def _text(body: str) -> Response:
    return Response(200, dict(refusals.TEXT), body.encode("utf-8", "replace"))


def _seconds(request: Request, default: float) -> float | None:
    """None for nonsense."""
    try:
        seconds = float(parse_qs(request.query).get("seconds", [str(default)])[0])
    except ValueError:
        return None
    return seconds if 0 < seconds < float("inf") else None


async def _profiles(request: Request) -> Response:
    from pybernetes.apiserver.debugging import dumps, pprof, sampler

    name = request.path.removeprefix(PROFILES.rstrip("/")).strip("/")
    seconds = _seconds(request, _HEAP_S if name == "heap" else _PROFILE_S)
    if seconds is None:
        return Response(400, dict(refusals.TEXT), b"seconds must be a positive number\n")
    if not name:
        lines = [f'<a href="{PROFILES}{name}">{name}</a>: {what}<br>\n' for name, what in _INDEX]
        return Response(200, {"Content-Type": "text/html; charset=utf-8"}, "".join(["<html><body>\n", *lines]).encode())
    if name == "profile":
        profile = await sampler.sample(seconds)
        if "debug" in parse_qs(request.query):
            return _text(profile.collapsed())
        period = int(sampler.PERIOD_S * 1e9)
        values = {stack: (count, profile.nanos[stack]) for stack, count in profile.counts.items()}
        body = pprof.encoded(values, (("samples", "count"), ("cpu", "nanoseconds")), period, profile.seconds)
        disposition = {"Content-Disposition": 'attachment; filename="profile"'}
        return Response(200, {"Content-Type": "application/octet-stream", **disposition}, body)
    if name == "goroutine":
        return _text(dumps.running())
    if name == "heap":
        return _text(await dumps.allocated(seconds))
    if name == "cmdline":
        return _text("\0".join(sys.argv))
    return refusals.page_not_found()


async def _verbosity(request: Request) -> Response:
    """As upstream: PUT a number."""
    if request.method != "PUT":
        return Response(406, dict(refusals.TEXT), b"unsupported http method\n")
    text = request.body[:20].decode("ascii", "replace").strip()
    if not text.isdigit():
        answer = f'failed to set klog.logging.verbosity {text}: strconv.ParseInt: parsing "{text}": invalid syntax\n'
        return Response(400, dict(refusals.TEXT), answer.encode())
    log.set_verbosity(int(text))
    return _text(f"successfully set klog.logging.verbosity to {text}")


async def _flow_control(gate: Gate, request: Request) -> Response:
    name = request.path.removeprefix(flows.ROOT + "/")
    if name == "dump_priority_levels":
        return _text(flows.priority_levels(gate))
    if name == "dump_queues":
        return _text(flows.queues(gate))
    if name == "dump_requests":
        return _text(flows.requests(gate, details="includeRequestDetails" in parse_qs(request.query)))
    return refusals.page_not_found()


async def _logs(request: Request) -> Response:
    from pybernetes.apiserver.debugging import files

    if request.path == "/logs":
        return Response(301, {"Location": files.ROOT})
    return await files.serve(request, LOGS)
