"""A webhook that a kubeconfig names: reviews are POSTed to exactly the server's URL, and asked again where that may help.

For authorization, authentication, audit events and image policies. What goes wrong is told in the words of client-go.
Certificates, keys and authorities that the kubeconfig names by file are followed; the kubeconfig itself is read once.

Source: https://kubernetes.io/docs/reference/access-authn-authz/webhook/
"""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import orjson

from pybernetes.client.failures import explain, refusal
from pybernetes.client.kubeconfig import Access, ConfigError, load
from pybernetes.client.transport import ConnectionFailed, RequestTimeout
from pybernetes.machinery import codec, go_duration
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.files import stamp_of
from pybernetes.machinery.http.messages import Request, Response
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object

log = logger("apiserver")

TIMEOUT_S = 30.0  # of one request, unless the configuration says otherwise
ANSWER_BYTES_MAX = 1024 * 1024
RETRY_AFTER_S_MAX = 10.0
_HEADERS = {"content-type": "application/json", "accept": "application/json, */*"}
# A server in trouble for a moment: the ones that upstream asks again.
_TRANSIENT_STATUSES = frozenset((429, 500, 504))


@dataclass(frozen=True, slots=True)
class Backoff:
    """How often a webhook is asked, and how long we wait in between."""

    first_delay_s: float = 0.5
    factor: float = 1.5
    jitter: float = 0.2  # the part of a delay that is added at most
    attempts: int = 5


class WebhookFailed(Exception):
    """No answer that is a review; the message says why."""

    def __init__(self, message: str, *, transient: bool = False, timed_out: bool = False, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.transient = transient
        self.timed_out = timed_out
        self.retry_after_s = retry_after_s


_Answer = TypeVar("_Answer")
Observe = Callable[[WebhookFailed | None, float], None]  # how an attempt ended, and how many seconds it took


class KubeconfigWebhook:
    """One remote server. `close` when it is no longer asked."""

    def __init__(
        self, path: str, *, clock: Clock, entropy: Entropy, timeout_s: float = TIMEOUT_S, backoff: Backoff | None = None
    ) -> None:
        """Nothing is sent yet. Raises `ConfigError` for a kubeconfig that says nothing usable."""
        self._access = Access(load(path))
        self._clock = clock
        self._entropy = entropy
        self._timeout_s = timeout_s
        self._backoff = backoff or Backoff()
        user, cluster = self._access.user, self._access.cluster
        self._files = (
            user.get("client-certificate") or "", user.get("client-key") or "", cluster.get("certificate-authority") or ""
        )  # fmt: skip
        self._stamp = stamp_of(*self._files)
        self._transport = self._access.transport(clock)

    async def post(self, review: Object, observe: Observe | None = None) -> Object:
        """The server's review. `observe` is told of each attempt. Raises `WebhookFailed` after the last."""

        async def ask() -> Object:
            return _read(await self._exchange(review), review)

        return await self._repeated(ask, observe)

    async def deliver(self, body: Object) -> None:
        """Send what needs no answer; whatever goes wrong, it is tried again. Raises `WebhookFailed` after the last time."""

        async def send() -> None:
            try:
                _check(await self._exchange(body))
            except WebhookFailed as failure:
                failure.transient = True
                raise

        await self._repeated(send, None)

    async def _repeated(self, attempt: Callable[[], Awaitable[_Answer]], observe: Observe | None) -> _Answer:
        delay_s, attempts = self._backoff.first_delay_s, 1
        while True:
            started_s = self._clock.monotonic()
            try:
                answer = await attempt()
            except WebhookFailed as failure:
                if observe is not None:
                    observe(failure, self._clock.monotonic() - started_s)
                if not failure.transient or attempts >= self._backoff.attempts:
                    raise
                pause_s = delay_s * (1 + self._backoff.jitter * self._entropy.random())
                await self._clock.sleep(max(pause_s, min(failure.retry_after_s, RETRY_AFTER_S_MAX)))
            else:
                if observe is not None:
                    observe(None, self._clock.monotonic() - started_s)
                return answer
            delay_s, attempts = delay_s * self._backoff.factor, attempts + 1

    async def close(self) -> None:
        await self._transport.close()

    async def _exchange(self, body: Object) -> Response:
        query = f"timeout={go_duration.text_of(round(self._timeout_s * 1e9))}"
        where = f'Post "{self._access.server.rstrip("/")}?{query}"'
        self._follow_files()
        # The URL's own path is the transport's prefix; a target cannot be without any.
        path = "" if urlsplit(self._access.server).path.strip("/") else "/"
        request = Request("POST", path, query, dict(_HEADERS), orjson.dumps(body))
        try:
            return await self._transport.send(request, timeout_s=self._timeout_s)
        except RequestTimeout as error:
            raise WebhookFailed(f"{where}: context deadline exceeded", timed_out=True) from error
        except ConnectionFailed as error:
            reset = isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ECONNRESET
            raise WebhookFailed(f"{where}: {explain(error, self._transport.host)}", transient=reset) from error
        except ConfigError as error:  # a token that cannot be read any more
            raise WebhookFailed(f"{where}: {error}") from error

    def _follow_files(self) -> None:
        """Let further connections use what the files say now; where that is unusable, what they said before."""
        stamp = stamp_of(*self._files)
        if stamp != self._stamp:
            try:
                self._transport.ssl_context = self._access.ssl_context()
            except ConfigError as error:
                log.warning("Cannot load the certificates for a webhook", server=self._access.server, err=str(error))
            self._stamp = stamp


def _check(response: Response) -> bytes:
    """The body of an answer of success. Raises `WebhookFailed`."""
    body = response.body
    assert isinstance(body, bytes)
    if len(body) > ANSWER_BYTES_MAX:
        raise WebhookFailed(f"the answer is larger than {ANSWER_BYTES_MAX} bytes")
    if not 200 <= response.status <= 206:
        retry_after = response.headers.get("retry-after", "")
        raise WebhookFailed(
            refusal(response.status, response.headers.get("content-type", ""), body),
            transient=response.status in _TRANSIENT_STATUSES or retry_after.isdecimal(),
            timed_out=response.status == 504,
            retry_after_s=float(retry_after) if retry_after.isdecimal() else 0.0,
        )
    return body


def _read(response: Response, asked: Object) -> Object:
    """The answer, if it is a review of the same kind and version. Raises `WebhookFailed`."""
    try:
        answer = codec.load_json(_check(response))
    except ValueError as error:
        raise WebhookFailed(f"couldn't get version/kind; json parse error: {error}") from error
    if not isinstance(answer, dict):
        found = codec.go_name(answer)
        raise WebhookFailed(f"couldn't get version/kind; json parse error: json: cannot unmarshal {found} into a review")
    return _of_same_kind(answer, asked)


def _of_same_kind(answer: Object, asked: Object) -> Object:
    kind, version = answer.get("kind") or asked["kind"], answer.get("apiVersion") or asked["apiVersion"]
    if kind == "Status" and answer.get("status") != "Success":
        raise WebhookFailed(str(answer.get("message") or "unknown"))
    if (kind, version) != (asked["kind"], asked["apiVersion"]):
        shown, wanted = f"{_package(version)}.{kind}", f"{_package(asked['apiVersion'])}.{asked['kind']}"
        raise WebhookFailed(f"converting ({shown}) to ({wanted}): unknown conversion")
    return answer


def _package(api_version: Any) -> str:
    return str(api_version).rpartition("/")[2]
