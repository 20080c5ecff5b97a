"""kubectl as a function: arguments in; exit code, output and the requests that were sent come back."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from pybernetes.client.transport import InProcessTransport
from pybernetes.kubectl.main import run
from pybernetes.machinery import errors
from pybernetes.machinery.entropy import SeededEntropy
from pybernetes.machinery.http.messages import Request, Response

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)


class StillClock:
    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, delay_s: float) -> None:
        raise AssertionError("nothing here should have to wait")


@dataclass
class Result:
    code: int
    out: str
    err: str


class Cluster:
    """Answers by method and path; what is not there is not found."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], Any] = {}
        self.requests: list[Request] = []

    def on(self, method: str, path: str, answer: Any) -> None:
        """`answer`: an object, a Response, an error, or a function of the request that gives one."""
        self.answers[method, path] = answer

    async def handle(self, request: Request) -> Response:
        self.requests.append(request)
        answer = self.answers.get((request.method, request.path))
        if isinstance(answer, Callable):
            answer = answer(request)
        if answer is None:
            resource, _, name = request.path.rpartition("/")
            answer = errors.not_found("", resource.rpartition("/")[2], name)
        if isinstance(answer, errors.StatusError):
            return Response(answer.code, {}, orjson.dumps(answer.status))
        if isinstance(answer, Response):
            return answer
        return Response(200, {"content-type": "application/json"}, orjson.dumps(answer))

    async def kubectl(self, *args: str) -> Result:
        out, err = io.StringIO(), io.StringIO()
        transport = InProcessTransport(self.handle)
        code = await run(args, transport=transport, stdout=out, stderr=err, clock=StillClock(), entropy=SeededEntropy(1))
        return Result(code, out.getvalue(), err.getvalue())

    def sent(self, method: str) -> list[Any]:
        return [orjson.loads(request.body) for request in self.requests if request.method == method]


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()
