"""The health and metrics endpoints that every component has: /healthz, /livez, /readyz and /metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qs

from pybernetes.machinery.http.messages import Handler, Request, Response

Check = Callable[[], Awaitable[str | None]]  # None: healthy; else why not
Note = Callable[[str, bool], None]
Metrics = Callable[[], Awaitable[bytes]]  # the Prometheus text

ROOTS = ("/healthz", "/livez", "/readyz")
_TEXT = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def health_handler(
    checks: Mapping[str, Check], metrics: Metrics | None = None, *, readiness: Mapping[str, Check] | None = None
) -> Handler:
    """Answer the health paths from `checks` ("ping" is added) and /metrics from `metrics`; everything else is 404.

    `readiness` are further checks, of /readyz alone: what a restart would not mend. As upstream's: plain "ok", a list of
    the checks with `?verbose` or when one fails (then 500), one check by `/healthz/<name>`, some left out by
    `?exclude=<name>`.
    """

    async def handle(request: Request) -> Response:
        if request.path == "/metrics" and metrics is not None:
            return Response(200, {"Content-Type": METRICS_CONTENT_TYPE}, await metrics())
        is_readiness = request.path.split("/", 2)[1] == "readyz"
        answer = await health(request, {**checks, **readiness} if readiness and is_readiness else checks)
        return answer or Response(404, dict(_TEXT), b"404 page not found\n")

    return handle


async def health(request: Request, checks: Mapping[str, Check], note: Note | None = None) -> Response | None:
    """The answer to a health path, None for any other path. `note` is told what each check that was made has found."""
    _, root, *rest = request.path.rstrip("/").split("/", 2)
    root = f"/{root}"
    if root not in ROOTS:
        return None
    all_checks: dict[str, Check] = {"ping": _ping, **checks}
    if rest:
        check = all_checks.get(rest[0])
        if check is None:
            return Response(404, dict(_TEXT), b"404 page not found\n")
        failure = await check()
        if note is not None:
            note(rest[0], failure is None)
        if failure is None:
            return Response(200, dict(_TEXT), b"ok")
        return Response(500, dict(_TEXT), f"internal server error: {failure}\n".encode())
    query = parse_qs(request.query, keep_blank_values=True)
    excluded = set(query.get("exclude", ()))
    lines, failed = [], False
    for name, check in all_checks.items():
        if name in excluded:
            lines.append(f"[+]{name} excluded: ok")
            continue
        failure = await check()
        if note is not None:
            note(name, failure is None)
        failed = failed or failure is not None
        # The reason is for the log and for the check's own path, not for whoever may ask for the summary (as upstream).
        lines.append(f"[+]{name} ok" if failure is None else f"[-]{name} failed: reason withheld")
    unknown = sorted(excluded - all_checks.keys())
    if unknown:
        names = ", ".join(f'"{name}"' for name in unknown)
        lines.append(f"warn: some health checks cannot be excluded: no matches for {names}")
    if failed:
        text = "\n".join([*lines, f"{root[1:]} check failed", ""])
        return Response(500, dict(_TEXT), text.encode())
    if "verbose" in query:
        return Response(200, dict(_TEXT), "\n".join([*lines, f"{root[1:]} check passed", ""]).encode())
    return Response(200, dict(_TEXT), b"ok")


async def _ping() -> None:
    return None
