"""The audit events of one request (`audit.k8s.io/v1` Event): received, response started (long-running ones), complete.

Left out: the objects of a list that is answered as a stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from pybernetes.apiserver import deadlines
from pybernetes.apiserver.attributes import RequestInfo, User
from pybernetes.apiserver.audit.backends import Backends
from pybernetes.apiserver.audit.policy import (
    API_VERSION,
    LEVEL_NAMES,
    REQUEST_RECEIVED,
    RESPONSE_COMPLETE,
    RESPONSE_STARTED,
    Level,
    Policy,
    Verdict,
)
from pybernetes.apiserver.followed import Followed
from pybernetes.machinery import go_duration
from pybernetes.machinery.clock import Clock, rfc3339_micro
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.http.messages import Request, Response
from pybernetes.machinery.meta import GroupVersionKind, Object

if TYPE_CHECKING:
    from prometheus_client import Metric

ID_LIMIT: Final = 64  # of an Audit-ID that a client gives
SLOW_S: Final = 0.5
_LATENCY: Final = "apiserver.latency.k8s.io/"
_WRITES: Final = frozenset(("create", "update", "patch", "delete", "deletecollection"))


class Auditor:
    """Begins the record of each request. `close` when no request is under way any more."""

    def __init__(self, policy: Policy, backends: Backends, *, clock: Clock, entropy: Entropy) -> None:
        self.policy = policy
        self.clock = clock
        self._backends = backends
        self._entropy = entropy
        self.levels: dict[str, int] = {}  # requests by the level that the policy gave them
        self._events = 0
        self._rejected = 0
        self._late: set[asyncio.Task[bool]] = set()  # events of streams that have ended

    def families(self) -> list[Metric]:
        """Call on the loop."""
        from pybernetes.apiserver.metrics.series import counter

        levels = {(level,): float(count) for level, count in self.levels.items()}
        errors = {(plugin,): float(count) for plugin, count in self._backends.losses.counts.items()}
        return [
            counter("apiserver_audit_level", "Requests by audit level.", ("level",), levels),
            counter("apiserver_audit_event", "Audit events.", (), {(): self._events}),
            counter("apiserver_audit_error", "Audit events that were lost, by who lost them.", ("plugin",), errors),
            counter("apiserver_audit_requests_rejected", "Requests refused for want of a record.", (), {(): self._rejected}),
        ]

    async def process(self, event: Object) -> bool:
        """False if a request may not go on without its event."""
        self._events += 1
        return await self._backends.process([event])

    def process_late(self, event: Object) -> None:
        """For who cannot wait."""
        task = asyncio.create_task(self.process(event), name="audit event")
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    def reject(self) -> None:
        self._rejected += 1

    async def close(self) -> None:
        await asyncio.gather(*self._late, return_exceptions=True)
        await self._backends.close()

    def begin(self, request: Request, info: RequestInfo) -> Record:
        given = request.headers.get("audit-id", "")
        audit_id = given if 0 < len(given) <= ID_LIMIT and given.isascii() and given.isprintable() else self._entropy.uid()
        return Record(self, request, info, audit_id)


class Record:
    """One request. Call `identify` once it is known who asks, `authorized` then, `finish` with the answer."""

    def __init__(self, auditor: Auditor, request: Request, info: RequestInfo, audit_id: str) -> None:
        self._auditor = auditor
        self._request = request
        self._info = info
        self._id = audit_id
        self._received: datetime = auditor.clock.now()
        self._verdict: Verdict | None = None
        self._user = User("")
        self._impersonated: User | None = None
        self._constraint = ""
        self.annotations: dict[str, str] = {}

    async def identify(self, user: User) -> bool:
        """`user` is whose credentials they are. False: the request is to be refused, for it could not be recorded."""
        self._user = user
        self._verdict = self._judged(user)
        event = self._event(REQUEST_RECEIVED)
        if event is None or await self._auditor.process(event):
            return True
        self._auditor.reject()
        return False

    def _judged(self, user: User) -> Verdict:
        auditor = self._auditor
        verdict = auditor.policy.evaluate(user, self._info)
        level = LEVEL_NAMES[verdict.level]
        auditor.levels[level] = auditor.levels.get(level, 0) + 1
        return verdict

    def impersonates(self, user: User, constraint: str) -> None:
        """The user acts as `user`; `constraint`: the verb that allowed it, if that is a constrained one (KEP-5284)."""
        self._impersonated, self._constraint = user, constraint

    def authorized(self, allowed: bool, reason: str, error: str = "") -> None:
        if error and not allowed:  # nothing was decided
            self.annotations["authorization.k8s.io/reason"] = "internal error"
            return
        self.annotations["authorization.k8s.io/decision"] = "allow" if allowed else "forbid"
        self.annotations["authorization.k8s.io/reason"] = reason

    def took(self, seconds: float, waited_s: float) -> None:
        """Say of slow requests how long they took, and waited for a place."""
        if seconds > SLOW_S:
            self.annotations[_LATENCY + "total"] = go_duration.text_of(int(seconds * 1e9))
            if waited_s:
                self.annotations[_LATENCY + "apf-queue-wait"] = go_duration.text_of(int(waited_s * 1e9))

    async def finish(self, response: Response) -> None:
        """Record what was answered; where that is a stream, when it ends."""
        if self._verdict is None:  # nobody: authentication failed
            self._verdict = self._judged(self._user)
        response.headers["Audit-Id"] = self._id
        if self._verdict.level is Level.NONE:
            return
        body, auditor = response.body, self._auditor
        now = (
            RESPONSE_COMPLETE if isinstance(body, bytes) else RESPONSE_STARTED if deadlines.is_long_running(self._info) else ""
        )
        event = self._event(now, response) if now else None
        if event is not None:
            await auditor.process(event)
        if not isinstance(body, bytes):
            response.body = Followed(body, lambda _: self._ended(response))

    def _ended(self, response: Response) -> None:
        event = self._event(RESPONSE_COMPLETE, response)
        if event is not None:
            self._auditor.process_late(event)

    def _event(self, stage: str, response: Response | None = None) -> Object | None:
        """None if the policy leaves the stage out."""
        verdict = self._verdict
        assert verdict is not None
        if verdict.level is Level.NONE or stage in verdict.omitted_stages:
            return None
        request, info = self._request, self._info
        event: Object = {
            "kind": "Event", "apiVersion": API_VERSION, "level": LEVEL_NAMES[verdict.level], "auditID": self._id,
            "stage": stage, "requestURI": target_of(request), "verb": info.verb, "user": self._user.info,
        }  # fmt: skip
        if self._impersonated is not None:
            event["impersonatedUser"] = self._impersonated.info
        if self._constraint:
            event["authenticationMetadata"] = {"impersonationConstraint": self._constraint}
        if request.peer:
            event["sourceIPs"] = [request.peer.rpartition(":")[0].strip("[]")]
        if agent := request.headers.get("user-agent"):
            event["userAgent"] = agent[:1024]
        if info.is_resource:
            event["objectRef"] = _reference(info)
        if response is not None:
            answered = _document(response.body, response.headers.get("Content-Type", ""))
            event["responseStatus"] = _status(response.status, answered)
            if verdict.level >= Level.REQUEST and info.is_resource and info.verb in _WRITES and request.body:
                sent = _document(request.body, request.headers.get("content-type", ""))
                if sent is not None:
                    event["requestObject"] = _trimmed(sent, verdict)
            if verdict.level >= Level.REQUEST_RESPONSE and info.is_resource and answered is not None:
                event["responseObject"] = _trimmed(answered, verdict)
        event["requestReceivedTimestamp"] = rfc3339_micro(self._received)
        event["stageTimestamp"] = rfc3339_micro(self._auditor.clock.now())
        if self.annotations:
            event["annotations"] = dict(self.annotations)
        return event


def target_of(request: Request) -> str:
    """Path and query, as the client sent them."""
    return f"{request.path}?{request.query}" if request.query else request.path


def _reference(info: RequestInfo) -> Object:
    found = {
        "resource": info.resource, "namespace": info.namespace, "name": info.name, "apiGroup": info.group,
        "apiVersion": info.version, "subresource": info.subresource,
    }  # fmt: skip
    return {name: value for name, value in found.items() if value}


def _status(code: int, answered: Any) -> Object:
    found: Object = {"metadata": {}}
    if isinstance(answered, dict) and answered.get("kind") == "Status":
        found |= {name: answered[name] for name in ("status", "message", "reason", "details") if name in answered}
    return {**found, "code": code}


def _document(body: Any, content_type: str) -> Any:
    """What a body says, whatever its encoding; None if it says nothing that can be shown."""
    if not isinstance(body, bytes) or not body:
        return None
    try:
        if "protobuf" in content_type:
            from pybernetes.machinery import protobuf

            return protobuf.decode(body, GroupVersionKind("", "v1", ""))
        if "yaml" in content_type:
            from pybernetes.machinery import codec

            return codec.decode(body, content_type)[0]
        return orjson.loads(body) if "json" in content_type or not content_type else None
    except (StatusError, ValueError):
        return None


def _trimmed(document: Any, verdict: Verdict) -> Any:
    """Without managed fields, where the policy leaves them out; lists' items too."""
    if not verdict.omits_managed_fields or not isinstance(document, Mapping):
        return document
    metadata = document.get("metadata")
    if isinstance(metadata, dict):
        metadata.pop("managedFields", None)
    for item in document.get("items") or ():
        if isinstance(item, dict) and isinstance(item.get("metadata"), dict):
            item["metadata"].pop("managedFields", None)
    return document
