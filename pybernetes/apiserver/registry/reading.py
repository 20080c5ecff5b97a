"""get, list and watch of one kind, from the image.

Contract: API concepts, "Resource versions", "Retrieving large results sets in chunks", "Efficient detection of changes".
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass, replace

import orjson

from pybernetes.apiserver.calls import Call
from pybernetes.apiserver.encryption.entries import check_readable
from pybernetes.apiserver.image import Image
from pybernetes.apiserver.registry import rendering, splicing
from pybernetes.apiserver.registry.kinds import Kind
from pybernetes.apiserver.requests import JSON, PROTOBUF, STREAM_OF_PROTOBUF, YAML, flag, integer
from pybernetes.apiserver.watch import Selection, Subscription, error_line
from pybernetes.machinery import fields, json_text, labels
from pybernetes.machinery.errors import BadRequest, Cause, Expired, FieldError, Invalid, NotAcceptable, Timeout, invalid
from pybernetes.machinery.http.messages import Response
from pybernetes.machinery.meta import Object
from pybernetes.store.interface import Compacted, Entry, FutureRevision, Revision

CHUNK_ITEMS = 200  # items encoded between two turns of the loop
CHUNKS_A_TURN = 2  # and chunks of stored bytes
SELECTED_ITEMS = 1000  # and looked at by selectors
TOO_NEW_WAIT_S = 3.0  # how long a read waits for a revision that is to come
WATCH_TIMEOUT_MOST_S = 10 * 365 * 86400  # more is no time for a timer
WATCH_TIMEOUT_S = 1800.0  # up to twice that, so that the watches of one restart do not end together

OLD_CONTINUE = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without the "
    "continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with "
    "the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the "
    "first chunk was returned and now may show up in the list."
)


async def get(call: Call, kind: Kind, image: Image) -> Response:
    info, query = call.info, call.query
    entry = await current(kind, image, info.namespace, info.name, query.get("resourceVersion", "") if query else "")
    return await entry_response(call, kind, entry)


async def current(kind: Kind, image: Image, namespace: str, name: str, revision: str = "") -> Entry:
    """The entry, at least as new as `revision` ("": as new as the store). Raises `NotFound`."""
    if revision == "0":
        pass
    elif revision:
        await not_older_than(image, _revision(revision))
    else:
        await image.current()
    entry = kind.table.entries.get(kind.key(namespace, name))
    if entry is None:
        raise kind.not_found(name)
    return entry


async def entry_response(call: Call, kind: Kind, entry: Entry, status: int = 200) -> Response:
    if kind.converts_remotely:
        (entry,) = await kind.localized([entry])
    format_ = call.format
    if format_ is call.PLAIN:
        return rendering.respond(status, kind.served(entry), call.warnings)
    body = rendering.entry_body(kind, entry, format_, call.now(), call.include)
    return rendering.respond(status, body, call.warnings, format_.media)


def selection(call: Call, kind: Kind) -> Selection:
    """What the selectors of a list, watch or deletecollection choose. Raises `BadRequest`."""
    info = call.info
    label_selector = labels.parse(info.label_selector) if info.label_selector else labels.everything()
    field_selector = fields.parse(info.field_selector) if info.field_selector else fields.everything()
    known = kind.strategy.selectable_fields
    for requirement in field_selector.requirements:
        if requirement.field not in known and requirement.field not in ("metadata.name", "metadata.namespace"):
            raise BadRequest(f"field label not supported: {requirement.field}")
    return Selection(kind, kind.scope(info.namespace), label_selector, field_selector)


# list


@dataclass(frozen=True, slots=True)
class _Found:
    """One page: the entries, the list's revision, and (with a limit) how to go on."""

    entries: Sequence[Entry]
    revision: int
    continue_: str = ""
    remaining: int | None = None

    @property
    def metadata(self) -> Object:
        metadata: Object = {"resourceVersion": str(self.revision)}
        if self.continue_:
            metadata["continue"] = self.continue_
            if self.remaining is not None:
                metadata["remainingItemCount"] = self.remaining
        return metadata


