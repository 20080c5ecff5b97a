"""Somebody else is asked once for a token, however many want to know."""

import asyncio

import pytest

from pybernetes.apiserver.attributes import User
from pybernetes.apiserver.authentication import token_cache
from pybernetes.apiserver.authentication.interface import Identity
from pybernetes.apiserver.authentication.token_cache import CachedTokens
from pybernetes.machinery.errors import Unauthorized


class Somebody:
    def __init__(self):
        self.asked = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def authenticate_token(self, token, audiences):
        self.asked.append((token, audiences))
        await self.may_answer.wait()
        if token == "wrong":
            raise Unauthorized("wrong")
        return Identity(User(token), audiences) if token != "unknown" else None


@pytest.fixture
def somebody():
    return Somebody()


@pytest.fixture
def cached(somebody, clock):
    return CachedTokens(somebody, clock=clock, success_ttl_s=10, failure_ttl_s=5)


async def test_answers_hold_for_their_time(cached, somebody, clock):
    for _ in range(3):
        assert (await cached.authenticate_token("jane", ())).user.name == "jane"
        assert await cached.authenticate_token("unknown", ()) is None
    assert len(somebody.asked) == 2
    clock.advance(6)
    await cached.authenticate_token("jane", ())
    await cached.authenticate_token("unknown", ())
    assert len(somebody.asked) == 3
    clock.advance(6)
    await cached.authenticate_token("jane", ())
    assert len(somebody.asked) == 4


async def test_each_set_of_audiences_is_a_question_of_its_own(cached, somebody):
    assert (await cached.authenticate_token("jane", ("a",))).audiences == ("a",)
    assert (await cached.authenticate_token("jane", ("b",))).audiences == ("b",)


async def test_a_wrong_token_is_asked_for_again(cached, somebody):
    for _ in range(2):
        with pytest.raises(Unauthorized, match="wrong"):
            await cached.authenticate_token("wrong", ())
    assert len(somebody.asked) == 2


async def test_those_who_ask_together_share_an_answer_even_if_the_first_goes_away(cached, somebody):
    somebody.may_answer.clear()
    first, second = (asyncio.create_task(cached.authenticate_token("jane", ())) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    somebody.may_answer.set()
    assert (await second).user.name == "jane"
    assert len(somebody.asked) == 1


async def test_what_was_not_asked_for_the_longest_is_forgotten(somebody, clock, monkeypatch):
    monkeypatch.setattr(token_cache, "ENTRIES_MAX", 2)
    cached = CachedTokens(somebody, clock=clock, success_ttl_s=10, failure_ttl_s=5)
    for token in ("a", "b", "a", "c", "a", "b"):
        await cached.authenticate_token(token, ())
    assert [token for token, _ in somebody.asked] == ["a", "b", "c", "b"]
