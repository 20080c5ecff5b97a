"""The REST client: verbs on resources, as the API concepts page describes them.

Answers are plain dicts. Every failure that the server reports is raised as the `machinery.errors` class of its reason; every
failure to reach it as `client.transport.ConnectionFailed`. Nothing is retried, except where the server asks for it
(429, or a 5xx with Retry-After), up to `RETRIES_MAX` times.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from urllib.parse import quote, urlencode

import orjson

from pybernetes.client.transport import ConnectionFailed, RequestTimeout, Transport, close_stream, read_all
from pybernetes.machinery import errors
from pybernetes.machinery.clock import Clock, SystemClock
from pybernetes.machinery.entropy import Entropy, SystemEntropy
from pybernetes.machinery.http.messages import Request, Response
from pybernetes.machinery.meta import Object, Resource, name_of, namespace_of

if TYPE_CHECKING:
    from pybernetes.client.discovery import Discovery

RETRIES_MAX = 10  # as client-go
RETRY_AFTER_S_MAX = 60.0
WATCH_EVENT_BYTES_MAX = 64 * 1024 * 1024
# How long after its timeoutSeconds a watch may still be open before it counts as dead.
WATCH_GRACE_S = 30.0

JsonPatch: TypeAlias = list[Any]


class PatchType(StrEnum):
    """The patch formats, by their media types."""

    JSON = "application/json-patch+json"
    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    APPLY = "application/apply-patch+yaml"


class WatchEvent(NamedTuple):
    """ADDED, MODIFIED, DELETED (its last state) or BOOKMARK (only metadata.resourceVersion counts)."""

    type: str
    object: Object


class Client:
    """One user's access to one API server. Safe to share between tasks of one event loop."""

    def __init__(
        self,
        transport: Transport,
        *,
        user_agent: str = "pybernetes",
        clock: Clock | None = None,
        entropy: Entropy | None = None,
    ) -> None:
        self.transport = transport
        self.clock: Clock = clock or SystemClock()
        self.entropy: Entropy = entropy or SystemEntropy()
        self._headers = {"accept": "application/json", "user-agent": user_agent}

    async def get(self, resource: Resource, name: str, namespace: str = "", *, subresource: str = "") -> Object:
        return await self._object("GET", _path(resource, namespace, name, subresource))

    async def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_: str = "",
        resource_version: str = "",
    ) -> Object:
        """The List object as received (items of built-in kinds carry no kind and apiVersion).

        With `limit`, one page: `metadata.continue` leads to the next.
        """
        query = {
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "limit": str(limit) if limit else "",
            "continue": continue_,
            "resourceVersion": resource_version,
        }
        return await self._object("GET", _path(resource, namespace), query)

    async def create(
        self,
        resource: Resource,
        obj: Object,
        namespace: str = "",
        *,
        name: str = "",
        subresource: str = "",
        dry_run: bool = False,
        field_manager: str = "",
    ) -> Object:
        """`namespace` defaults to the object's; `name` and `subresource` address `pods/NAME/binding` and the like."""
        path = _path(resource, namespace or _namespace(obj), name, subresource)
        return await self._object("POST", path, _write_query(dry_run, field_manager), orjson.dumps(obj))

    async def update(
        self, resource: Resource, obj: Object, *, subresource: str = "", dry_run: bool = False, field_manager: str = ""
    ) -> Object:
        """Replace. If `metadata.resourceVersion` is set, only from that state (else `Conflict`)."""
        path = _path(resource, namespace_of(obj), name_of(obj), subresource)
        return await self._object("PUT", path, _write_query(dry_run, field_manager), orjson.dumps(obj))

    async def patch(
        self,
        resource: Resource,
        name: str,
        namespace: str,
        patch: Object | JsonPatch,
        patch_type: PatchType = PatchType.MERGE,
        *,
        subresource: str = "",
        dry_run: bool = False,
        field_manager: str = "",
        force: bool = False,
    ) -> Object:
        query = _write_query(dry_run, field_manager)
        if force:
            query["force"] = "true"
        path = _path(resource, namespace, name, subresource)
        return await self._object("PATCH", path, query, orjson.dumps(patch), str(patch_type))

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        resource_version: str = "",
        grace_period_s: int | None = None,
        propagation_policy: str = "",
        dry_run: bool = False,
    ) -> Object:
        """What the server answers: the object in its last state (or waiting for its finalizers), or a Status of success.

        `uid` and `resource_version` are preconditions (`Conflict` if they do not hold).
        """
        options = _delete_options(grace_period_s, propagation_policy, uid, resource_version)
        path = _path(resource, namespace, name)
        return await self._object("DELETE", path, _write_query(dry_run, ""), orjson.dumps(options))

    async def delete_collection(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        grace_period_s: int | None = None,
        propagation_policy: str = "",
        dry_run: bool = False,
    ) -> None:
        query = {**_write_query(dry_run, ""), "labelSelector": label_selector, "fieldSelector": field_selector}
        options = _delete_options(grace_period_s, propagation_policy)
        await self._object("DELETE", _path(resource, namespace), query, orjson.dumps(options))

    async def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout_s: int = 0,
        name: str = "",
        bookmarks: bool = True,
        opened: Callable[[], None] | None = None,
    ) -> AsyncGenerator[WatchEvent, None]:
        """Events after `resource_version`, in order, until the server ends the watch (then the iteration ends).

        `timeout_s` asks the server to end it after that time; a watch that outlives it by `WATCH_GRACE_S` is taken for dead
        (`RequestTimeout`). An ERROR event is raised (`Expired`: list again). Close the iterator (`contextlib.aclosing`).
        `opened` is called when the server has accepted, which may be long before the first event.
        """
        if name:
            field_selector = f"{field_selector},metadata.name={name}" if field_selector else f"metadata.name={name}"
        query = {
            "watch": "true",
            "resourceVersion": resource_version,
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "timeoutSeconds": str(timeout_s) if timeout_s else "",
            "allowWatchBookmarks": "true" if bookmarks else "",
        }
        response = await self.raw("GET", _path(resource, namespace), query=query, stream=True)
        assert not isinstance(response.body, bytes)
        if opened is not None:
            opened()
        limit_s = timeout_s + WATCH_GRACE_S if timeout_s else None
        try:
            async for line in _lines(response.body, limit_s):
                event = orjson.loads(line)
                if event["type"] == "ERROR":
                    raise errors.from_status(event["object"], event["object"].get("code", 500))
                yield WatchEvent(event["type"], event["object"])
        finally:
            await close_stream(response.body)

    async def raw(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        stream: bool = False,
        timeout_s: float | None = 60,
    ) -> Response:
        """One request by path. Parameters with empty values are left out; error statuses are raised as elsewhere."""
        all_headers = {**self._headers, **(headers or {})}
        if body is not None and "content-type" not in all_headers:
            all_headers["content-type"] = "application/json"
        text = urlencode([(key, value) for key, value in (query or {}).items() if value])
        request = Request(method, path, text, all_headers, body or b"")
        for attempt in range(RETRIES_MAX + 1):
            response = await self.transport.send(request, stream=stream, timeout_s=timeout_s)
            if response.status < 400:
                return response
            content = await read_all(response.body)
            delay_s = _retry_after_s(response)
            if delay_s is None or attempt == RETRIES_MAX:
                raise status_error(response.status, response.headers, content, method)
            await self.clock.sleep(delay_s)
        raise AssertionError("unreachable")

    async def discover(self) -> Discovery:
        """What the server serves, its preferred versions first."""
        from pybernetes.client.discovery import discover

        return await discover(self)

    async def close(self) -> None:
        await self.transport.close()

    async def _object(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
    ) -> Object:
        headers = {"content-type": content_type} if body is not None else None
        response = await self.raw(method, path, query=query, body=body, headers=headers)
        assert isinstance(response.body, bytes)
        return parse_object(response.body)


