"""Embeddings: what a text means, as numbers. Not asked for by any task, but for what is remembered."""

from collections.abc import Sequence
from datetime import timedelta
from math import isfinite
from typing import Annotated, Final

from pydantic import Field

from worker.errors import ModelDown
from worker.providers.client import Client
from worker.providers.failures import Call
from worker.providers.wire import Wire

LIMIT: Final = timedelta(seconds=10)
MOST_NUMBERS: Final = 16_000
"""Of one text: pgvector keeps no more."""


class Embedding(Wire):
    """That of one text."""

    index: int
    embedding: Annotated[list[float], Field(min_length=1, max_length=MOST_NUMBERS)]


class Embedded(Wire):
    """Those of all texts, in any order."""

    data: list[Embedding]


class Embeddings:
    """Implements `ports.memory.Embedder`."""

    def __init__(self, client: Client, model: str) -> None:
        self._client = client
        self.model = model
        self.provider = client.spec.name

    async def embed(self, texts: Sequence[str]) -> list[Sequence[float]]:
        """See `ports.memory.Embedder.embed`."""
        call = Call("embeddings.create", LIMIT, model=self.model)
        # As numbers: the SDK's own way is base64, which not every server speaks.
        body = {"model": self.model, "input": list(texts), "encoding_format": "float"}
        reply = await self._client.request(call, Embedded, "POST", "/embeddings", body)
        found = {each.index: each.embedding for each in reply.data}
        vectors: list[Sequence[float]] = [found.get(number, []) for number in range(len(texts))]
        if len({len(each) for each in vectors}) != 1 or not all(each and all(map(isfinite, each)) for each in vectors):
            raise ModelDown(f"{call.name}: the reply has not the same count of numbers for each text")
        return vectors
