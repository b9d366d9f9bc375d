"""The scripted model server keeps OpenAI's rules, as seen by OpenAI's own client."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import ClientSession
from openai import (
    APIConnectionError,
    APIStatusError,
    AsyncOpenAI,
    AuthenticationError,
    BadRequestError,
    NotFoundError,
)
from openai.types.conversations import Message

from tests.contract.provider_client import MODEL, ask, client_of, texts
from tests.waiting import wait_until
from worker.demo.model import ModelServer

REASONING_MODEL: Final = "gpt-5-mini"


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


def error_of(caught: pytest.ExceptionInfo[APIStatusError]) -> Any:
    return caught.value.response.json()["error"]


def user(text: str) -> Any:
    return {"type": "message", "role": "user", "content": text}


# Conversations


async def test_a_conversation_keeps_its_metadata_until_they_are_replaced(openai: AsyncOpenAI) -> None:
    made = await openai.conversations.create(metadata={"engine": "here", "scope": "1"})
    assert made.id.startswith("conv_")
    assert (await openai.conversations.retrieve(made.id)).metadata == {"engine": "here", "scope": "1"}
    await openai.conversations.update(made.id, metadata={"scope": "2"})
    assert (await openai.conversations.retrieve(made.id)).metadata == {"scope": "2"}


async def test_a_conversation_that_never_was_is_not_found_in_exactly_openais_words(openai: AsyncOpenAI) -> None:
    with pytest.raises(NotFoundError) as caught:
        await openai.conversations.retrieve("conv_nowhere")
    assert caught.value.response.json() == {
        "error": {
            "message": "Conversation with id 'conv_nowhere' not found.",
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        }
    }


@pytest.mark.parametrize("way", ["delete", "forget"])
async def test_a_deleted_conversation_is_gone_for_every_call_and_keeps_its_items(
    openai: AsyncOpenAI, server: ModelServer, way: str
) -> None:
    conversation = (await openai.conversations.create(items=[user("hello")])).id
    if way == "delete":
        assert (await openai.conversations.delete(conversation)).deleted
    else:
        server.forget(conversation)

    async def expect_gone(call: Any) -> None:
        with pytest.raises(NotFoundError) as caught:
            await call
        assert error_of(caught)["message"] == f"Conversation with id '{conversation}' not found."

    await expect_gone(openai.conversations.retrieve(conversation))
    await expect_gone(openai.conversations.delete(conversation))
    await expect_gone(openai.conversations.items.list(conversation))
    await expect_gone(openai.conversations.items.create(conversation, items=[user("again")]))
    await expect_gone(openai.responses.create(model=MODEL, input="?", conversation=conversation))
    kept = server.conversations()[conversation]
    assert kept["deleted"]
    assert [item["content"][0]["text"] for item in kept["items"]] == ["hello"]


async def test_conversations_cannot_be_listed(server: ModelServer) -> None:
    async with ClientSession() as session, session.get(f"{server.base_url}/conversations") as reply:
        assert reply.status == 404
        assert "Invalid URL" in (await reply.json())["error"]["message"]


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        ({str(n): "" for n in range(17)}, "object_above_max_properties"),
        ({"k" * 65: ""}, "string_above_max_length"),
        ({"k": "v" * 513}, "string_above_max_length"),
        ({"k": 1}, "invalid_type"),
    ],
)
async def test_metadata_beyond_the_limits_are_refused(openai: AsyncOpenAI, metadata: Any, code: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        await openai.conversations.create(metadata=metadata)
    assert caught.value.code == code


async def test_metadata_within_the_limits_are_kept(openai: AsyncOpenAI) -> None:
    metadata = {f"{n:064}": "v" * 512 for n in range(16)}
    made = await openai.conversations.create(metadata=metadata)
    assert made.metadata == metadata


async def test_twenty_items_go_in_at_once_and_no_more(openai: AsyncOpenAI) -> None:
    conversation = (await openai.conversations.create(items=[user(str(n)) for n in range(20)])).id
    await openai.conversations.items.create(conversation, items=[user(str(n)) for n in range(20, 40)])
    assert await texts(openai, conversation) == [str(n) for n in range(40)]
    for call in (
        openai.conversations.create(items=[user("x")] * 21),
        openai.conversations.items.create(conversation, items=[user("x")] * 21),
    ):
        with pytest.raises(BadRequestError) as caught:
            await call
        assert caught.value.code == "array_above_max_length"


# Items


async def test_items_are_listed_newest_first_in_pages_of_twenty(openai: AsyncOpenAI) -> None:
    conversation = (await openai.conversations.create(items=[user(str(n)) for n in range(20)])).id
    await openai.conversations.items.create(conversation, items=[user("20"), user("21")])
    page = await openai.conversations.items.list(conversation)
    assert [item.content[0].text for item in page.data if isinstance(item, Message)] == [  # type: ignore[union-attr]  # all are texts
        str(n) for n in range(21, 1, -1)
    ]
    assert page.has_more
    assert page.last_id
    rest = await openai.conversations.items.list(conversation, after=page.last_id)
    assert len(rest.data) == 2
    assert not rest.has_more


async def test_every_item_can_be_fetched_by_going_on_page_by_page(openai: AsyncOpenAI) -> None:
    conversation = (await openai.conversations.create(items=[user(str(n)) for n in range(15)])).id
    pages = openai.conversations.items.list(conversation, limit=4, order="asc")
    assert [item.content[0].text async for item in pages if isinstance(item, Message)] == [  # type: ignore[union-attr]  # all are texts
        str(n) for n in range(15)
    ]


@pytest.mark.parametrize("limit", [0, 101])
async def test_pages_hold_between_one_and_a_hundred_items(openai: AsyncOpenAI, limit: int) -> None:
    conversation = (await openai.conversations.create()).id
    with pytest.raises(BadRequestError) as caught:
        await openai.conversations.items.list(conversation, limit=limit)
    assert caught.value.param == "limit"


async def test_an_unknown_cursor_is_a_404_that_does_not_speak_of_a_missing_conversation(openai: AsyncOpenAI) -> None:
    conversation = (await openai.conversations.create()).id
    with pytest.raises(NotFoundError) as caught:
        await openai.conversations.items.list(conversation, after="msg_nowhere")
    assert error_of(caught)["message"].startswith("Item with id 'msg_nowhere'")


async def test_one_item_can_be_read_and_erased(openai: AsyncOpenAI) -> None:
    conversation = (await openai.conversations.create(items=[user("one"), user("two")])).id
    first = (await openai.conversations.items.list(conversation, order="asc")).data[0]
    assert first.id
    read = await openai.conversations.items.retrieve(first.id, conversation_id=conversation)
    assert read.id == first.id
    await openai.conversations.items.delete(first.id, conversation_id=conversation)
    assert await texts(openai, conversation) == ["two"]
    with pytest.raises(NotFoundError):
        await openai.conversations.items.retrieve(first.id, conversation_id=conversation)


# Responses


@pytest.mark.parametrize("form", ["string", "object"])
async def test_a_turn_puts_its_question_and_its_answer_on_the_conversation(
    openai: AsyncOpenAI, server: ModelServer, form: str
) -> None:
    conversation = (await openai.conversations.create()).id
    answer = await ask(openai, "What now?", conversation=conversation if form == "string" else {"id": conversation})
    assert answer.status == "completed"
    assert answer.conversation
    assert answer.conversation.id == conversation
    assert await texts(openai, conversation) == ["What now?", answer.output_text]
    assert server.counts()["turns"] == {conversation: 1}


async def test_a_turn_knows_the_turns_before_it_on_its_conversation_and_no_others(openai: AsyncOpenAI) -> None:
    here, there = [(await openai.conversations.create()).id for _ in range(2)]
    await ask(openai, "Is the bridge open?", conversation=here)
    assert "Is the bridge open?" in (await ask(openai, "And now?", conversation=here)).output_text
    assert "I see 0 earlier turns" in (await ask(openai, "And now?", conversation=there)).output_text
    assert "I see 0 earlier turns" in (await ask(openai, "And now?")).output_text


async def test_a_turn_may_follow_a_response_instead_of_a_conversation(openai: AsyncOpenAI) -> None:
    first = await ask(openai, "Is the bridge open?")
    second = await ask(openai, "And now?", previous_response_id=first.id)
    third = await ask(openai, "Really?", previous_response_id=second.id)
    assert "I see 2 earlier turns" in third.output_text
    assert "And now?" in third.output_text


async def test_instructions_are_not_carried_over(openai: AsyncOpenAI) -> None:
    conversation = (await openai.conversations.create()).id
    first = await ask(openai, "One", conversation=conversation, instructions="Be brief.")
    second = await ask(openai, "Two", conversation=conversation)
    assert first.instructions == "Be brief."
    assert second.instructions is None
    assert "Be brief." not in "".join(await texts(openai, conversation))


async def test_tokens_count_instructions_history_and_question(openai: AsyncOpenAI) -> None:
    conversation = (await openai.conversations.create(items=[user("x" * 40)])).id
    answer = await ask(openai, "y" * 20, conversation=conversation, instructions="z" * 8)
    assert answer.usage
    assert answer.usage.input_tokens == 10 + 5 + 2
    assert answer.usage.output_tokens == -(-len(answer.output_text) // 4)
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens


async def test_what_a_prompt_begins_with_is_cached_once_it_was_read(openai: AsyncOpenAI) -> None:
    conversation = (await openai.conversations.create(items=[user("x" * 8000)])).id
    first = await ask(openai, "One", conversation=conversation, instructions="z" * 40)
    second = await ask(openai, "Two", conversation=conversation, instructions="z" * 40)
    other = await ask(openai, "Two", conversation=conversation, instructions="other")
    assert first.usage
    assert second.usage
    assert other.usage
    cached = [each.usage.input_tokens_details.cached_tokens for each in (first, second, other) if each.usage]
    assert cached == [0, 1920, 0]  # 10 + 2000 + 1 tokens, in portions of 128
    assert second.usage.input_tokens > 1920


async def test_tokens_of_reasoning_are_part_of_the_output(openai: AsyncOpenAI) -> None:
    usage = (await ask(openai, "Hm?", model=REASONING_MODEL)).usage
    assert usage
    assert usage.output_tokens > usage.output_tokens_details.reasoning_tokens == 64


async def test_reasoning_models_put_a_reasoning_item_before_their_message(openai: AsyncOpenAI) -> None:
    conversation = (await openai.conversations.create()).id
    answer = await ask(openai, "Hm?", conversation=conversation, model=REASONING_MODEL)
    assert [item.type for item in answer.output] == ["reasoning", "message"]
    page = await openai.conversations.items.list(conversation, order="asc")
    assert [item.type for item in page.data] == ["message", "reasoning", "message"]


async def test_a_second_turn_on_a_busy_conversation_is_refused_and_others_are_not(
    openai: AsyncOpenAI, server: ModelServer
) -> None:
    busy, free = [(await openai.conversations.create()).id for _ in range(2)]
    server.fault("responses.create", hold="gate")
    async with asyncio.TaskGroup() as group:
        first = group.create_task(ask(openai, "first", conversation=busy))
        await wait_until(lambda: server.counts()["running"] == [busy])
        with pytest.raises(BadRequestError) as caught:
            await ask(openai, "second", conversation=busy)
        assert (caught.value.code, caught.value.param) == ("conversation_locked", "conversation")
        await ask(openai, "elsewhere", conversation=free)
        assert await texts(openai, busy) == []  # nothing shows before it lands
        server.release("gate")
    assert await texts(openai, busy) == ["first", first.result().output_text]
    await ask(openai, "second", conversation=busy)


async def test_a_turn_lands_although_its_client_went_away(openai: AsyncOpenAI, server: ModelServer) -> None:
    conversation = (await openai.conversations.create()).id
    server.fault("responses.create", hold="gate")
    call = asyncio.create_task(ask(openai, "Still there?", conversation=conversation))
    await wait_until(lambda: server.counts()["running"])
    call.cancel()
    await asyncio.wait([call])
    assert server.counts()["running"] == [conversation]
    server.release("gate")
    await wait_until(lambda: server.counts()["turns"][conversation])
    assert (await texts(openai, conversation))[0] == "Still there?"


@pytest.mark.parametrize(
    ("options", "status", "code", "param"),
    [
        ({"conversation": "conv_1", "previous_response_id": "resp_1"}, 400, "mutually_exclusive_parameters", None),
        ({"previous_response_id": "resp_1"}, 400, "previous_response_not_found", "previous_response_id"),
        ({"model": "gpt-0"}, 404, "model_not_found", "model"),
        ({"temperature": 2.1}, 400, "decimal_out_of_range", "temperature"),
        ({"max_output_tokens": 15}, 400, "integer_below_min_value", "max_output_tokens"),
        ({"metadata": {"k": "v" * 513}}, 400, "string_above_max_length", "metadata.k"),
        ({"extra_body": {"bogus": 1}}, 400, "unknown_parameter", "bogus"),
        ({"background": True, "store": False}, 400, None, "background"),
        ({"input": "x" * 600_000}, 400, "context_length_exceeded", "input"),
        ({"input": [{"role": "nobody", "content": "x"}]}, 400, "invalid_value", "input[0].role"),
    ],
)
async def test_a_bad_request_is_refused_before_a_turn_begins(
    openai: AsyncOpenAI, options: dict[str, Any], status: int, code: str | None, param: str | None
) -> None:
    with pytest.raises(APIStatusError) as caught:
        await ask(openai, "?", **options)
    assert (caught.value.status_code, caught.value.code) == (status, code)
    assert param in {None, caught.value.param}


async def test_max_output_tokens_cut_an_answer_short(openai: AsyncOpenAI, server: ModelServer) -> None:
    server.answer("alphabet", "abcdefghijklmnopqrstuvwxyz" * 10)
    answer = await ask(openai, "The alphabet, please", max_output_tokens=16)
    assert answer.status == "incomplete"
    assert answer.incomplete_details
    assert answer.incomplete_details.reason == "max_output_tokens"
    assert answer.output_text == ("abcdefghijklmnopqrstuvwxyz" * 10)[:64]


async def test_a_response_can_be_read_again_unless_it_was_not_stored(openai: AsyncOpenAI) -> None:
    stored = await ask(openai, "?")
    assert (await openai.responses.retrieve(stored.id)).output_text == stored.output_text
    fleeting = await ask(openai, "?", store=False)
    await openai.responses.delete(stored.id)
    for gone in (fleeting.id, stored.id):
        with pytest.raises(NotFoundError):
            await openai.responses.retrieve(gone)


async def test_a_background_turn_is_queued_then_runs_then_lands(openai: AsyncOpenAI, server: ModelServer) -> None:
    conversation = (await openai.conversations.create()).id
    server.fault("responses.create", hold="gate")
    queued = await ask(openai, "Slowly", conversation=conversation, background=True)
    assert queued.status == "queued"

    async def status() -> str | None:
        return (await openai.responses.retrieve(queued.id)).status

    assert await status() == "in_progress"
    server.release("gate")

    async def completed() -> bool:
        return await status() == "completed"

    await wait_until(completed)
    assert len(await texts(openai, conversation)) == 2


@pytest.mark.parametrize("effect", [{"queued": True}, {"hold": "gate"}])
async def test_a_cancelled_background_turn_lands_nothing_and_frees_its_conversation(
    openai: AsyncOpenAI, server: ModelServer, effect: dict[str, Any]
) -> None:
    conversation = (await openai.conversations.create()).id
    server.fault("responses.create", **effect)
    queued = await ask(openai, "Never mind", conversation=conversation, background=True)
    assert (await openai.responses.cancel(queued.id)).status == "cancelled"
    assert (await openai.responses.cancel(queued.id)).status == "cancelled"
    assert (await openai.responses.retrieve(queued.id)).status == "cancelled"
    assert await texts(openai, conversation) == []
    assert server.counts()["running"] == []


async def test_only_background_turns_can_be_cancelled(openai: AsyncOpenAI) -> None:
    answer = await ask(openai, "?")
    with pytest.raises(BadRequestError):
        await openai.responses.cancel(answer.id)


# Models and keys


async def test_models_are_listed_and_unknown_ones_are_not_found(openai: AsyncOpenAI) -> None:
    names = [model.id async for model in openai.models.list()]
    assert MODEL in names
    assert (await openai.models.retrieve(MODEL)).id == MODEL
    with pytest.raises(NotFoundError) as caught:
        await openai.models.retrieve("gpt-0")
    assert caught.value.code == "model_not_found"


async def test_only_the_right_key_opens_a_server_that_requires_one() -> None:
    async with ModelServer(key="sk-right") as server:
        async with client_of(server.base_url, "sk-right") as client:
            await client.conversations.create()
        async with client_of(server.base_url, "sk-wrong") as client:
            with pytest.raises(AuthenticationError) as caught:
                await client.conversations.create()
    assert caught.value.code == "invalid_api_key"
    assert "wrong" not in str(caught.value)


async def test_whatever_openai_does_not_offer_is_not_found(server: ModelServer) -> None:
    async with ClientSession() as session, session.post(f"{server.base_url}/threads", json={}) as reply:
        assert reply.status == 404
    assert [entry["call"] for entry in server.requests()] == ["unknown"]


# Over a restart


async def test_everything_is_there_again_after_a_restart(tmp_path: Path) -> None:
    store = tmp_path / "model.db"
    async with ModelServer(store=store) as server, client_of(server.base_url) as client:
        conversation = (await client.conversations.create(metadata={"scope": "1"})).id
        gone = (await client.conversations.create()).id
        await client.conversations.delete(gone)
        answer = await ask(client, "Is the bridge open?", conversation=conversation)
    async with ModelServer(store=store, port=server.port) as again, client_of(again.base_url) as client:
        assert (await client.conversations.retrieve(conversation)).metadata == {"scope": "1"}
        assert (await client.responses.retrieve(answer.id)).output_text == answer.output_text
        assert "Is the bridge open?" in (await ask(client, "And now?", conversation=conversation)).output_text
        assert again.counts()["turns"][conversation] == 2
        with pytest.raises(NotFoundError):
            await client.conversations.retrieve(gone)


async def test_a_background_turn_goes_on_after_a_restart_and_a_waiting_clients_turn_is_lost(tmp_path: Path) -> None:
    store = tmp_path / "model.db"
    async with ModelServer(store=store) as server, client_of(server.base_url) as client:
        conversations = [(await client.conversations.create()).id for _ in range(2)]
        server.fault("responses.create", times=None, hold="for ever")
        queued = await ask(client, "background", conversation=conversations[0], background=True)
        waiting = asyncio.create_task(ask(client, "waiting", conversation=conversations[1]))
        await wait_until(lambda: len(server.counts()["running"]) == 2)
    with pytest.raises(APIConnectionError):
        await waiting
    async with ModelServer(store=store) as again, client_of(again.base_url) as client:
        await wait_until(lambda: again.counts()["turns"][conversations[0]])
        assert (await client.responses.retrieve(queued.id)).status == "completed"
        assert await texts(client, conversations[1]) == []


async def test_what_one_account_has_others_are_told_does_not_exist(server: ModelServer, openai: AsyncOpenAI) -> None:
    server.accounts["another"] = "another"
    thread = (await openai.conversations.create()).id
    response = await ask(openai, "Hello?", conversation=thread)
    async with client_of(server.base_url, key="another") as other:
        for call in (
            other.conversations.retrieve(thread),
            other.conversations.delete(thread),
            other.conversations.items.list(thread),
            other.responses.retrieve(response.id),
            other.responses.delete(response.id),
            ask(other, "And me?", conversation=thread),
        ):
            with pytest.raises(NotFoundError) as caught:
                await call
            assert error_of(caught)["type"] == "invalid_request_error"
            assert "not found" in error_of(caught)["message"]
        own = (await other.conversations.create()).id
    with pytest.raises(NotFoundError):
        await openai.conversations.retrieve(own)
    assert (await openai.responses.retrieve(response.id)).id == response.id


async def test_anchors_are_counted_and_shown_apart_from_threads(server: ModelServer, openai: AsyncOpenAI) -> None:
    anchor = (await openai.conversations.create(metadata={"purpose": "anchor"})).id
    await openai.conversations.retrieve(anchor)

    assert list(server.anchors()) == [anchor]
    assert server.conversations() == {}
    assert server.counts()["created"] == 0
    assert server.counts()["calls"] == {"anchors.create": 1, "anchors.retrieve": 1}
