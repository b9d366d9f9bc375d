"""What a conversation that is made anew is told, in whatever form the server takes it."""

from typing import Any

import pytest

from worker.demo.model import ModelServer
from worker.domain.threads import Said
from worker.errors import BadRequest, Filtered
from worker.providers import OpenAIProvider

SAID = (Said("developer", "2 turns are left out."), Said("user", "q1"), Said("assistant", "a1\n\n(ref 0123456789ab)"))
LONG = SAID * 20


def refused(message: str, **words: Any) -> dict[str, Any]:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None} | words
    return {"reply": {"status": 400, "json": {"error": error}}}


def made(server: ModelServer) -> list[dict[str, Any]]:
    """The items that the newest request to make a conversation brought."""
    items: list[dict[str, Any]] = server.requests("conversations.create")[-1]["body"]["items"]
    return items


async def told(model: OpenAIProvider, server: ModelServer) -> list[tuple[str, str]]:
    """What stands on a new conversation, the oldest first."""
    thread = await model.create_thread({}, SAID)
    items = server.conversations()[thread]["items"]
    return [(each["role"], "".join(part["text"] for part in each["content"])) for each in items]


async def test_an_answer_is_told_as_an_answer_is_read(model: OpenAIProvider, server: ModelServer) -> None:
    assert [role for role, _ in await told(model, server)] == ["developer", "user", "assistant"]
    assert made(server)[-1]["content"] == [{"type": "output_text", "text": SAID[-1].text, "annotations": []}]


async def test_a_server_that_misses_something_is_told_in_the_short_form(
    model: OpenAIProvider, server: ModelServer
) -> None:
    server.fault("conversations.create", **refused("Field required: items[2].content[0].logprobs"))

    assert [text for _, text in await told(model, server)] == [each.text for each in SAID]
    assert [each["role"] for each in made(server)] == ["system", "user", "assistant"]


async def test_a_server_that_knows_no_roles_but_the_users_is_told_who_said_it(
    model: OpenAIProvider, server: ModelServer
) -> None:
    for _ in range(2):
        server.fault("conversations.create", **refused("Invalid value: 'assistant'."))

    said = await told(model, server)
    assert {role for role, _ in said} == {"user"}
    assert said[0][1] == "(developer)\n\n2 turns are left out."
    assert said[2][1] == "(assistant)\n\na1\n\n(quoted ref 0123456789ab)", "what looks like a mark of ours is none"


async def test_a_server_that_finds_the_fault_in_later_items_is_told_all_in_another_form(
    model: OpenAIProvider, server: ModelServer
) -> None:
    server.fault("items.create", **refused("Field required: annotations"))
    thread = await model.create_thread({}, LONG)

    assert len(server.conversations()[thread]["items"]) == len(LONG)
    assert len(server.requests("conversations.delete")) == 1, "what was begun in the other form is erased"


@pytest.mark.parametrize("words", [{"code": "invalid_prompt"}, {}], ids=str)
async def test_what_no_form_helps_against_is_an_error(
    model: OpenAIProvider, server: ModelServer, words: dict[str, str]
) -> None:
    server.fault("conversations.create", times=None, **refused("No.", **words))

    with pytest.raises(BadRequest) as caught:
        await model.create_thread({}, SAID)
    assert isinstance(caught.value, Filtered) == bool(words)
    assert len(server.requests("conversations.create")) == (1 if words else 3)
