"""Ways to break a worker process on purpose, so that what should find it can be seen to."""

from typing import Any

from worker.providers import OpenAIProvider


def blind() -> None:
    """Never find an answer on a thread."""
    look = OpenAIProvider.look

    async def look_in_vain(self: OpenAIProvider, *args: Any, **kwargs: Any) -> None:
        await look(self, *args, **kwargs)

    OpenAIProvider.look = look_in_vain  # type: ignore[method-assign]  # in a process of its own
