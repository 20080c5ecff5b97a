"""Links of a proxied page, as its reader may follow them."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator

import pytest

from pybernetes.apiserver.proxying import answers
from pybernetes.apiserver.proxying.answers import View, presented, rewrite_links
from pybernetes.machinery.http.messages import Response

PREFIX = "/api/v1/namespaces/n/services/s/proxy"
VIEW = View(PREFIX, "10.0.0.1:8080", "api.example:6443")
HTML = {"content-type": "text/html; charset=utf-8", "content-length": "1"}


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("/", f"{PREFIX}/"),
        ("/a/b/?c=d#e", f"{PREFIX}/a/b/?c=d#e"),
        ("http://10.0.0.1:8080/a", f"{PREFIX}/a"),
        ("https://api.example:6443/a", f"https://api.example:6443{PREFIX}/a"),  # it took our name from the Host header
        (f"{PREFIX}/a", f"{PREFIX}/a"),
        ("a/b", "a/b"),
        ("../a", "../a"),
        ("#here", "#here"),
        ("?q=1", "?q=1"),
        ("mailto:somebody@example", "mailto:somebody@example"),
        ("http://elsewhere.example/a", "http://elsewhere.example/a"),
        ("//elsewhere.example/a", "//elsewhere.example/a"),
        ("http://[broken/a", "http://[broken/a"),
    ],
)
def test_a_url_leads_through_the_proxy_if_it_is_of_the_same_host_and_absolute(url: str, seen: str) -> None:
    assert VIEW.rewritten(url) == seen


@pytest.mark.parametrize(
    ("page", "seen"),
    [
        ('<a href="/x">', '<a href="/P/x">'),
        ("<A HREF=/x>", '<a href="/P/x">'),
        ("<a\n  href='/x'\n  class=c>é</a>\n<b>", '<a href="/P/x" class="c">é</a>\n<b>'),
        ('<img src="/i.png" usemap="/m" alt>', '<img src="/P/i.png" usemap="/P/m" alt>'),
        ('<link href="/s.css"/>', '<link href="/P/s.css"/>'),
        ('<a href="/x?a=1&amp;b=&eacute;">', '<a href="/P/x?a=1&amp;b=é">'),
        ('<a href="x" title="/y">', '<a href="x" title="/y">'),
        ('<div href="/x">', '<div href="/x">'),
        ('<!-- <a href="/x"> -->', '<!-- <a href="/x"> -->'),
        ("<script>'<a href=\"/x\">'</script><a href='/x'>", "<script>'<a href=\"/x\">'</script><a href=\"/P/x\">"),
        ('<script src="/x.js"></script>', '<script src="/P/x.js"></script>'),
        ("a < b && c > d <", "a < b && c > d <"),
        ('<a href="/x', '<a href="/x'),
    ],
)  # fmt: skip
def test_links_are_rewritten_and_all_else_stays(page: str, seen: str) -> None:
    assert rewrite_links(page.encode(), lambda url: f"/P{url}" if url.startswith("/") else url).decode() == seen


def test_bytes_that_are_no_text_stay() -> None:
    assert rewrite_links(b'\xff<a href="/x">\xfe', lambda url: "y") == b'\xff<a href="y">\xfe'


async def test_a_packed_page_is_rewritten_too() -> None:
    packed = Response(200, {**HTML, "content-encoding": "gzip"}, gzip.compress(b'<a href="/x">'))
    answer = await presented(packed, VIEW)
    assert isinstance(answer.body, bytes)
    assert gzip.decompress(answer.body) == f'<a href="{PREFIX}/x">'.encode()
    assert "content-length" not in answer.headers


async def test_a_page_packed_otherwise_or_broken_is_passed_on() -> None:
    for encoding, body in (("br", b"???"), ("gzip", b"no gzip at all")):
        answer = await presented(Response(200, {**HTML, "content-encoding": encoding}, body), VIEW)
        assert answer.body == body


async def test_a_page_that_is_too_large_is_passed_on_in_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "HTML_BYTES_MAX", 10)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b'<a href="/x">'

    answer = await presented(Response(200, dict(HTML), chunks()), VIEW)
    assert not isinstance(answer.body, bytes)
    assert b"".join([chunk async for chunk in answer.body]) == 4 * b'<a href="/x">'


async def test_what_the_backend_allows_to_other_origins_is_not_for_ours() -> None:
    headers = {"access-control-allow-origin": "*", "access-control-allow-credentials": "true", "x-own": "kept"}
    assert (await presented(Response(200, headers, b""), VIEW)).headers == {"x-own": "kept"}
