"""/statusz and /flagz: what this is, since when, and how it was started.

On by default in 1.36. Contract: https://kubernetes.io/docs/reference/instrumentation/zpages/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import orjson

from pybernetes.apiserver import refusals, version
from pybernetes.machinery.clock import Clock, rfc3339
from pybernetes.machinery.errors import NotAcceptable
from pybernetes.machinery.http.messages import Request, Response
from pybernetes.machinery.meta import Object

NAME: Final = "kube-apiserver"
_GROUP, _VERSION = "config.k8s.io", "v1beta1"
_WARNING: Final = (
    "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is for "
    "debugging purposes only."
)
_LISTED: Final = ("/healthz", "/livez", "/metrics", "/readyz", "/statusz", "/version")


class ZPages:
    """`flags` by name, as text. The server starts when this is made."""

    def __init__(self, clock: Clock, flags: Mapping[str, str], listed: Sequence[str] = _LISTED) -> None:
        self._clock = clock
        self._flags = dict(sorted(flags.items()))
        self._listed = list(listed)
        self._started: datetime = clock.now()

    async def statusz(self, request: Request) -> Response:
        """Raises `NotAcceptable`."""
        up = int((self._clock.now() - self._started).total_seconds())
        info = version.INFO
        number = info["gitVersion"].removeprefix("v")
        emulated = f"{info['emulationMajor']}.{info['emulationMinor']}"
        if _structured(request, "Statusz"):
            return _object(
                "Statusz",
                {
                    "startTime": rfc3339(self._started), "uptimeSeconds": up, "goVersion": info["goVersion"],
                    "binaryVersion": number, "emulationVersion": emulated,
                    "minimumCompatibilityVersion": f"{info['minCompatibilityMajor']}.{info['minCompatibilityMinor']}",
                    "paths": self._listed,
                },
            )  # fmt: skip
        hours, rest = divmod(up, 3600)
        started = self._started.strftime("%a %b %e %H:%M:%S UTC %Y")
        lines = [
            f"Started: {started}", f"Up: {hours} hr {rest // 60:02} min {rest % 60:02} sec", f"Go version: {info['goVersion']}",
            f"Binary version: {number}", f"Emulation version: {emulated}", f"Paths: {' '.join(self._listed)}",
        ]  # fmt: skip
        return _text(f"{NAME} statusz", lines)

    async def flagz(self, request: Request) -> Response:
        """Raises `NotAcceptable`."""
        if _structured(request, "Flagz"):
            return _object("Flagz", {"flags": self._flags})
        return _text(f"{NAME} flags", [f"{name}={value}" for name, value in self._flags.items()])


def _text(title: str, lines: Sequence[str]) -> Response:
    return Response(200, dict(refusals.TEXT), "\n".join([title, _WARNING, "", *lines, ""]).encode())


def _object(kind: str, fields: Object) -> Response:
    body: Object = {"kind": kind, "apiVersion": f"{_GROUP}/{_VERSION}", "metadata": {"name": NAME}, **fields}
    return Response(200, {"Content-Type": "application/json"}, orjson.dumps(body))


def _structured(request: Request, kind: str) -> bool:
    """Whether JSON is asked for by all its parameters; text, if by nothing or anything."""
    accept = request.headers.get("accept", "")
    if not accept.strip():
        return False
    for one in accept.split(","):
        media, *parameters = (part.strip() for part in one.split(";"))
        if media in ("*/*", "text/*", "text/plain"):
            return False
        if media == "application/json" and {f"v={_VERSION}", f"g={_GROUP}", f"as={kind}"} <= set(parameters):
            return True
    served = f"application/json;v={_VERSION};g={_GROUP};as={kind}, text/plain"
    raise NotAcceptable(f"only the following media types are accepted: {served}")
