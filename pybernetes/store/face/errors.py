"""Refusals, with etcd's codes and sentences: clients tell them apart by the text."""

from __future__ import annotations

from pybernetes.store.embedded.draft import WrittenTwice
from pybernetes.store.interface import Compacted, FutureRevision, LeaseExists, LeaseNotFound, StoreError

COMPACTED = "etcdserver: mvcc: required revision has been compacted"


class Refusal(Exception):
    """`code` is the name of a gRPC status."""

    code = "UNKNOWN"


class InvalidArgument(Refusal):
    code = "INVALID_ARGUMENT"


class OutOfRange(Refusal):
    code = "OUT_OF_RANGE"


class NotFound(Refusal):
    code = "NOT_FOUND"


class FailedPrecondition(Refusal):
    code = "FAILED_PRECONDITION"


class Unimplemented(Refusal):
    code = "UNIMPLEMENTED"


class Unavailable(Refusal):
    code = "UNAVAILABLE"


def refusal(error: StoreError) -> Refusal:
    """What etcd says in its place."""
    match error:
        case Compacted():
            return OutOfRange(COMPACTED)
        case FutureRevision():
            return OutOfRange("etcdserver: mvcc: required revision is a future revision")
        case LeaseNotFound():
            return NotFound("etcdserver: requested lease not found")
        case LeaseExists():
            return FailedPrecondition("etcdserver: lease already exists")
        case WrittenTwice():
            return InvalidArgument("etcdserver: duplicate key given in txn request")
        case _:
            return Unavailable(f"etcdserver: {error}")
