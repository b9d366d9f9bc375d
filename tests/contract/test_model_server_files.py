"""Files and vector stores of the scripted server, by OpenAI's own client."""

import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError

from tests.contract.questions import KEY

HANDBOOK = b"A fast charger\r\n--costs nine.\r\n\x00\xff"


@pytest.fixture
def openai(openai: AsyncOpenAI) -> AsyncOpenAI:
    openai.api_key = KEY
    return openai


async def test_openais_own_client_uploads_indexes_searches_and_deletes(openai: AsyncOpenAI) -> None:
    file = await openai.files.create(file=('né "1".txt', HANDBOOK), purpose="assistants")
    assert (file.filename, file.bytes) == ('né "1".txt', len(HANDBOOK))
    store = await openai.vector_stores.create(name="a", metadata={"k": "v"})
    put = await openai.vector_stores.files.create_and_poll(
        file_id=file.id, vector_store_id=store.id, poll_interval_ms=1
    )
    assert put.status == "completed"
    found = await openai.vector_stores.retrieve(store.id)
    assert (found.metadata, found.file_counts.completed, found.status) == ({"k": "v"}, 1, "completed")

    answer = await openai.responses.create(
        model="gpt-4.1",
        input="What does a charger cost?",
        tools=[{"type": "file_search", "vector_store_ids": [store.id]}],
    )
    searched, said = answer.output
    assert searched.type == "file_search_call"
    assert said.type == "message"
    assert said.content[0].type == "output_text"
    [citation] = said.content[0].annotations
    assert citation.type == "file_citation"
    assert (citation.file_id, citation.filename) == (file.id, file.filename)

    assert (await openai.vector_stores.delete(store.id)).deleted
    assert [each.id async for each in openai.files.list()] == [file.id]
    assert (await openai.files.delete(file.id)).deleted
    for gone in (openai.files.retrieve(file.id), openai.vector_stores.retrieve(store.id)):
        with pytest.raises(NotFoundError):
            await gone


async def test_lists_are_told_page_by_page(openai: AsyncOpenAI) -> None:
    made = [(await openai.vector_stores.create(name=str(number))).id for number in range(5)]
    assert [each.id async for each in openai.vector_stores.list(limit=2)] == made[::-1]


async def test_what_openai_would_refuse_is_refused(openai: AsyncOpenAI) -> None:
    with pytest.raises(BadRequestError):
        await openai.files.create(file=("a.txt", b""), purpose="assistants")
    store = await openai.vector_stores.create()
    with pytest.raises(NotFoundError, match="No such File object"):
        await openai.vector_stores.files.create(store.id, file_id="file_none")
    with pytest.raises(NotFoundError, match="not found"):
        await openai.responses.create(
            model="gpt-4.1", input="x", tools=[{"type": "file_search", "vector_store_ids": ["vs_none"]}]
        )
