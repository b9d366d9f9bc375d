"""Bounds on what a provider sends: who answers behind an address may be anybody, or broken."""

from collections.abc import AsyncIterator
from typing import Final

import httpx2

MOST_BYTES: Final = 32 * 1024 * 1024
"""Of one reply: some hundred times the longest answer that a model gives, and enough for a page of long items."""
PLAIN: Final = {"Accept-Encoding": "identity"}
"""Of a compressed reply nobody knows how long it is before it has been unpacked, and then it may be too late."""


async def bounded(response: httpx2.Response) -> None:
    """Have a reply end with an error where it is too long, and right away where it is compressed all the same.

    A hook of the client's, before the body is read. Raises httpx2.DecodingError.
    """
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding not in {"", "identity"}:
        raise httpx2.DecodingError("the reply is compressed, which was not asked for", request=response.request)
    if isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _Bounded(response.stream, response.request)


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, request: httpx2.Request) -> None:
        self._stream = stream
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = MOST_BYTES
        async for chunk in self._stream:
            left -= len(chunk)
            if left < 0:
                raise httpx2.DecodingError(f"the reply has more than {MOST_BYTES} bytes", request=self._request)
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
