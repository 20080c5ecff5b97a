"""An HTTP/1.1 connection without a socket: heads that a client sends again and again are read as if each were the first."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybernetes.machinery.http import http1
from pybernetes.machinery.http.connections import BODY_LIMIT_BYTES, Outbox
from pybernetes.machinery.http.messages import Request, Response


class Owner:
    body_limit = BODY_LIMIT_BYTES
    streams_max = 1
    stopping = False

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.outbox = Outbox(asyncio.get_running_loop())

    async def handler(self, request: Request) -> Response:
        self.asked.append(request)
        repeated = int(request.query) if request.query.isdigit() else 1
        return Response(200, {"Content-Type": "text/plain"}, request.path.encode() * repeated)

    def date(self) -> str:
        return "now"

    def monotonic(self) -> float:
        return 0.0

    def added(self, connection: Any) -> None: ...
    def removed(self, connection: Any) -> None: ...


class Peer:
    """The client, and the transport between."""

    def __init__(self) -> None:
        self.owner = Owner()
        self.connection = http1.Http1Connection(self.owner, asyncio.get_running_loop())
        self.sent = b""
        self.closed = False
        self.connection.connection_made(self)  # type: ignore[arg-type]

    def get_extra_info(self, name: str) -> Any:
        return None

    def write(self, data: bytes) -> None:
        self.sent += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...

    async def say(self, *pieces: bytes) -> list[Request]:
        for piece in pieces:
            self.connection.data_received(piece)
            for _ in range(4):
                await asyncio.sleep(0)
        return self.owner.asked

    async def leave(self) -> None:
        self.closed = True
        self.connection.connection_lost(None)
        assert self.connection.task is not None
        await self.connection.task


def head(target: str, *fields: str, method: str = "GET", version: str = "1.1") -> bytes:
    return "\r\n".join((f"{method} {target} HTTP/{version}", "Host: here", *fields, "", "")).encode()


def shown(request: Request) -> tuple[object, ...]:
    return request.method, request.path, request.query, dict(request.headers), request.body


FIELDS = st.sampled_from(
    (
        (),
        ("Accept: application/json",),
        ("Accept: a", "Accept: b"),
        ("Impersonate-User: somebody",),
        ("Content-Length: 0",),
        ("Connection: close",),
    )
)
TARGETS = st.sampled_from(
    (
        "/",
        "/api/v1/pods?limit=5&x=%2F",
        "/a%20b",
        "//two",
        "/a?b?c",
        "http://there/x",
        "*",
        "/#part",
        "/\xff",
        "/with space",
        "",
    )
)
HEADS = st.builds(
    lambda target, fields, method, version: head(target, *fields, method=method, version=version),
    TARGETS,
    FIELDS,
    st.sampled_from(("GET", "GET", "HEAD", "POST")),
    st.sampled_from(("1.1", "1.1", "1.0", "2.0")),
)


@settings(deadline=None)
@given(st.lists(HEADS, min_size=2, max_size=6), st.booleans())
def test_a_head_means_the_same_whatever_came_before_and_in_however_many_pieces(
    heads: list[bytes], is_first_twice: bool
) -> None:
    if is_first_twice:
        heads = [heads[0], *heads]

    async def compare() -> None:
        at_once, by_pieces = Peer(), Peer()
        await at_once.say(*heads)
        for each in heads:
            await by_pieces.say(each[:7], each[7:])
        assert [shown(request) for request in at_once.owner.asked] == [shown(request) for request in by_pieces.owner.asked]
        assert at_once.sent == by_pieces.sent
        assert at_once.closed == by_pieces.closed
        await at_once.leave()
        await by_pieces.leave()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http1, "LINGER_S", 0.0)
        asyncio.run(compare())


AGAIN = ("Authorization: Bearer x", "Accept: application/json")


async def test_requests_that_carry_the_same_fields_share_a_memo() -> None:
    peer = Peer()
    bodies = [head("/c", *AGAIN, f"Content-Length: {size}", method="POST") + b"x" * size for size in (1, 2)]
    asked = await peer.say(head("/a", *AGAIN), head("/b", *AGAIN), *bodies)
    assert [request.path for request in asked] == ["/a", "/b", "/c", "/c"]
    assert len({id(request.memo) for request in asked}) == 1
    assert asked[0].memo is not None
    await peer.leave()


@pytest.mark.parametrize(
    "other",
    [
        ("Authorization: Bearer y", "Accept: application/json"),
        ("Authorization: Bearer x",),
        (*AGAIN, "Impersonate-User: somebody"),
        (*AGAIN, "Accept: text/plain"),
    ],
)
async def test_what_was_kept_of_other_fields_is_forgotten(other: tuple[str, ...]) -> None:
    peer = Peer()
    asked = await peer.say(head("/a", *AGAIN), head("/b", *other), head("/c", *AGAIN))
    assert asked[1].memo is not asked[0].memo
    assert asked[1].headers != asked[0].headers == asked[2].headers
    await peer.leave()


async def test_fields_on_several_lines_are_nobodys_habit() -> None:
    peer = Peer()
    (request,) = await peer.say(head("/", "Impersonate-Group: a", "Impersonate-Group: b"))
    assert request.memo is None
    await peer.leave()


async def test_answers_of_one_turn_leave_in_the_order_of_their_requests_whatever_their_size() -> None:
    peer = Peer()
    sizes = (1, http1.SMALL_BYTES, 1, http1.PIECE_BYTES, 1)
    await peer.say(b"".join(head(f"/{number}?{size}") for number, size in enumerate(sizes)))
    for _ in range(20):
        await asyncio.sleep(0)
    bodies = peer.sent.split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert [body.partition(b"\r\n\r\n")[2] for body in bodies] == [f"/{i}".encode() * size for i, size in enumerate(sizes)]
    await peer.leave()


async def test_what_is_answered_is_sent_before_the_connection_closes() -> None:
    peer = Peer()
    await peer.say(head("/a", "Connection: close"))
    assert peer.sent.endswith(b"/a")
    assert peer.closed


async def test_two_requests_in_one_piece_are_two() -> None:
    peer = Peer()
    asked = await peer.say(head("/a", *AGAIN), head("/b", *AGAIN) + head("/c", *AGAIN), head("/d", *AGAIN))
    assert [request.path for request in asked] == ["/a", "/b", "/c", "/d"]
    await peer.leave()
