from __future__ import annotations

import pytest

from pybernetes.apiserver.cors import allowing
from pybernetes.machinery.http.messages import Request, Response


async def answer(request: Request) -> Response:
    return Response(200, {"X-Own": "1"}, request.method.encode())


async def ask(method: str, origin: str = "", patterns: tuple[str, ...] = (r"//.*\.example\.com$", r"^null$")) -> Response:
    headers = {"origin": origin} if origin else {}
    return await allowing(patterns, answer)(Request(method, "/", "", headers))


async def test_answers_to_an_allowed_origin_say_so() -> None:
    for origin in ("https://a.example.com", "null"):
        response = await ask("GET", origin)
        assert response.body == b"GET"
        assert response.headers["Access-Control-Allow-Origin"] == origin
        assert response.headers["X-Own"] == "1"


async def test_a_browser_that_asks_first_is_answered_before_anything_else() -> None:
    response = await ask("OPTIONS", "https://a.example.com")
    assert (response.status, response.body) == (204, b"")
    assert "PATCH" in response.headers["Access-Control-Allow-Methods"]


@pytest.mark.parametrize("origin", ["", "https://example.org", "https://a.example.com.evil.example"])
async def test_others_are_served_without_a_word_about_origins(origin: str) -> None:
    for method in ("GET", "OPTIONS"):
        response = await ask(method, origin)
        assert (response.status, response.headers) == (200, {"X-Own": "1"})


def test_without_patterns_nothing_is_in_the_way() -> None:
    assert allowing((), answer) is answer


def test_a_pattern_that_is_none_is_an_error_that_names_the_flag() -> None:
    with pytest.raises(ValueError, match=r"^--cors-allowed-origins has an invalid regular expression"):
        allowing(("(",), answer)
