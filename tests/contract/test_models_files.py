"""Files and vector stores over the scripted server: made, found again and deleted."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from openai import AsyncOpenAI

from tests.contract.apis import Asking, asking
from tests.contract.questions import KEY, assistant, question
from worker.demo.model import ModelServer
from worker.domain.file_stores import Indexing
from worker.domain.providers import Api, ProviderSpec
from worker.domain.threads import Outcome
from worker.errors import BadRequest, FilesGone, ModelDown, ModelUnknown, ProviderPaused, TurnedAway
from worker.providers import Client, OpenAIFiles, OpenAIProvider
from worker.providers.wire import Response, answer_of

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


async def test_what_is_ours_by_its_metadata_is_found_with_what_is_in_it(
    files: OpenAIFiles, openai: AsyncOpenAI, server: ModelServer
) -> None:
    ours = await files.create("a", "m", "d")
    openai.api_key = KEY
    await openai.vector_stores.create(name="a", metadata={"made_by": "assistant-worker", "engine": "another"})
    await openai.vector_stores.create(name="a")
    inside = sorted([await files.upload(f"{number}.txt", b"x") for number in range(101)])
    for each in inside:
        await files.put(ours, each)
    assert await files.ours() == [ours]
    assert sorted(await files.contents(ours)) == inside
    assert await files.name_of(inside[0]) in {f"{number}.txt" for number in range(101)}
    assert await files.name_of("file_none") is None
    server.forget_store(ours)
    with pytest.raises(FilesGone):
        await files.contents(ours)


async def test_which_of_two_things_is_gone_is_told_apart(files: OpenAIFiles) -> None:
    file, store = await files.upload("a.txt", b"x"), await files.create("a", "m", "d")
    assert not await files.put(store, "file_none")
    assert await files.status(store, file) is None
    for asked in (files.put("vs_none", file), files.status("vs_none", file)):
        with pytest.raises(FilesGone):
            await asked
    assert not await files.bears("vs_none", "m")


async def test_a_store_that_is_gone_in_ogxs_words_is_gone_whatever_is_asked_of_it(
    files: OpenAIFiles, server: ModelServer
) -> None:
    file, store = await files.upload("a.txt", b"x"), await files.create("a", "m", "d")
    for operation in ("retrieve", "delete", "files.list", "files.retrieve", "files.create", "files.delete"):
        said = {"error": {"message": f"Vector_store '{store}' not found"}}
        server.fault(f"vector_stores.{operation}", reply={"status": 400, "json": said}, times=None)
    of_its_files = (files.put(store, file), files.status(store, file), files.take_out(store, file))
    for asked in (*of_its_files, files.contents(store)):
        with pytest.raises(FilesGone):
            await asked
    assert [await files.bears(store, "m"), await files.delete(store)] == [False, False]
    with pytest.raises(BadRequest):
        await files.delete("vs_2")


async def test_a_file_that_is_gone_and_taken_all_the_same_is_gone(files: OpenAIFiles, server: ModelServer) -> None:
    file, store = await files.upload("a.txt", b"x"), await files.create("a", "m", "d")
    failed = {"id": file, "status": "failed", "last_error": {"code": "server_error", "message": "not found"}}
    server.fault("vector_stores.files.create", reply={"status": 200, "json": failed}, times=None)
    assert not await files.put(store, "file_none")
    assert await files.put(store, file), "how it stands, and why, is told by the store"


@pytest.mark.parametrize("status", [400, 500])
async def test_whether_a_file_is_in_a_store_is_told_by_its_list_where_to_ask_for_it_fails(
    files: OpenAIFiles, server: ModelServer, status: int
) -> None:
    file, store = await files.upload("a.txt", b"x"), await files.create("a", "m", "d")
    server.fault("vector_stores.files.retrieve", reply={"status": status, "message": "File not found."}, times=None)
    assert await files.status(store, file) is None
    assert await files.put(store, file)
    with pytest.raises((BadRequest, ModelDown)):
        await files.status(store, file)
    with pytest.raises(FilesGone):
        await files.status("vs_none", file)


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
        ({"status": 401, "message": "Insufficient permissions. Missing scopes: api.files.write."}, TurnedAway),
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


@pytest.fixture(params=["conversations", "responses"])
async def searching(request: pytest.FixtureRequest, server: ModelServer, *, streamed: bool) -> AsyncIterator[Asking]:
    """Turns over each API that has the tool."""
    api: Api = request.param
    async with asking(ProviderSpec(api=api, key=KEY, base_url=server.base_url), streamed=streamed) as turns:
        if isinstance(turns.provider, OpenAIProvider):
            turns.thread = await turns.provider.create_thread({})
        yield turns


async def test_a_turn_searches_its_store_and_says_which_files_it_goes_by(
    searching: Asking, files: OpenAIFiles, server: ModelServer
) -> None:
    store = await files.create("a", "m", "d")
    for name, content in (("ab.txt", HANDBOOK), ("cd.txt", b"Wallboxes.")):
        await files.put(store, await files.upload(name, content))
    answer = await searching.ask("What does a charger cost?", assistant(file_store=store))

    assert (answer.outcome, answer.cited) == (Outcome.OK, ("ab.txt",))
    [asked] = server.requests("responses.create")
    assert asked["body"]["tools"] == [{"type": "file_search", "vector_store_ids": [store]}]
    plain = await searching.ask("And what else?")
    assert plain.cited == ()
    assert "tools" not in server.requests("responses.create")[-1]["body"]


REFUSALS: dict[str, dict[str, Any]] = {
    "openai": {"message": "Vector store with id 'STORE' not found.", "type": "invalid_request_error"},
    "expired": {"message": "Vector store STORE is expired.", "type": "invalid_request_error", "status": 400},
    "ogx": {"message": "Vector Store 'STORE' not found. Use 'client.vector_stores.list()'", "status": 400},
    "other words": {"message": "There is nothing to search.", "status": 400},
    "no words": {"message": "Not found"},
}


@pytest.mark.parametrize("words", REFUSALS)
async def test_a_store_that_is_gone_is_asked_for_whatever_the_words_and_nothing_was_asked(
    searching: Asking, server: ModelServer, words: str
) -> None:
    refused(server, words, "vs_1")
    with pytest.raises(FilesGone) as raised:
        await searching.ask(spec=assistant(file_store="vs_1"))
    assert raised.value.store == "vs_1"
    assert raised.value.excludes_call


@pytest.mark.parametrize("words", REFUSALS)
async def test_a_store_that_is_there_is_not_gone_whatever_the_words(
    searching: Asking, server: ModelServer, files: OpenAIFiles, words: str
) -> None:
    store = await files.create("a", "m", "d")
    refused(server, words, store)
    with pytest.raises((BadRequest, ModelDown), match=r"responses\.create") as raised:
        await searching.ask(spec=assistant(file_store=store))
    assert not isinstance(raised.value, FilesGone)


async def test_what_cannot_be_asked_for_is_not_gone(searching: Asking, server: ModelServer) -> None:
    refused(server, "openai", "vs_1")
    server.fault("vector_stores.retrieve", reply="server_error", times=None)
    with pytest.raises(ModelDown, match=r"responses\.create") as raised:
        await searching.ask(spec=assistant(file_store="vs_1"))
    assert not isinstance(raised.value, FilesGone)


def refused(server: ModelServer, words: str, store: str) -> None:
    reply: dict[str, Any] = {"status": 404, **REFUSALS[words]}
    server.fault("responses.create", reply=reply | {"message": reply["message"].replace("STORE", store)}, times=None)


async def test_a_list_without_an_end_is_no_answer(files: OpenAIFiles, server: ModelServer) -> None:
    endless = {"status": 200, "json": {"data": [{"id": "x"}], "has_more": True}}
    for operation in ("vector_stores.list", "files.list", "vector_stores.files.list"):
        server.fault(operation, reply=endless, times=None)
    for listed in (files.marked("m"), files.uploads("a.txt"), files.ours(), files.contents("vs_1")):
        with pytest.raises(ModelDown, match="there are more than"):
            await listed


async def test_an_answer_behind_a_search_is_found_on_its_conversation(server: ModelServer, files: OpenAIFiles) -> None:
    store = await files.create("a", "m", "d")
    await files.put(store, await files.upload("ab.txt", HANDBOOK))
    async with OpenAIProvider.open(KEY, server.base_url) as model:
        thread = await model.create_thread({})
        put = question("What does a charger cost?")
        said = await model.ask(thread, put, assistant(file_store=store))
        found = await model.look(thread, put.ref)
        assert found is not None
        assert (found.text, found.outcome) == (said.text, Outcome.OK)
        run = await model.start(thread, question("And a charger?"), assistant(file_store=store))
        followed = await model.follow(run, timedelta(seconds=5))
    assert followed is not None
    assert followed.cited == ("ab.txt",)


@pytest.mark.parametrize(
    ("searches", "expected"),
    [
        ([[]], True),
        ([[], []], True),
        ([[], [{"text": "x"}]], False),
        ([None], False),
        (["odd"], False),
        ([], False),
    ],
)
def test_that_a_search_found_nothing_at_all_is_known_where_it_is_said(searches: list[Any], *, expected: bool) -> None:
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "yes"}]}
    output = [*({"type": "file_search_call", "results": each} for each in searches), said]
    assert (
        answer_of(Response.model_validate({"id": "r", "status": "completed", "output": output})).found_nothing
        is expected
    )


def test_what_stands_beside_a_text_is_read_where_it_can_be() -> None:
    def read(annotations: Any, **more: Any) -> Any:
        part = {"type": "output_text", "text": "yes", "annotations": annotations}
        searched = {"type": "file_search_call", "status": "incomplete", "results": [{"text": "x"}], **more}
        output = [searched, {"type": "message", "role": "assistant", "content": [part]}]
        return answer_of(Response.model_validate({"id": "resp_1", "status": "completed", "output": output}))

    one = {"type": "file_citation", "file_id": "file_1", "filename": "a.txt", "index": 3}
    assert read([one, one, {**one, "filename": "b.txt"}]).cited == ("a.txt", "b.txt")
    for odd in (
        None,
        "x",
        [7, None],
        [{"type": "file_citation"}],
        [{**one, "filename": 7.5}],
        [{**one, "type": "url_citation"}],
    ):
        assert (read(odd).text, read(odd).outcome) == ("yes", Outcome.OK)
        assert "a.txt" not in read(odd).cited
    assert read([one], content="nothing that is said").text == "yes"
