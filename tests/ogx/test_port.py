"""What any server with Conversations and Responses has to do, on OGX: the suite that the scripted server passes."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from tests.contract.apis import CALLS, asking
from tests.contract.questions import assistant
from tests.contract.test_models_port import (  # noqa: F401 - all of its tests, with other fixtures
    test_answer_is_found_again_by_the_ref_of_its_question,
    test_answer_is_found_behind_later_turns,
    test_answer_that_reaches_its_token_limit_is_incomplete,
    test_answer_with_a_schema_is_json_of_that_schema,
    test_deleted_thread_is_gone_for_everything_but_deleting,
    test_key_that_is_accepted_pings,
    test_model_that_does_not_exist_is_named_and_leaves_the_thread_alone,
    test_ref_that_was_never_asked_is_not_found,
    test_thread_keeps_the_metadata_it_was_made_with,
    test_turn_in_the_background_has_an_id_at_once_and_its_answer_later,
)
from tests.ogx.servers import MODEL, Aimock, Ogx
from worker.domain.providers import Api, ProviderSpec
from worker.domain.threads import Assistant, Said
from worker.providers import ChatModel, Client, OpenAIProvider, ResponsesModel


@pytest.fixture
async def model(ogx: Ogx, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OpenAIProvider]:
    monkeypatch.setenv("OPENAI_TEST_MODEL", MODEL)
    async with OpenAIProvider.open(None, ogx.url) as model:
        yield model


@pytest.fixture
def spec() -> Assistant:
    return assistant(model=MODEL, timeout=timedelta(seconds=60))


@pytest.mark.parametrize("kind", [ResponsesModel, ChatModel])
async def test_what_remembers_nothing_is_told_everything(
    ogx: Ogx, aimock: Aimock, kind: type[ResponsesModel] | type[ChatModel]
) -> None:
    api: Api = "chat" if kind is ChatModel else "responses"
    said = [Said("developer", "A note."), Said("user", "Please do one."), Said("assistant", "DONE: one.")]
    async with Client.open(ProviderSpec(api=api, base_url=ogx.url)) as client:
        model = kind(client)
        await model.ping()
        answer = await model.ask(said, "Name a town.", assistant(model=MODEL))
        there = [bool(await model.find_model(name)) for name in (MODEL, "mock/nonesuch")]

    assert (answer.text, there) == ("Lyss.", [True, False])
    sent = str(aimock.asked("Name a town.")[-1])
    assert all(text in sent for text in ("A note.", "Please do one.", "DONE: one."))


@pytest.mark.parametrize("api", CALLS)
async def test_what_is_watched_is_the_same_answer(ogx: Ogx, spec: Assistant, api: Api) -> None:
    async with asking(ProviderSpec(api=api, base_url=ogx.url)) as turns:
        if isinstance(turns.provider, OpenAIProvider):
            turns.thread = await turns.provider.create_thread({})
        plain = await turns.ask("Take your time.", spec)
        turns.streamed = True
        answer = await turns.ask("Take your time.", spec)

    assert (answer.text, answer.outcome, answer.model) == (plain.text, plain.outcome, plain.model)
    assert answer.response_id
    assert (answer.input_tokens is None, answer.output_tokens) == (plain.input_tokens is None, plain.output_tokens)
    assert turns.watcher is not None
    assert len(turns.watcher.requests) == 1
    assert len(turns.watcher.requests[0]) > 1, "more than the whole of it at the end"
