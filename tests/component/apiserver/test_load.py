"""A server under load, and requests that take too long or too much."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from typing import Any

import pytest

from pybernetes.apiserver.flow_control import gate
from pybernetes.machinery.http.messages import Request, Response

MAPS = "/api/v1/namespaces/default/configmaps"


async def as_nobody(server: Any, target: str) -> Response:
    path, _, query = target.partition("?")
    response: Response = await server.api.handle(Request("GET", path, query, {"authorization": "Bearer nobody"}))
    return response


async def test_a_flooding_client_does_not_keep_the_others_from_being_served(server: Any) -> None:
    answered = 0

    async def flood() -> None:
        nonlocal answered
        while True:
            assert (await as_nobody(server, MAPS)).status in (403, 429)
            answered += 1
            await asyncio.sleep(0)

    flooders = [asyncio.create_task(flood()) for _ in range(1000)]
    try:
        await asyncio.sleep(0.3)
        delays = []
        for number in range(20):
            started = time.monotonic()
            assert (await server.send("POST", MAPS, {"metadata": {"name": f"m{number}"}})).status == 201
            delays.append(time.monotonic() - started)
    finally:
        for task in flooders:
            task.cancel()
        await asyncio.gather(*flooders, return_exceptions=True)
    assert answered > 100
    assert sorted(delays)[10] < 0.1, delays  # a thousand answers take longer than this


async def test_who_finds_no_place_is_told_to_come_back(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "WAITING_BYTES", -1)
    answers = await asyncio.gather(*(as_nobody(server, MAPS) for _ in range(60)))
    refused = [answer for answer in answers if answer.status == 429]
    assert len(refused) == 60 - gate.TURN_STARTS
    assert refused[0].headers["Retry-After"] == "1"
    assert refused[0].body == b"Too many requests, please try again later.\n"
    assert (await server.send("GET", MAPS)).status == 200  # system:masters are exempt


async def test_a_request_ends_after_the_time_it_asks_for(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never() -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(server.api.image, "current", never)
    status = await server.ask("GET", f"{MAPS}?timeout=50ms")
    assert (status["code"], status["reason"]) == (504, "Timeout")
    assert status["message"] == "request did not complete within the allotted timeout"
    status = await server.ask("GET", f"{MAPS}?timeout=soon")
    assert status["code"] == 400
    assert status["message"] == 'invalid timeout specified in the request URL - time: invalid duration "soon"'


async def test_a_request_ends_after_the_servers_limit(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never() -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(server.api.image, "current", never)
    monkeypatch.setattr(server.api._deadlines, "limit_s", 0.1)
    async with asyncio.timeout(5):
        status = await server.ask("GET", MAPS)
    assert status["code"] == 504
    task = asyncio.current_task()
    assert task is not None and not task.cancelling()


async def test_large_answers_are_compressed_for_who_takes_it(server: Any) -> None:
    for number in range(3):
        await server.ask("POST", MAPS, {"metadata": {"name": f"m{number}"}, "data": {"k": "v" * 60_000}})
    plain = await server.send("GET", MAPS)
    packed = await server.send("GET", MAPS, accept_encoding="gzip, deflate")
    assert (packed.headers["Content-Encoding"], packed.headers["Vary"]) == ("gzip", "Accept-Encoding")
    assert len(packed.body) < len(plain.body) / 10 and gzip.decompress(packed.body) == plain.body
    assert "Content-Encoding" not in plain.headers
    assert "Content-Encoding" not in (await server.send("GET", f"{MAPS}/m1", accept_encoding="gzip")).headers
    refused = await server.send("GET", MAPS, accept_encoding="gzip;q=0")
    assert "Content-Encoding" not in refused.headers
    watch = await server.send("GET", f"{MAPS}?watch=1", accept_encoding="gzip")
    assert "Content-Encoding" not in watch.headers
    await watch.body.aclose()


async def test_streamed_lists_are_compressed_as_they_go(server: Any) -> None:
    for number in range(450):
        await server.ask("POST", MAPS, {"metadata": {"name": f"m{number}"}})
    packed = await server.send("GET", MAPS, accept_encoding="gzip")
    body = b"".join([chunk async for chunk in packed.body])
    assert len(json.loads(gzip.decompress(body))["items"]) == 450
