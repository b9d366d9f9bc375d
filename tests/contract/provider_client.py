"""OpenAI's own client on the scripted model server, for the tests of the server itself."""

from typing import Any, Final

from openai import AsyncOpenAI, DefaultAioHttpClient
from openai.types.conversations import Message
from openai.types.responses import Response

MODEL: Final = "gpt-4.1"
"""One that puts no reasoning items on conversations."""


def client_of(base_url: str, key: str = "any") -> AsyncOpenAI:
    """A client that repeats nothing by itself."""
    return AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0, http_client=DefaultAioHttpClient())


async def ask(client: AsyncOpenAI, question: str, **options: Any) -> Response:
    """One response; some faults make the client return a str instead."""
    answer: Response = await client.responses.create(**{"model": MODEL, "input": question, **options})
    return answer


async def texts(client: AsyncOpenAI, conversation: str) -> list[str]:
    """The texts of a conversation's messages, oldest first."""
    page = await client.conversations.items.list(conversation, order="asc", limit=100)
    messages = [item for item in page.data if isinstance(item, Message)]
    return [part.text for item in messages for part in item.content if hasattr(part, "text")]