async def list_(call: Call, kind: Kind, image: Image) -> Response:
    wanted = selection(call, kind)
    check_list_options(call, watch=False)
    found = await find(call, wanted, image)
    format_ = call.format
    if format_.media == PROTOBUF and format_.shape == "object":
        return await _list_in_protobuf(call, kind, found)
    if format_ is not call.PLAIN:
        return await _list_in_shape(call, kind, found)
    head = kind.list_head + orjson.dumps(found.metadata) + b',"items":['
    chunks = splicing.items(kind, head, found.entries)
    if len(found.entries) <= CHUNK_ITEMS:
        return rendering.respond(200, b"".join(chunks), call.warnings)
    response = rendering.respond(200, b"", call.warnings)
    response.body, response.ends_anywhere = _in_turns(chunks), False
    return response


async def _in_turns(chunks: Iterator[bytes]) -> AsyncGenerator[bytes, None]:
    for number, chunk in enumerate(chunks):
        if number % CHUNKS_A_TURN == CHUNKS_A_TURN - 1:
            await asyncio.sleep(0)
        yield chunk


async def _list_in_protobuf(call: Call, kind: Kind, found: _Found) -> Response:
    """A list's envelope says its size first, so that all items are there before the first one leaves."""
    from pybernetes.machinery import protobuf_encoding

    gvk = kind.resource.gvk
    write = protobuf_encoding.list_item(gvk)
    parts = [protobuf_encoding.list_metadata(found.metadata)]
    for position, entry in enumerate(found.entries):
        parts.append(write(kind.object(entry)))
        if position % CHUNK_ITEMS == CHUNK_ITEMS - 1:
            await asyncio.sleep(0)
    head = protobuf_encoding.envelope_head(gvk._replace(kind=f"{gvk.kind}List"), sum(map(len, parts)))
    body = b"".join((*head, *parts, protobuf_encoding.ENVELOPE_TAIL))
    return rendering.respond(200, body, call.warnings, PROTOBUF)


async def _list_in_shape(call: Call, kind: Kind, found: _Found) -> Response:
    format_, now = call.format, call.now()
    made = []
    for position, entry in enumerate(found.entries):
        if position % CHUNK_ITEMS == CHUNK_ITEMS - 1:
            await asyncio.sleep(0)
        obj = kind.object(entry)
        if format_.shape == "table":
            made.append(rendering.row(kind, obj, now, call.include, format_.version))
        elif format_.shape == "partial":
            made.append(rendering.partial_metadata(obj, format_.version))
        else:
            if not kind.items_carry_type:
                del obj["kind"], obj["apiVersion"]
            made.append(obj)
    result: Object
    if format_.shape == "table":
        result = rendering.table(kind, made, found.metadata, format_.version)
    elif format_.shape == "partial":
        result = {
            "kind": "PartialObjectMetadataList", "apiVersion": f"meta.k8s.io/{format_.version}", "metadata": found.metadata,
            "items": made,
        }  # fmt: skip
    else:
        resource = kind.resource
        result = {
            "kind": kind.list_kind, "apiVersion": resource.api_version, "metadata": found.metadata, "items": made,
        }  # fmt: skip
    return rendering.respond_object(200, result, format_, call.warnings)


async def find(call: Call, wanted: Selection, image: Image) -> _Found:
    """The entries of a list request, localized: one consistent revision over all its pages."""
    found = await _find(call, wanted, image)
    if wanted.kind.converts_remotely:
        found = replace(found, entries=await wanted.kind.localized(found.entries))
    return found


async def _find(call: Call, wanted: Selection, image: Image) -> _Found:
    query = call.query
    limit = max(integer(query, "limit") or 0, 0)  # a negative one is none, as upstream
    token = query.get("continue", "")
    version = query.get("resourceVersion", "")
    match = query.get("resourceVersionMatch", "")
    kind = wanted.kind
    if token:
        if version and version != "0":
            raise BadRequest("specifying resource version is not allowed when using continue")
        revision, after = _decode_continue(token)
        # The token of another resource or namespace: its place in the order is what counts, as upstream.
        return await _history(wanted, image, revision, wanted.scope + after, limit, continued=True)
    number = _revision(version)
    if number and (match == "Exact" or (limit and not match)):
        return await _history(wanted, image, number, "", limit, continued=False)
    if number:
        await not_older_than(image, number)
    elif version != "0":
        await image.current()
    revision = image.revision
    entries = kind.table.entries
    name = wanted.fields.exact("metadata.name")
    if name and (wanted.scope != kind.prefix or not kind.resource.namespaced):
        entry = entries.get(wanted.scope + name)
        return await _cut([entry] if entry is not None else [], wanted, revision, 0)
    # Taken at once: the stream that follows must show this very revision.
    return await _cut([entries[key] for key in wanted.candidates()], wanted, revision, limit)


