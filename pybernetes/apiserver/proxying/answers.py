"""What a proxied pod or Service answers, as its client must see it: links that name the backend's root lead through the proxy.

A page knows itself as `/`, its reader knows it as `/api/v1/namespaces/…/proxy/`. Redirects and the links of HTML are prefixed,
where they mean the same host and an absolute path; relative ones work as they are. The backend's rules for cross-origin
requests are dropped: the origin that a browser sees is the API server's.

Source: concepts, "Proxies in Kubernetes"; tasks, "Access Services Running on Clusters". Pure, but for reading the body.
"""

from __future__ import annotations

import html
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from itertools import accumulate
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from pybernetes.machinery.http.messages import Response

HTML_BYTES_MAX: Final = 8 * 1024 * 1024  # a page larger than this is passed on as it is
CROSS_ORIGIN: Final = frozenset(f"access-control-allow-{what}" for what in ("credentials", "headers", "methods", "origin"))
# Attributes that hold URLs, by element (HTML 4, index of attributes; HTML, index of attributes).
_URLS: Final = {
    "a": ("href",), "applet": ("codebase",), "area": ("href",), "audio": ("src",), "base": ("href",), "blockquote": ("cite",),
    "body": ("background",), "button": ("formaction",), "command": ("icon",), "del": ("cite",), "embed": ("src",),
    "form": ("action",), "frame": ("longdesc", "src"), "head": ("profile",), "html": ("manifest",),
    "iframe": ("longdesc", "src"), "img": ("longdesc", "src", "usemap"), "input": ("src", "usemap", "formaction"),
    "ins": ("cite",), "link": ("href",), "object": ("classid", "codebase", "data", "usemap"), "q": ("cite",),
    "script": ("src",), "source": ("src",), "video": ("poster", "src"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class View:
    """Both ways to see a proxied server."""

    prefix: str  # the path of the proxy, without a slash at its end
    backend: str  # host[:port] that we connect to
    host: str  # the Host header of the client

    def rewritten(self, url: str) -> str:
        """A URL of the backend's as the client may use it."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return url
        if parts.netloc not in ("", self.backend, self.host) or not parts.path.startswith("/"):
            return url
        if parts.netloc != self.host or not parts.netloc:
            parts = parts._replace(scheme="", netloc="")
        if not parts.path.startswith(self.prefix):
            parts = parts._replace(path=self.prefix + parts.path)
        return urlunsplit(parts)


async def presented(response: Response, view: View) -> Response:
    """`response` (its header names in lower case) as the client is to have it."""
    headers = {name: value for name, value in response.headers.items() if name not in CROSS_ORIGIN}
    if location := headers.get("location"):
        headers["location"] = view.rewritten(location)
    elif headers.get("content-type", "").partition(";")[0].strip() == "text/html":
        return await _presented_page(Response(response.status, headers, response.body), view)
    return Response(response.status, headers, response.body)


async def _presented_page(response: Response, view: View) -> Response:
    encoding = response.headers.get("content-encoding", "")
    if encoding not in ("", "gzip"):
        return response
    stream = _chunks(response.body)
    page = bytearray()
    async for chunk in stream:
        page += chunk
        if len(page) > HTML_BYTES_MAX:
            return Response(response.status, response.headers, _prepended(bytes(page), stream))
    try:
        plain = _unzipped(bytes(page)) if encoding else bytes(page)
    except ValueError:
        return Response(response.status, response.headers, bytes(page))
    body = rewrite_links(plain, view.rewritten)
    headers = {name: value for name, value in response.headers.items() if name != "content-length"}
    return Response(response.status, headers, _zipped(body) if encoding else body)


async def _chunks(body: bytes | AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if isinstance(body, bytes):
        yield body
        return
    try:
        async for chunk in body:
            yield chunk
    finally:
        if hasattr(body, "aclose"):
            await body.aclose()


async def _prepended(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk


def _unzipped(data: bytes) -> bytes:
    """Raises ValueError for what is no gzip, or is larger than a page may be."""
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        plain = inflater.decompress(data, HTML_BYTES_MAX)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not inflater.eof:
        raise ValueError("cut off, or too large")
    return plain


def _zipped(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    return deflater.compress(data) + deflater.flush()


def rewrite_links(page: bytes, rewrite: Callable[[str], str]) -> bytes:
    """`page` with the URLs in its elements' attributes changed; every other byte stays."""
    text = page.decode("utf-8", "surrogateescape")
    parts, end = [], 0
    for start, tag, replacement in _changed_tags(text, rewrite):
        parts += [text[end:start], replacement]
        end = start + len(tag)
    parts.append(text[end:])
    return "".join(parts).encode("utf-8", "surrogateescape")


def _changed_tags(text: str, rewrite: Callable[[str], str]) -> Iterator[tuple[int, str, str]]:
    """(offset, start tag as written, what to write instead)."""
    parser = _StartTags()
    parser.feed(text)
    parser.close()
    lines = [0, *accumulate(len(line) + 1 for line in text.split("\n"))]
    for (line, column), tag, name, attributes in parser.found:
        urls = _URLS[name]
        changed = [(key, rewrite(value) if key in urls and value else value) for key, value in attributes]
        if changed != attributes:
            inner = "".join(f" {key}" if value is None else f' {key}="{html.escape(value)}"' for key, value in changed)
            yield lines[line - 1] + column, tag, f"<{name}{inner}{'/' if tag.endswith('/>') else ''}>"


class _StartTags(HTMLParser):
    """Finds the start tags that may hold URLs; scripts and comments are not looked into."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.found: list[tuple[tuple[int, int], str, str, list[tuple[str, str | None]]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _URLS:
            self.found.append((self.getpos(), self.get_starttag_text() or "", tag, attrs))
