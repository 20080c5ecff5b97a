"""Bodies of answers that tell when they have ended."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable


class Followed:
    """A stream that calls `ended` once, with the bytes that were sent, whoever ends it."""

    __slots__ = ("_body", "_ended", "_size")

    def __init__(self, body: AsyncIterator[bytes], ended: Callable[[int], None]) -> None:
        self._body = body
        self._ended: Callable[[int], None] | None = ended
        self._size = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await anext(self._body)
        except BaseException:
            self._end()
            raise
        self._size += len(chunk)
        return chunk

    async def aclose(self) -> None:
        self._end()
        close = getattr(self._body, "aclose", None)
        if close is not None:
            await close()

    def _end(self) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(self._size)
