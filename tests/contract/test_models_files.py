"""Files and vector stores over the scripted server: made, found again and deleted."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai import AsyncOpenAI

from tests.contract.questions import KEY
from worker.demo.model import ModelServer
from worker.domain.file_stores import Indexing
from worker.domain.providers import ProviderSpec
from worker.errors import BadRequest, FilesGone, ModelDown, ModelUnknown, ProviderPaused, TurnedAway
from worker.providers import Client, OpenAIFiles

HANDBOOK = b"A fast charger\r\n--costs nine.\r\n\x00\xff"


@pytest.fixture
async def files(server: ModelServer) -> AsyncIterator[OpenAIFiles]:
    async with Client.open(ProviderSpec(key=KEY, base_url=server.base_url)) as client:
        yield OpenAIFiles(client, "default")


@pytest.fixture
def openai(openai: AsyncOpenAI) -> AsyncOpenAI:
    openai.api_key = KEY
    return openai


async def test_ours_does_the_same_and_openais_client_sees_it(
    files: OpenAIFiles, openai: AsyncOpenAI, server: ModelServer
) -> None:
    file = await files.upload("ab.txt", HANDBOOK)
    store = await files.create("handbook", "mark-1", "digest")
    assert await files.put(store, file)
    assert await files.status(store, file) == Indexing("completed")

    seen = await openai.files.retrieve(file)
    assert (seen.filename, seen.bytes, seen.purpose) == ("ab.txt", len(HANDBOOK), "assistants")
    kept = await openai.vector_stores.retrieve(store)
    assert kept.name == "handbook"
    assert kept.metadata == {
        "made_by": "assistant-worker",
        "engine": "default",
        "digest": "digest",
        "mark": "mark-1",
    }
    assert await files.marked("mark-1") == [store]
    assert await files.uploads("ab.txt") == [file]
    assert await files.bears(store, "mark-1")
    assert not await files.bears(store, "mark-2")

    await files.take_out(store, file)
    await files.take_out(store, file)
    assert await files.status(store, file) is None
    assert [await files.delete(store), await files.delete(store)] == [True, False]
    assert [await files.delete_upload(file), await files.delete_upload(file)] == [True, False]
    assert server.files() == {"files": {}, "stores": {}}


async def test_it_is_found_again_among_many_and_nothing_of_others_is(files: OpenAIFiles, openai: AsyncOpenAI) -> None:
    ours = await files.create("a", "mark-1", "digest")
    for number in range(101):
        await openai.vector_stores.create(name="a", metadata={"mark": "mark-1"} if number % 2 else {})
    assert await files.marked("mark-1") == [ours]
    mine = await files.upload("mine.txt", b"x")
    for _ in range(101):
        await openai.files.create(file=("other.txt", b"x"), purpose="assistants")
    assert await files.uploads("mine.txt") == [mine]


async def test_which_of_two_things_is_gone_is_told_apart(files: OpenAIFiles) -> None:
    file, store = await files.upload("a.txt", b"x"), await files.create("a", "m", "d")
    assert not await files.put(store, "file_none")
    assert await files.status(store, file) is None
    for asked in (files.put("vs_none", file), files.status("vs_none", file)):
        with pytest.raises(FilesGone):
            await asked
    assert not await files.bears("vs_none", "m")


async def test_how_a_file_stands_is_told_while_it_is_indexed_and_why_it_fails(
    files: OpenAIFiles, server: ModelServer
) -> None:
    file, store = await files.upload("a.xlsx", b"x"), await files.create("a", "m", "d")
    server.fault("vector_stores.files.create", index={"looks": 2, "error": "unsupported_file"})
    await files.put(store, file)
    assert await files.status(store, file) == Indexing("in_progress")
    assert await files.status(store, file) == Indexing("failed", "unsupported_file")


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ("unauthorized", ProviderPaused),
        ("rate_limit", ModelDown),
        ("server_error", ModelUnknown),
        ({"status": 400, "message": "Invalid extension xyz."}, BadRequest),
        ({"status": 403, "message": "You have insufficient permissions."}, TurnedAway),
        ({"status": 200, "json": {"object": "file"}}, ModelUnknown),
    ],
    ids=str,
)
async def test_an_upload_that_is_refused_says_what_it_is(
    files: OpenAIFiles, server: ModelServer, reply: Any, error: type[Exception]
) -> None:
    server.fault("files.create", reply=reply)
    with pytest.raises(error):
        await files.upload("a.txt", b"x")


async def test_another_accounts_are_not_there(server: ModelServer, files: OpenAIFiles) -> None:
    store, file = await files.create("a", "m", "d"), await files.upload("a.txt", b"x")
    server.accounts[KEY] = "another"
    assert not await files.bears(store, "m")
    assert [await files.delete(store), await files.delete_upload(file)] == [False, False]
    assert await files.marked("m") == await files.uploads("a.txt") == []
    assert server.files()["stores"].keys() == {store}
