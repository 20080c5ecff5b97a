"""gzip for large answers, as upstream's APIResponseCompression: resources and documents over 128 KiB, never watches.

The work is done in a thread (it lets go of the interpreter), at a quick level: a list of pods becomes a fifth. ISA-L takes a
fifth of zlib's time and makes less of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Protocol

from pybernetes.machinery.http.messages import Response

THRESHOLD_BYTES = 128 * 1024
_LEVEL = 1
_GZIP = 31  # zlib's window bits for a gzip header


def accepted(accept_encoding: str) -> bool:
    """Whether a client takes gzip."""
    for text in accept_encoding.split(","):
        coding, _, parameter = text.partition(";")
        if coding.strip() == "gzip":
            return parameter.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


def _compressor() -> _Compressor:
    from isal import isal_zlib  # loaded by those who are asked for gzip

    return isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP)


async def compress(response: Response) -> None:
    """Compress the body in place, if it is large or has no known size."""
    body = response.body
    # What a server behind us has encoded, or has announced the size of, goes out as it came.
    if any(name.lower() in ("content-encoding", "content-length") for name in response.headers):
        return
    if isinstance(body, bytes):
        if len(body) <= THRESHOLD_BYTES:
            return
        compressor = _compressor()
        response.body = await asyncio.to_thread(lambda: compressor.compress(body) + compressor.flush())
    else:
        response.body = _compressed(body)
    response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"


async def _compressed(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    compressor = _compressor()
    try:
        async for chunk in chunks:
            if data := await asyncio.to_thread(compressor.compress, chunk):
                yield data
        yield compressor.flush()
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()
