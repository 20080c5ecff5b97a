"""Events: what a component tells users about an object (`core/v1` Event).

`EventRecorder.event` never blocks and never fails: it queues, and `run` writes. Repetition is compressed as upstream's
correlator does: a token bucket for each source and object; more than ten different messages of one kind within ten minutes
become one "(combined from similar events)"; an event seen before is a patch of its count.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pybernetes.client.rest import Client, PatchType
from pybernetes.client.transport import ConnectionFailed
from pybernetes.machinery import errors
from pybernetes.machinery.clock import Clock, rfc3339
from pybernetes.machinery.entropy import Entropy, jittered
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object, Resource
from pybernetes.machinery.recent import Recent
from pybernetes.machinery.token_bucket import TokenBucket

log = logger("events")

EVENTS = Resource(group="", version="v1", plural="events", kind="Event", namespaced=True)

QUEUE_MAX = 1000  # events waiting to be written; the next ones are dropped
TRIES_MAX = 12
TRY_AGAIN_S = 10.0
CACHE_MAX = 4096
SPAM_BURST = 25
SPAM_REFILL_S = 300.0  # one more event for a source and object every so often
SIMILAR_MAX = 10
SIMILAR_WINDOW = timedelta(minutes=10)
COMBINED_PREFIX = "(combined from similar events): "


@dataclass(slots=True)
class _Similar:
    messages: set[str]
    last: datetime


@dataclass(slots=True)
class _Written:
    """An event that the server has: what a patch needs."""

    name: str
    count: int
    first_timestamp: str


Identity = tuple[str, ...]


@dataclass(slots=True)
class _Note:
    """An event on its way: the object to create, and the key under which repetitions are counted."""

    event: Object
    key: Identity
    tries: int = field(default=0)


class EventRecorder:
    """Records events in the name of `component` (and the `host` it runs on, for components of a node)."""

    def __init__(self, client: Client, component: str, host: str = "", *, clock: Clock, entropy: Entropy) -> None:
        import asyncio

        self._client = client
        self._component = component
        self._host = host
        self._clock = clock
        self._entropy = entropy
        self._queue: deque[_Note] = deque()
        self._filled = asyncio.Event()
        self._buckets: Recent[Identity, TokenBucket] = Recent(CACHE_MAX)
        self._similar: Recent[Identity, _Similar] = Recent(CACHE_MAX)
        self._written: Recent[Identity, _Written] = Recent(CACHE_MAX)
        self._last_stamp = 0

    def event(self, obj: Object, type_: str, reason: str, message: str, *, field_path: str = "") -> None:
        """`type_` is Normal or Warning, `reason` UpperCamelCase; `obj` has kind and apiVersion.

        `field_path` points into the object: `spec.containers{web}`.
        """
        metadata = obj["metadata"]
        reference: Object = {"kind": obj["kind"], "apiVersion": obj["apiVersion"], "name": metadata["name"]}
        for key in ("namespace", "uid", "resourceVersion"):
            if metadata.get(key):
                reference[key] = metadata[key]
        if field_path:
            reference["fieldPath"] = field_path
        # What counts as the same: not the object's revision.
        about = tuple(reference.get(key, "") for key in ("kind", "namespace", "name", "uid", "apiVersion", "fieldPath"))
        source = (self._component, self._host, *about)
        if len(self._queue) >= QUEUE_MAX or not self._allowed(source):
            return
        now = self._clock.now()
        kind = (*source, type_, reason)
        shown, counted_as = self._combined(kind, message, now)
        stamp = rfc3339(now)
        namespace = metadata.get("namespace") or "default"
        event: Object = {
            "kind": "Event",
            "apiVersion": "v1",
            "metadata": {"name": f"{metadata['name']}.{self._stamp(now):x}", "namespace": namespace},
            "involvedObject": reference,
            "reason": reason,
            "message": shown,
            "source": {"component": self._component, **({"host": self._host} if self._host else {})},
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
            "type": type_,
            "eventTime": None,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }
        self._queue.append(_Note(event, counted_as))
        self._filled.set()

    async def run(self) -> None:
        """Write what is queued, until cancelled."""
        while True:
            await self._filled.wait()
            while self._queue:
                note = self._queue.popleft()
                while not await self._write(note):
                    await self._clock.sleep(jittered(TRY_AGAIN_S, self._entropy))
            self._filled.clear()

    async def flush(self) -> None:
        """Write what is queued once, then return: for a component about to stop."""
        while self._queue:
            await self._write(self._queue.popleft())

    def _allowed(self, source: Identity) -> bool:
        """Take a token from the bucket of this source and object."""
        bucket = self._buckets.get(source)
        if bucket is None:
            bucket = TokenBucket(1 / SPAM_REFILL_S, SPAM_BURST, self._clock)
            self._buckets.put(source, bucket)
        return bucket.take()

    def _combined(self, kind: Identity, message: str, now: datetime) -> tuple[str, Identity]:
        """The message to show and the key to count under: the message's own, or that of all similar ones."""
        similar = self._similar.get(kind)
        if similar is None or now - similar.last > SIMILAR_WINDOW:
            similar = _Similar(set(), now)
        similar.last = now
        if len(similar.messages) < SIMILAR_MAX:
            similar.messages.add(message)
            self._similar.put(kind, similar)
            return message, (*kind, message)
        self._similar.put(kind, similar)
        if message in similar.messages:
            return message, (*kind, message)
        return COMBINED_PREFIX + message, kind

    def _stamp(self, now: datetime) -> int:
        """Nanoseconds since 1970, made to differ from the one before: on a virtual clock many events share an instant."""
        whole = int(now.timestamp())
        stamp = max(whole * 1_000_000_000 + now.microsecond * 1000, self._last_stamp + 1)
        self._last_stamp = stamp
        return stamp

    async def _write(self, note: _Note) -> bool:
        """Whether the note is dealt with: written, or given up."""
        note.tries += 1
        try:
            await self._create_or_count(note)
        except ConnectionFailed as error:
            log.debug("Could not write an event", err=error, tries=note.tries)
            return note.tries >= TRIES_MAX
        except errors.StatusError as error:
            # The server refuses it (a namespace being deleted, say): it will refuse it again.
            log.debug("Event refused", event=note.event["metadata"]["name"], err=error)
        return True

    async def _create_or_count(self, note: _Note) -> None:
        event, namespace = note.event, note.event["metadata"]["namespace"]
        known = self._written.get(note.key)
        if known is not None:
            count = known.count + 1
            change = {"count": count, "lastTimestamp": event["lastTimestamp"], "message": event["message"]}
            try:
                await self._client.patch(EVENTS, known.name, namespace, change, PatchType.STRATEGIC)
            except errors.NotFound:  # it expired: start again, with the count as it was
                event = {**event, "count": count, "firstTimestamp": known.first_timestamp}
            else:
                known.count = count
                return
        created = await self._client.create(EVENTS, event, namespace)
        self._written.put(note.key, _Written(created["metadata"]["name"], event["count"], event["firstTimestamp"]))