def parse_object(body: bytes) -> Object:
    """A JSON object from the server; raises `InternalError` if it is none."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise errors.InternalError(f"the server's answer is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise errors.InternalError("the server's answer is not an object")
    return value


def status_error(status: int, headers: Mapping[str, str], content: bytes, method: str) -> errors.StatusError:
    """The error for an answer of 400 and above: from its `Status`, or made up from the code as client-go does."""
    if content[:1] == b"{":
        try:
            body = orjson.loads(content)
        except orjson.JSONDecodeError:
            body = {}
        if body.get("kind") == "Status":
            return errors.from_status(body, status)
    text = content[:2048].decode("utf-8", "replace").strip()
    message = _GENERIC_MESSAGES.get(status) or f"an error on the server ({text!r}) has prevented the request from succeeding"
    if status in (400, 500, 502, 503) and text:
        message = text
    details: Object = {}
    if retry_after := headers.get("retry-after", ""):
        details["retryAfterSeconds"] = int(retry_after) if retry_after.isdigit() else 0
    return errors.from_status(
        {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
            "details": details, "code": status,
        },
        status,
    )  # fmt: skip


_GENERIC_MESSAGES: Mapping[int, str] = {
    401: "the server has asked for the client to provide credentials",
    403: "the server does not allow access to the requested resource",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    406: "the server was unable to respond with a content type that the client supports",
    409: "the server reported a conflict",
    415: "the body of the request was in an unknown format",
    429: "the server has received too many requests and has asked us to try again later",
    504: "the server was unable to return a response in the time allotted, but may still be processing the request",
}


def _path(resource: Resource, namespace: str, name: str = "", subresource: str = "") -> str:
    return resource.path(quote(namespace, safe=""), quote(name, safe=""), subresource)


def _namespace(obj: Object) -> str:
    namespace: str = (obj.get("metadata") or {}).get("namespace", "")
    return namespace


def _write_query(dry_run: bool, field_manager: str) -> dict[str, str]:
    return {"dryRun": "All" if dry_run else "", "fieldManager": field_manager}


def _delete_options(grace_period_s: int | None, propagation_policy: str, uid: str = "", resource_version: str = "") -> Object:
    options: Object = {"kind": "DeleteOptions", "apiVersion": "v1"}
    if grace_period_s is not None:
        options["gracePeriodSeconds"] = grace_period_s
    if propagation_policy:
        options["propagationPolicy"] = propagation_policy
    preconditions = {key: value for key, value in (("uid", uid), ("resourceVersion", resource_version)) if value}
    if preconditions:
        options["preconditions"] = preconditions
    return options


def _retry_after_s(response: Response) -> float | None:
    """The delay that the server asks for, if it asks for one."""
    if response.status != 429 and response.status < 500:
        return None
    text = response.headers.get("retry-after", "")
    if not text.isdigit():
        return None
    return min(float(text), RETRY_AFTER_S_MAX)


async def _lines(body: AsyncIterator[bytes], limit_s: float | None) -> AsyncIterator[bytes]:
    """The lines of a stream, within `limit_s` seconds from now."""
    import asyncio

    loop = asyncio.get_running_loop()
    deadline = None if limit_s is None else loop.time() + limit_s
    pending: list[bytes] = []
    size = 0
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                chunk = await anext(body)
        except StopAsyncIteration:
            break
        except TimeoutError as error:
            raise RequestTimeout(f"the watch is still open after {limit_s:.0f} s") from error
        first, *rest = chunk.split(b"\n")
        pending.append(first)
        size += len(first)
        if size > WATCH_EVENT_BYTES_MAX:
            raise ConnectionFailed(f"a watch event is larger than {WATCH_EVENT_BYTES_MAX} bytes")
        if not rest:
            continue
        if size:
            yield b"".join(pending)
        for line in rest[:-1]:
            if line:
                yield line
        pending = [rest[-1]]
        size = len(rest[-1])
    if size:
        yield b"".join(pending)