async def _history(wanted: Selection, image: Image, revision: int, after: str, limit: int, *, continued: bool) -> _Found:
    try:
        if revision <= 0:  # a continue token that accepts an inconsistent rest
            page = await image.store.range(wanted.scope, after=after)
        else:
            await not_older_than(image, revision)
            whole = limit if wanted.everything else 0
            page = await image.store.range(wanted.scope, revision=Revision(revision), after=after, limit=whole)
            if whole:
                entries = page.entries
                check_readable(entries)
                if not page.remaining:
                    return _Found(entries, revision)
                last = entries[-1].key[len(wanted.scope) :]
                return _Found(entries, revision, _encode_continue(revision, last), page.remaining)
    except Compacted as error:
        if not continued:
            raise Expired("The resourceVersion for the provided list is too old.") from error
        last = after[len(wanted.scope) :]
        expired = Expired(OLD_CONTINUE)
        expired.status["metadata"] = {"continue": _encode_continue(-1, last)}
        raise expired from error
    except FutureRevision as error:
        raise too_large(revision, error.current) from error
    return await _cut(page.entries, wanted, page.revision if revision <= 0 else revision, limit)


async def _cut(entries: Sequence[Entry], wanted: Selection, revision: int, limit: int) -> _Found:
    check_readable(entries)
    if wanted.everything:
        if limit and len(entries) > limit:
            last = entries[limit - 1].key[len(wanted.scope) :]
            return _Found(entries[:limit], revision, _encode_continue(revision, last), len(entries) - limit)
        return _Found(entries, revision)
    found: list[Entry] = []
    for start in range(0, len(entries), SELECTED_ITEMS):
        await asyncio.sleep(0)
        for entry in await wanted.kind.localized(entries[start : start + SELECTED_ITEMS]):
            if not wanted.matches(entry):
                continue
            if limit and len(found) == limit:
                last = found[-1].key[len(wanted.scope) :]
                return _Found(found, revision, _encode_continue(revision, last))
            found.append(entry)
    return _Found(found, revision)


def _encode_continue(revision: int, last: str) -> str:
    token = orjson.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": f"{last}\0"})
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()


def _decode_continue(token: str) -> tuple[int, str]:
    """(revision, key after which to go on, below the scope). Raises `BadRequest`."""
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        if why := json_text.syntax_error(raw):
            raise ValueError(why)
        decoded = orjson.loads(raw)
        revision, start = decoded["rv"], decoded["start"]
        if decoded["v"] != "meta.k8s.io/v1" or not start or not isinstance(revision, int) or ".." in start.split("/"):
            raise ValueError("not a token of this server")
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise BadRequest(f"invalid continue token: continue key is not valid: {error}") from error
    return revision, start.removesuffix("\0")


def _revision(text: str) -> int:
    if not text:
        return 0
    is_number = text.isascii() and text.isdigit()
    if not is_number or len(text) > 20 or int(text) >= 2**64:
        detail = f'strconv.ParseUint: parsing "{text}": {"value out of range" if is_number else "invalid syntax"}'
        raise Invalid(
            f' "" is invalid: resourceVersion: Invalid value: "{text}": {detail}',
            causes=[Cause("FieldValueInvalid", f'Invalid value: "{text}": {detail}', "resourceVersion")],
        )
    return int(text)


async def not_older_than(image: Image, revision: int) -> None:
    """Wait (briefly) until the image has that revision. Raises `Timeout`."""
    if image.revision >= revision:
        return
    try:
        async with asyncio.timeout(TOO_NEW_WAIT_S):
            await image.reached(revision)
    except TimeoutError:
        raise too_large(revision, image.revision) from None


