"""Reading no more of a body than is wanted."""

import aiohttp


async def read_most(response: aiohttp.ClientResponse, most: int) -> bytes | None:
    """Return the body, None if it has more than `most` bytes."""
    parts = bytearray()
    async for part in response.content.iter_any():
        parts += part
        if len(parts) > most:
            return None
    return bytes(parts)
