"""KV: Range, Put, DeleteRange, Txn, Compact. What requests mean, over a draft or over memory; `service` does the rest.

Contract: etcd's API reference, "KV API"; the sentences of refusals are etcd's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pybernetes.store.embedded.draft import Draft
from pybernetes.store.etcd import rpc_pb2 as rpc
from pybernetes.store.face.errors import InvalidArgument
from pybernetes.store.face.ranges import EMPTY_KEY, key_of, range_of
from pybernetes.store.interface import Entry, FutureRevision, Page, Revision
from pybernetes.store.memory import Memory

OPERATIONS_MAX = 128  # of one transaction, etcd's --max-txn-ops; nested ones count with it
DEPTH_MAX = 8

Ranges = Callable[[str, str | None, int], Page]
"""(start, stop, limit) -> entries of [start, stop), of some state."""


class Headers(Protocol):
    def __call__(self, revision: int) -> rpc.ResponseHeader:
        """As every response begins."""
        ...


def key_value(entry: Entry, *, keys_only: bool = False) -> rpc.KeyValue:
    return rpc.KeyValue(
        key=entry.key.encode(),
        value=b"" if keys_only else entry.value,
        create_revision=entry.create_revision,
        mod_revision=entry.mod_revision,
        version=entry.version,
        lease=entry.lease,
    )


# Range


def ranged(request: rpc.RangeRequest, memory: Memory) -> rpc.RangeResponse:
    """Without header. Raises `Compacted`, `FutureRevision`."""
    revision = Revision(request.revision) if request.revision > 0 else None
    return _ranged(request, lambda start, stop, limit: memory.between(start, stop, revision=revision, limit=limit))


def _ranged(request: rpc.RangeRequest, read: Ranges) -> rpc.RangeResponse:
    start, stop = range_of(request.key, request.range_end)
    known = rpc.RangeRequest.SortOrder.values(), rpc.RangeRequest.SortTarget.values()
    if request.sort_order not in known[0] or request.sort_target not in known[1]:
        raise InvalidArgument("etcdserver: invalid sort option")
    if request.count_only:
        page = read(start, stop, 1)
        return rpc.RangeResponse(count=len(page.entries) + page.remaining)
    # Filters and orders are applied to all, and the limit comes last. But where only a target is given and no order, etcd
    # sorts what it has read: the limit and one more.
    in_order = request.sort_target == rpc.RangeRequest.KEY and request.sort_order != rpc.RangeRequest.DESCEND
    bounded = (request.min_mod_revision, request.max_mod_revision, request.min_create_revision, request.max_create_revision)
    whole = any(bounded) or not (in_order or request.sort_order == rpc.RangeRequest.NONE)
    limit = max(request.limit, 0)
    page = read(start, stop, 0 if whole or not limit else limit + 1)
    count = len(page.entries) + page.remaining
    entries = page.entries
    if any(bounded):
        entries = [entry for entry in entries if _within(request, entry)]
    if not in_order:
        entries = _sorted(request, entries)
    shown = entries[:limit] if limit else entries
    more = len(shown) < len(entries)
    return rpc.RangeResponse(
        kvs=[key_value(entry, keys_only=request.keys_only) for entry in shown], more=more, count=count
    )  # fmt: skip


def _within(request: rpc.RangeRequest, entry: Entry) -> bool:
    return (
        request.min_mod_revision <= entry.mod_revision
        and (not request.max_mod_revision or entry.mod_revision <= request.max_mod_revision)
        and request.min_create_revision <= entry.create_revision
        and (not request.max_create_revision or entry.create_revision <= request.max_create_revision)
    )


def _sorted(request: rpc.RangeRequest, entries: Sequence[Entry]) -> list[Entry]:
    rank: Callable[[Entry], str | int | bytes]
    match request.sort_target:
        case rpc.RangeRequest.VERSION:
            rank = lambda entry: entry.version  # noqa: E731
        case rpc.RangeRequest.CREATE:
            rank = lambda entry: entry.create_revision  # noqa: E731
        case rpc.RangeRequest.MOD:
            rank = lambda entry: entry.mod_revision  # noqa: E731
        case rpc.RangeRequest.VALUE:
            rank = lambda entry: entry.value  # noqa: E731
        case _:
            rank = lambda entry: entry.key  # noqa: E731
    return sorted(entries, key=rank, reverse=request.sort_order == rpc.RangeRequest.DESCEND)


# Put and DeleteRange


def put(request: rpc.PutRequest, draft: Draft) -> rpc.PutResponse:
    """Without header. Raises `LeaseNotFound`, `WrittenTwice`."""
    _check_put(request, draft)
    key = key_of(request.key)
    previous = draft.get(key)
    value, lease = request.value, request.lease
    if previous is not None:
        value = previous.value if request.ignore_value else value
        lease = previous.lease if request.ignore_lease else lease
    draft.put(key, value, lease=lease)
    return rpc.PutResponse(prev_kv=key_value(previous) if request.prev_kv and previous else None)


def _check_form(request: rpc.PutRequest) -> None:
    key_of(request.key)
    if request.ignore_value and request.value:
        raise InvalidArgument("etcdserver: value is provided")
    if request.ignore_lease and request.lease:
        raise InvalidArgument("etcdserver: lease is provided")


def _check_put(request: rpc.PutRequest, draft: Draft) -> None:
    _check_form(request)
    if (request.ignore_value or request.ignore_lease) and draft.get(key_of(request.key)) is None:
        raise InvalidArgument("etcdserver: key not found")


def delete_range(request: rpc.DeleteRangeRequest, draft: Draft) -> rpc.DeleteRangeResponse:
    """Without header. Raises `WrittenTwice`."""
    entries = draft.between(*range_of(request.key, request.range_end)).entries
    for entry in entries:
        draft.delete(entry.key)
    shown = entries if request.prev_kv else ()
    return rpc.DeleteRangeResponse(deleted=len(entries), prev_kvs=[key_value(entry) for entry in shown])


# Txn


def transaction(request: rpc.TxnRequest, draft: Draft, memory: Memory) -> rpc.TxnResponse:
    """Compare, and do one branch or the other. Its own header is left to the caller; those within tell the revision only."""
    check_form(request)
    for branch in (request.success, request.failure):
        check_writes(branch)
    return _carry_out(_decide(request, draft), draft, memory)


def check_form(request: rpc.TxnRequest) -> None:
    """Raises `InvalidArgument` for more than a transaction may hold, or less, in both branches and all within."""
    left = [(request, 1)]
    operations = 0
    while left:
        txn, depth = left.pop()
        operations += max(len(txn.compare), len(txn.success), len(txn.failure))
        if operations > OPERATIONS_MAX or depth > DEPTH_MAX:
            raise InvalidArgument("etcdserver: too many operations in txn request")
        if not all(compare.key for compare in txn.compare):
            raise InvalidArgument(EMPTY_KEY)
        for operation in (*txn.success, *txn.failure):
            if operation.HasField("request_put"):
                _check_form(operation.request_put)
            if operation.HasField("request_txn"):
                left.append((operation.request_txn, depth + 1))


def check_writes(operations: Sequence[rpc.RequestOp]) -> tuple[set[str], list[tuple[str, str | None]]]:
    """The keys put and the ranges deleted. Raises `InvalidArgument` if a key may be put twice, or put and deleted.

    As etcd does it, for whichever branch of the transactions within may be taken.
    """
    puts: set[str] = set()
    deletions = [
        range_of(operation.request_delete_range.key, operation.request_delete_range.range_end)
        for operation in operations
        if operation.HasField("request_delete_range")
    ]
    for operation in operations:
        if not operation.HasField("request_txn"):
            continue
        then_puts, then_deletions = check_writes(operation.request_txn.success)
        else_puts, else_deletions = check_writes(operation.request_txn.failure)
        _add_puts(puts, then_puts | else_puts, deletions)
        deletions += then_deletions + else_deletions
    for operation in operations:
        if operation.HasField("request_put"):
            _add_puts(puts, {key_of(operation.request_put.key)}, deletions)
    return puts, deletions


def _add_puts(puts: set[str], more: set[str], deletions: Sequence[tuple[str, str | None]]) -> None:
    for key in more:
        if key in puts or any(start <= key and (stop is None or key < stop) for start, stop in deletions):
            raise InvalidArgument("etcdserver: duplicate key given in txn request")
    puts |= more


@dataclass(frozen=True, slots=True)
class _Decided:
    """Which branch is taken, and which by the transactions within it, in their order."""

    succeeded: bool
    operations: Sequence[rpc.RequestOp]
    within: Sequence[_Decided]


def _decide(request: rpc.TxnRequest, draft: Draft) -> _Decided:
    """All comparisons, those of transactions within as well, are with what was before any of it is done."""
    succeeded = all(_holds(compare, draft) for compare in request.compare)
    operations = request.success if succeeded else request.failure
    for operation in operations:
        if operation.HasField("request_put"):
            _check_put(operation.request_put, draft)
    within = [_decide(operation.request_txn, draft) for operation in operations if operation.HasField("request_txn")]
    return _Decided(succeeded, operations, within)


def _carry_out(decided: _Decided, draft: Draft, memory: Memory) -> rpc.TxnResponse:
    response = rpc.TxnResponse(succeeded=decided.succeeded)
    within = iter(decided.within)
    for operation in decided.operations:
        done = rpc.ResponseOp()
        match operation.WhichOneof("request"):
            case "request_range":
                done.response_range.CopyFrom(_ranged_within(operation.request_range, draft, memory))
                done.response_range.header.revision = _revision(draft)
            case "request_put":
                done.response_put.CopyFrom(put(operation.request_put, draft))
                done.response_put.header.revision = _revision(draft)
            case "request_delete_range":
                done.response_delete_range.CopyFrom(delete_range(operation.request_delete_range, draft))
                done.response_delete_range.header.revision = _revision(draft)
            case "request_txn":
                done.response_txn.CopyFrom(_carry_out(next(within), draft, memory))
                done.response_txn.header.SetInParent()
            case _:
                raise InvalidArgument("etcdserver: an operation of the transaction is empty")
        response.responses.append(done)
    return response


def _ranged_within(request: rpc.RangeRequest, draft: Draft, memory: Memory) -> rpc.RangeResponse:
    if 0 < request.revision <= memory.revision:
        return ranged(request, memory)
    if request.revision > 0:
        raise FutureRevision(memory.revision)
    return _ranged(request, lambda start, stop, limit: draft.between(start, stop, limit=limit))


def _revision(draft: Draft) -> Revision:
    return draft.revision if draft.changes else draft.before


def _holds(compare: rpc.Compare, draft: Draft) -> bool:
    """Over a range, every key must do; where there is none, only a comparison with nothing can hold."""
    if compare.range_end:
        entries: Sequence[Entry] = draft.between(*range_of(compare.key, compare.range_end)).entries
        if entries:
            return all(_compares(compare, entry) for entry in entries)
        return _compares(compare, None)
    return _compares(compare, draft.get(key_of(compare.key)))


def _compares(compare: rpc.Compare, entry: Entry | None) -> bool:
    found: int | bytes
    wanted: int | bytes
    match compare.target:
        case rpc.Compare.VALUE:
            if entry is None:  # a key that is not there has no value, whatever it is compared with
                return False
            found, wanted = entry.value, compare.value
        case rpc.Compare.CREATE:
            found, wanted = entry.create_revision if entry else 0, compare.create_revision
        case rpc.Compare.MOD:
            found, wanted = entry.mod_revision if entry else 0, compare.mod_revision
        case rpc.Compare.VERSION:
            found, wanted = entry.version if entry else 0, compare.version
        case rpc.Compare.LEASE:
            found, wanted = entry.lease if entry else 0, compare.lease
        case _:
            raise InvalidArgument("etcdserver: a comparison of the transaction has no known target")
    match compare.result:
        case rpc.Compare.EQUAL:
            return found == wanted
        case rpc.Compare.NOT_EQUAL:
            return found != wanted
        case rpc.Compare.GREATER:
            return found > wanted  # type: ignore[operator]  # both of one kind
        case rpc.Compare.LESS:
            return found < wanted  # type: ignore[operator]
        case _:
            raise InvalidArgument("etcdserver: a comparison of the transaction is of no known kind")