def too_large(revision: int, current: int) -> Timeout:
    return Timeout(
        f"Too large resource version: {revision}, current: {current}",
        causes=[Cause("ResourceVersionTooLarge", "Too large resource version")], retry_after_s=1,
    )  # fmt: skip


def check_list_options(call: Call, *, watch: bool) -> None:
    """Which parameters go together. Raises `Invalid`."""
    query = call.query
    match = query.get("resourceVersionMatch", "")
    errors: list[FieldError] = []
    initial = "sendInitialEvents" in query
    if watch:
        if initial and match != "NotOlderThan":
            errors.append(
                FieldError.forbidden(
                    "resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
                )
                if not match
                else FieldError.not_supported("resourceVersionMatch", match, ["NotOlderThan"])
            )
        if match and not initial:
            errors.append(
                FieldError.forbidden(
                    "resourceVersionMatch", "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
                )
            )
        if initial and flag(query, "sendInitialEvents") and not flag(query, "allowWatchBookmarks"):
            errors.append(
                FieldError.forbidden("sendInitialEvents", "sendInitialEvents is forbidden without allowWatchBookmarks")
            )
    else:
        if initial:
            errors.append(FieldError.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
        if match:
            if not query.get("resourceVersion"):
                errors.append(
                    FieldError.forbidden(
                        "resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"
                    )
                )
            if query.get("continue"):
                errors.append(
                    FieldError.forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided")
                )
            if match not in ("Exact", "NotOlderThan"):
                errors.append(FieldError.not_supported("resourceVersionMatch", match, ["Exact", "NotOlderThan", ""]))
            elif match == "Exact" and query.get("resourceVersion") == "0":
                errors.append(
                    FieldError.forbidden(
                        "resourceVersionMatch", 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
                    )
                )
    if errors:
        raise invalid("meta.k8s.io", "ListOptions", "", errors)


# watch


async def watch(call: Call, kind: Kind, image: Image, least_s: float = WATCH_TIMEOUT_S) -> Response:
    """It ends by itself, after `least_s` or up to twice that where the client does not say when."""
    wanted = selection(call, kind)
    check_list_options(call, watch=True)
    query = call.query
    if call.format.media == YAML:
        raise NotAcceptable(f"only the following media types are accepted: application/json;stream=watch, {STREAM_OF_PROTOBUF}")
    version = query.get("resourceVersion", "")
    revision = _revision(version)
    initial_events = query.get("sendInitialEvents")
    if initial_events is not None:
        sends_all = flag(query, "sendInitialEvents")
    else:
        sends_all = revision == 0  # "", and "0": begin with what there is
    if revision:
        await not_older_than(image, revision)
    elif version != "0":
        await image.current()
    asked_s = integer(query, "timeoutSeconds")
    timeout_s = min(asked_s, WATCH_TIMEOUT_MOST_S) if asked_s else least_s * (1 + call.entropy.random())
    in_protobuf = call.format.media == PROTOBUF
    response = rendering.respond(200, b"", call.warnings, STREAM_OF_PROTOBUF if in_protobuf else JSON)
    # From here to the end nothing may wait: the replay, the initial state and the live events must join without a gap.
    missed = kind.table.since(revision) if revision and not sends_all else []
    if missed is None:
        response.body = _expired(revision, kind.table.window_start, call.format.media)
        return response
    initial: Sequence[Entry] = ()
    if sends_all:
        entries = kind.table.entries
        initial = [entries[key] for key in wanted.candidates()]
        check_readable(initial)
        if not wanted.everything and not kind.converts_remotely:  # else it is chosen from what they are converted to
            initial = [entry for entry in initial if wanted.matches(entry)]
    subscription = Subscription(
        wanted, image, call.clock, format_=call.format, include=call.include,
        bookmarks=flag(query, "allowWatchBookmarks"), timeout_s=timeout_s, initial=initial,
        mark_initial_end=bool(initial_events is not None and sends_all),
    )  # fmt: skip
    subscription.replay(missed)
    response.body = subscription
    return response


async def _expired(revision: int, oldest: int, media: str) -> AsyncGenerator[bytes, None]:
    yield error_line(Expired(f"too old resource version: {revision} ({oldest})").status, media)
