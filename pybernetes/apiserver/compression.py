"""gzip for large answers, as upstream's APIResponseCompression: resources and documents over 128 KiB, never watches.

The work is done in a thread (zlib lets go of the interpreter), at the quickest level: a list of pods becomes a tenth.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, AsyncIterator

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


async def compress(response: Response) -> None:
    """Compress the body in place, if it is large or has no known size."""
    body = response.body
    # What a server behind us has encoded, or has announced the size of, goes out as it came.
    if any(name.lower() in ("content-encoding", "content-length") for name in response.headers):
        return
    if isinstance(body, bytes):
        if len(body) <= THRESHOLD_BYTES:
            return
        compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        response.body = await asyncio.to_thread(lambda: compressor.compress(body) + compressor.flush())
    else:
        response.body = _compressed(body)
    response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"


async def _compressed(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    try:
        async for chunk in chunks:
            if data := await asyncio.to_thread(compressor.compress, chunk):
                yield data
        yield compressor.flush()
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()
