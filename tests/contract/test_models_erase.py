"""Erasing a conversation at the provider: items first, and nothing counts as gone before the provider says so."""

import json

import pytest

from tests.contract.questions import assistant, question
from worker.demo.model import ModelServer
from worker.domain.threads import Said
from worker.errors import ModelDown, ModelUnknown, ProviderAway, ProviderPaused, ThreadGone, TurnedAway, WorkerError
from worker.providers import OpenAIProvider


async def filled(model: OpenAIProvider, items: int) -> str:
    return await model.create_thread({"scope": "i"}, [Said("user", f"text {number}") for number in range(items)])


def left(server: ModelServer, thread: str) -> tuple[int, bool]:
    """Items that the provider still has, deleted conversation or not, and whether it is deleted."""
    conversation = server.conversations()[thread]
    return len(conversation["items"]), conversation["deleted"]


@pytest.mark.parametrize("items", [0, 3, 130])
async def test_every_item_goes_before_the_conversation(model: OpenAIProvider, server: ModelServer, items: int) -> None:
    other = await filled(model, 2)
    thread = await filled(model, items)

    assert await model.erase_thread(thread) == items

    assert left(server, thread) == (0, True)
    assert left(server, other) == (2, False)
    calls = [each["call"] for each in server.requests()]
    assert calls.index("conversations.delete") > max(
        [0, *(n for n, each in enumerate(calls) if each == "items.delete")]
    )


async def test_the_end_is_verified_by_asking_for_the_conversation(model: OpenAIProvider, server: ModelServer) -> None:
    thread = await filled(model, 1)
    server.fault("conversations.delete", reply={"status": 200, "json": {"id": thread, "deleted": True}})

    with pytest.raises(ModelDown, match="yet shows it"):
        await model.erase_thread(thread)

    await model.erase_thread(thread)
    assert left(server, thread) == (0, True)


async def test_one_that_is_gone_is_fine(model: OpenAIProvider) -> None:
    thread = await filled(model, 1)
    await model.erase_thread(thread)

    assert await model.erase_thread(thread) == 0
    assert await model.erase_thread("thread_of_the_assistants_api") == 0


@pytest.mark.parametrize("call", ["items.list", "items.delete", "conversations.delete", "conversations.retrieve"])
@pytest.mark.parametrize("effect", [{"reply": "server_error"}, {"reply": "rate_limit"}, {"cut": True}, {"drop": True}])
async def test_after_trouble_at_any_step_it_goes_on_with_what_is_left(
    model: OpenAIProvider, server: ModelServer, call: str, effect: dict[str, object]
) -> None:
    thread = await filled(model, 5)
    times = 1 if "reply" in effect else 2  # aiohttp itself repeats once where a pooled connection broke
    server.fault(call, skip=2 if call == "items.delete" else 0, times=times, **effect)

    with pytest.raises((ModelDown, ModelUnknown)):
        await model.erase_thread(thread)
    await model.erase_thread(thread)

    assert left(server, thread) == (0, True)
    deleted = [each for each in server.requests("items.delete") if each["status"] == 200]
    assert len(deleted) <= 5, "an item that is gone is not deleted again"


@pytest.mark.parametrize("reply", ["html_404", "detail_404", "route_404", "unauthorized"])
async def test_a_404_of_somebody_else_ends_nothing(model: OpenAIProvider, server: ModelServer, reply: str) -> None:
    thread = await filled(model, 2)
    server.fault(times=None, reply=reply)

    with pytest.raises((ModelDown, ProviderPaused, TurnedAway)):
        await model.erase_thread(thread)

    assert left(server, thread) == (2, False)


async def test_items_that_do_not_go_are_no_endless_loop(model: OpenAIProvider, server: ModelServer) -> None:
    thread = await filled(model, 2)
    server.fault("items.delete", times=None, reply={"status": 200, "json": {"id": thread}})

    with pytest.raises(ModelDown, match="yet shows it"):
        await model.erase_thread(thread)

    assert left(server, thread) == (2, False)


async def test_a_provider_that_is_away_is_told_apart(server: ModelServer, unused_tcp_port: int) -> None:
    async with OpenAIProvider.open("key", f"http://127.0.0.1:{unused_tcp_port}/v1") as nobody:
        with pytest.raises(ProviderAway):
            await nobody.erase_thread("conv_1")
    assert server.requests() == []


async def test_a_stored_response_goes_once(model: OpenAIProvider, server: ModelServer, thread: str) -> None:
    answer = await model.ask(thread, question(), assistant())

    assert await model.erase_response(str(answer.response_id)) is True
    assert await model.erase_response(str(answer.response_id)) is False
    server.fault("responses.delete", reply="server_error")
    with pytest.raises(WorkerError):
        await model.erase_response("resp_1")


async def test_a_stored_response_says_which_conversation_it_was_given_on(model: OpenAIProvider, thread: str) -> None:
    answer = await model.ask(thread, question(), assistant())

    assert await model.conversation_of(str(answer.response_id)) == thread
    with pytest.raises(ThreadGone):
        await model.conversation_of("resp_nowhere")


@pytest.mark.parametrize("named", ["null", "[]", "{}", '{"id": 7}'])
async def test_a_response_whose_conversation_cannot_be_read_is_nobodys(
    model: OpenAIProvider, server: ModelServer, named: str
) -> None:
    server.fault(
        "responses.retrieve", reply={"status": 200, "json": {"id": "resp_1", "conversation": json.loads(named)}}
    )

    assert await model.conversation_of("resp_1") is None
