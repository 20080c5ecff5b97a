"""Asks the conversion webhook of a definition.

Up to `REVIEW_OBJECTS` go into one review, so that a list is one call; what is converted is remembered by its bytes. A stored
object that many read and watch is converted once, whoever asks first; the others wait for that call and not for each other's.

An answer is not remembered by revision but by content: the same bytes convert to the same bytes, which the API demands of
webhooks ("deterministic"). A new webhook behind an unchanged definition is seen when the objects are next written, as it is
upstream, whose watch cache keeps converted objects, too.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

import orjson

from pybernetes.apiserver.admission.webhooks.client import CallFailed, WebhookClient
from pybernetes.apiserver.admission.webhooks.hooks import client_config
from pybernetes.apiserver.custom_resources import conversion
from pybernetes.apiserver.custom_resources.conversion import Failure, InvalidAnswer
from pybernetes.apiserver.custom_resources.conversion_metrics import ConversionMetrics
from pybernetes.apiserver.registry.conversion import ConversionFailed
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object, name_of, parse_api_version

log = logger("apiserver")

TIMEOUT_S: Final = 30.0  # definitions cannot say another one
REVIEW_OBJECTS: Final = 1000
REVIEW_BYTES: Final = 4 * 1024 * 1024  # of objects; a single one may be larger
REMEMBERED_BYTES: Final = 128 * 1024 * 1024  # by a server, sources and results together

# Stored values -> the same objects in another version, in order.
Convert = Callable[[Sequence[bytes]], Awaitable[Sequence[bytes]]]
_Call = asyncio.Task[dict[bytes, bytes]]  # the results by their sources


class Conversions:
    """What the converters of a server share. `close` when it ends."""

    def __init__(self, client: WebhookClient, *, clock: Clock, entropy: Entropy) -> None:
        self.client = client
        self.clock = clock
        self.entropy = entropy
        self.metrics = ConversionMetrics()
        self.memory = Memory()

    async def close(self) -> None:
        await self.memory.close()


class Converter:
    """Converts the objects of one definition, as its `spec.conversion.webhook` says."""

    def __init__(self, definition: Object, shared: Conversions) -> None:
        webhook: Object = definition["spec"]["conversion"]["webhook"]
        self.shared = shared
        self._name = name_of(definition)
        self._client = client_config(webhook["clientConfig"])
        self._review_versions: Sequence[str] = webhook.get("conversionReviewVersions") or ()

    async def convert(self, objects: Sequence[Object], api_version: str) -> list[Object]:
        """The objects in that version: new ones, in order; their metadata is as it was, but for labels and annotations.

        None of `objects`, which are of other versions, is altered. Raises `ConversionFailed`.
        """
        converted: list[Object] = []
        for review in _reviews(objects):
            converted += await self._ask(review, api_version)
        return converted

    async def _ask(self, objects: Sequence[Object], api_version: str) -> list[Object]:
        shared, first = self.shared, objects[0]
        what = f"conversion for {conversion.described(first)}"
        started = shared.clock.monotonic()
        failure: Failure | None = None
        try:
            version = conversion.review_version(self._review_versions)
            uid = shared.entropy.uid()
            review = conversion.question(objects, api_version, uid, version)
            answer = conversion.answered(await shared.client.post(self._client, review, TIMEOUT_S), uid, version)
            return conversion.restored(objects, answer, api_version)
        except ValueError as error:
            failure = Failure.CALL
            raise ConversionFailed(f"{what} failed: {error}") from error
        except (CallFailed, InvalidAnswer) as error:
            failure = error.failure if isinstance(error, InvalidAnswer) else Failure.CALL
            log.warning("Conversion webhook failed", definition=self._name, to=api_version, count=len(objects), err=str(error))
            if failure is Failure.CALL:
                raise ConversionFailed(f"{what} failed: conversion webhook for {conversion.ALONE} failed: {error}") from error
            raise ConversionFailed(f"{what} {error}") from error
        finally:
            source = parse_api_version(first["apiVersion"])[1]
            target = parse_api_version(api_version)[1]
            shared.metrics.observe(self._name, source, target, shared.clock.monotonic() - started, failure)


def _reviews(objects: Sequence[Object]) -> Sequence[Sequence[Object]]:
    if len(objects) == 1:
        return [objects]
    reviews: list[list[Object]] = []
    size = 0
    for obj in objects:
        length = len(orjson.dumps(obj))
        if not reviews or len(reviews[-1]) == REVIEW_OBJECTS or size + length > REVIEW_BYTES:
            reviews.append([])
            size = 0
        reviews[-1].append(obj)
        size += length
    return reviews


class Memory:
    """What bytes were converted to. The longest unused go first, by the bytes that they take.

    `scope` is what makes the same source give the same result: one version of one definition as it now is.
    """

    def __init__(self, limit_bytes: int = REMEMBERED_BYTES) -> None:
        self._limit = limit_bytes
        self._size = 0
        self._known: OrderedDict[tuple[object, bytes], bytes] = OrderedDict()
        self._under_way: dict[tuple[object, bytes], _Call] = {}

    def get(self, scope: object, source: bytes) -> bytes | None:
        found = self._known.get((scope, source))
        if found is not None:
            self._known.move_to_end((scope, source))
        return found

    async def converted(self, scope: object, sources: Sequence[bytes], convert: Convert) -> list[bytes]:
        """The result of each source: remembered, waited for where somebody asked already, or asked for with all the others.

        A call goes on when who asked first is gone, for others may wait for it. Raises whatever `convert` raises.
        """
        found: dict[bytes, bytes] = {}
        while True:
            missing: dict[bytes, None] = {}
            theirs: dict[_Call, None] = {}
            for source in sources:
                if source in found:
                    continue
                known, call = self.get(scope, source), self._under_way.get((scope, source))
                if known is not None:
                    found[source] = known
                elif call is not None:
                    theirs[call] = None
                else:
                    missing[source] = None
            ours = self._begin(scope, tuple(missing), convert) if missing else None
            for call in theirs:
                with suppress(ConversionFailed):  # over another object, perhaps: then it is asked for once more
                    found |= await asyncio.shield(call)
            if ours is not None:
                found |= await asyncio.shield(ours)
            if all(source in found for source in sources):
                return [found[source] for source in sources]

    def _begin(self, scope: object, sources: Sequence[bytes], convert: Convert) -> _Call:
        call = asyncio.create_task(self._convert(scope, sources, convert), name="conversion")
        call.add_done_callback(lambda done: done.cancelled() or done.exception())  # perhaps nobody waits any more
        self._under_way |= dict.fromkeys(((scope, source) for source in sources), call)
        return call

    async def close(self) -> None:
        calls = set(self._under_way.values())
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    async def _convert(self, scope: object, sources: Sequence[bytes], convert: Convert) -> dict[bytes, bytes]:
        try:
            results = await convert(sources)
        finally:
            for source in sources:
                del self._under_way[scope, source]
        for source, result in zip(sources, results, strict=True):
            self._put((scope, source), result)
        return dict(zip(sources, results, strict=True))

    def _put(self, key: tuple[object, bytes], result: bytes) -> None:
        before = self._known.pop(key, None)
        if before is not None:
            self._size -= len(key[1]) + len(before)
        self._known[key] = result
        self._size += len(key[1]) + len(result)
        while self._size > self._limit and len(self._known) > 1:
            (_, oldest), gone = self._known.popitem(last=False)
            self._size -= len(oldest) + len(gone)
