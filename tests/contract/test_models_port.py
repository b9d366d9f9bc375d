"""What any server with Conversations and Responses has to do, seen through the port.

Set OPENAI_BASE_URL (and OPENAI_API_KEY) to run it against another server than the scripted one; OPENAI_TEST_MODEL
names a model of it.
"""

import json
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.contract.questions import assistant, question
from worker.demo.model import ModelServer
from worker.domain.providers import ProviderSpec
from worker.domain.threads import Assistant, Outcome
from worker.errors import BadRequest, ThreadGone
from worker.providers import OpenAIProvider
from worker.providers.client import Client

PAIRS = {"engine": "default", "tenant": "", "scope": "instance-1", "assistant": "analyst", "generation": "1"}


@pytest.fixture
async def model() -> AsyncIterator[OpenAIProvider]:
    if base_url := os.environ.get("OPENAI_BASE_URL"):
        async with OpenAIProvider.open(os.environ.get("OPENAI_API_KEY"), base_url) as model:
            yield model
    else:
        async with ModelServer() as server, OpenAIProvider.open("any", server.base_url) as model:
            yield model


@pytest.fixture
def spec() -> Assistant:
    name = os.environ.get("OPENAI_TEST_MODEL", "gpt-5-mini")
    return assistant(model=name, timeout=timedelta(seconds=60))


async def test_thread_keeps_the_metadata_it_was_made_with(model: OpenAIProvider) -> None:
    assert await model.metadata(await model.create_thread(PAIRS)) == PAIRS
    assert await model.metadata(await model.create_thread({})) == {}


async def test_answer_is_found_again_by_the_ref_of_its_question(model: OpenAIProvider, spec: Assistant) -> None:
    thread, asked = await model.create_thread(PAIRS), question("Name a colour.")

    answer = await model.ask(thread, asked, spec)
    found = await model.look(thread, asked.ref)

    assert (answer.outcome, answer.recovered) == (Outcome.OK, False)
    assert answer.text
    assert answer.response_id
    assert answer.model
    assert answer.input_tokens
    assert answer.output_tokens
    assert found is not None
    assert (found.text, found.outcome, found.recovered) == (answer.text, Outcome.OK, True)


async def test_answer_is_found_behind_later_turns(model: OpenAIProvider, spec: Assistant) -> None:
    thread, first = await model.create_thread(PAIRS), question("Name a town.")

    answer = await model.ask(thread, first, spec)
    later = [await model.ask(thread, question(f"Name {what}."), spec) for what in ("a river", "a lake")]

    found = await model.look(thread, first.ref)
    assert found is not None
    assert found.text == answer.text
    assert found.text not in {each.text for each in later}


async def test_turn_in_the_background_has_an_id_at_once_and_its_answer_later(
    model: OpenAIProvider, spec: Assistant
) -> None:
    thread, asked = await model.create_thread(PAIRS), question("Name a sea.")

    run = await model.start(thread, asked, spec)
    answer = await model.follow(run, spec.timeout)
    found = await model.look(thread, asked.ref)

    assert answer is not None
    assert (answer.outcome, answer.response_id) == (Outcome.OK, run)
    assert found is not None
    assert found.text == answer.text
    assert await model.follow(run, timedelta(0)) == answer, "it can be fetched again"
    await model.cancel(run)


async def test_ref_that_was_never_asked_is_not_found(model: OpenAIProvider, spec: Assistant) -> None:
    thread = await model.create_thread(PAIRS)

    assert await model.look(thread, question().ref) is None
    await model.ask(thread, question("Name a tree."), spec)
    assert await model.look(thread, question().ref, deep=True) is None


async def test_deleted_thread_is_gone_for_everything_but_deleting(model: OpenAIProvider, spec: Assistant) -> None:
    thread = await model.create_thread(PAIRS)

    await model.delete_thread(thread)

    with pytest.raises(ThreadGone):
        await model.metadata(thread)
    with pytest.raises(ThreadGone):
        await model.look(thread, question().ref)
    with pytest.raises(ThreadGone):
        await model.ask(thread, question(), spec)
    await model.delete_thread(thread)


async def test_model_that_does_not_exist_is_named_and_leaves_the_thread_alone(
    model: OpenAIProvider, spec: Assistant
) -> None:
    thread = await model.create_thread(PAIRS)

    with pytest.raises(BadRequest, match=r"no-such-model.*correct `model` in the assistant's spec"):
        await model.ask(thread, question(), assistant(model="no-such-model"))

    assert await model.metadata(thread) == PAIRS
    assert not await model.find_model("no-such-model")
    assert await model.find_model(spec.model)


async def test_answer_that_reaches_its_token_limit_is_incomplete(model: OpenAIProvider) -> None:
    name = os.environ.get("OPENAI_TEST_MODEL", "gpt-5-mini")
    spec = assistant(model=name, max_output_tokens=16, timeout=timedelta(seconds=60))
    thread = await model.create_thread(PAIRS)

    answer = await model.ask(thread, question("Explain the tides in ten long sentences."), spec)

    assert answer.outcome is Outcome.INCOMPLETE
    assert answer.detail in {"max_output_tokens", "length"}, "the latter is OGX's word"


async def test_answer_with_a_schema_is_json_of_that_schema(model: OpenAIProvider, spec: Assistant) -> None:
    schema = {
        "type": "object",
        "properties": {"colour": {"type": "string"}},
        "required": ["colour"],
        "additionalProperties": False,
    }
    thread = await model.create_thread(PAIRS)

    answer = await model.ask(
        thread, question("Name a colour."), assistant(model=spec.model, output_schema=schema, timeout=spec.timeout)
    )

    assert set(json.loads(answer.text)) == {"colour"}


async def test_key_that_is_accepted_pings(model: OpenAIProvider) -> None:
    await model.ping()


async def test_whether_calls_on_one_conversation_are_kept_apart_is_for_the_file_of_providers_to_say() -> None:
    spec = ProviderSpec(base_url="http://ogx.example/v1", refuses_overlap=False)
    async with Client.open(spec) as client:
        provider = OpenAIProvider(client)
        assert not provider.refuses_overlap
        client.use(replace(spec, refuses_overlap=True))
        assert provider.refuses_overlap
