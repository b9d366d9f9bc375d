"""Reading no more of a body than is wanted."""

from collections.abc import AsyncIterable


async def read_most(parts: AsyncIterable[bytes], most: int) -> bytes | None:
    """Return the body that comes in these parts, None if it has more than `most` bytes."""
    body = bytearray()
    async for part in parts:
        body += part
        if len(body) > most:
            return None
    return bytes(body)
