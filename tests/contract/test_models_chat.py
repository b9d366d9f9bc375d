"""Chat completions as servers really send them, and what each is worth."""

from typing import Any

import pytest

from tests.contract.apis import Asking, asking
from tests.contract.test_models_wire import http, raw_server
from worker.demo.model import ModelServer
from worker.domain.providers import ProviderSpec
from worker.domain.threads import Answer, Outcome
from worker.errors import ModelDown, ModelUnknown, ProviderPaused, WorkerError

OK, EMPTY = (Outcome.OK, ""), (Outcome.EMPTY, "no text")
CUT, FILTERED = (Outcome.INCOMPLETE, "max_output_tokens"), (Outcome.FILTERED, "content_filter")


@pytest.fixture
def api() -> str:
    """The one that this is about."""
    return "chat"


def completion(message: Any, reason: Any = "stop", **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
    return {"id": "chatcmpl-1", "object": "chat.completion", "model": "m-1", "choices": [choice], **more}


def says(content: Any, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


SEEN: dict[str, tuple[Any, str, tuple[Outcome, str]]] = {
    "text": (completion(says("Yes.")), "Yes.", OK),
    "parts": (completion(says([{"type": "text", "text": "Ye"}, {"type": "text", "text": "s."}])), "Yes.", OK),
    "parts that are strings": (completion(says(["Ye", "s."])), "Yes.", OK),
    "thinking part of Mistral": (
        completion(says([{"type": "thinking", "thinking": [{"text": "Hm."}]}, {"type": "text", "text": "Yes."}])),
        "Yes.",
        OK,
    ),
    "reasoning part": (
        completion(says([{"type": "reasoning", "text": "Hm."}, {"type": "text", "text": "Yes."}])),
        "Yes.",
        OK,
    ),
    "refusal": (completion(says(None, refusal="I can't.")), "I can't.", (Outcome.REFUSED, "")),
    "refusal as a part": (
        completion(says([{"type": "refusal", "refusal": "I can't."}])),
        "I can't.",
        (Outcome.REFUSED, ""),
    ),
    "reasoning beside": (completion(says("Yes.", reasoning_content="Hm.", reasoning="Hm.")), "Yes.", OK),
    "reasoning alone": (completion(says("", reasoning_content="Hm.")), "", EMPTY),
    "reasoning that took all": (completion(says(None, reasoning_content="Hm."), "length"), "", CUT),
    "thought at the head": (completion(says("<think>\nA? B?\n</think>\n\nYes.")), "Yes.", OK),
    "empty thought": (completion(says("\n<think></think>Yes.")), "Yes.", OK),
    "thought without an end": (completion(says("<think>\nA? B?")), "", EMPTY),
    "thought that was cut": (completion(says("<think>\nA? B?"), "length"), "", CUT),
    "thought whose beginning is in the template": (completion(says("A? B?\n</think>\n\nYes.")), "Yes.", OK),
    "thought further on": (completion(says("Write <think> and </think>.")), "Write <think> and </think>.", OK),
    "cut": (completion(says("Ye"), "length"), "Ye", CUT),
    "end of Mistral's window": (completion(says("Ye"), "model_length"), "Ye", CUT),
    "filtered": (completion(says("Ye"), "content_filter"), "Ye", FILTERED),
    "filtered without a message": (completion(None, "content_filter"), "", FILTERED),
    "filtered, by Gemini": (completion(says(None), "content_filter: PROHIBITED_CONTENT"), "", FILTERED),
    "tool call": (completion(says(None, tool_calls=[{"id": "c", "type": "function"}]), "tool_calls"), "", EMPTY),
    "no reason": (completion(says("Yes."), None), "Yes.", OK),
    "reason that is no word": (completion(says("Yes."), {"type": "stop"}), "Yes.", OK),
    "no message": (completion(None), "", EMPTY),
    "no choices": ({"id": "chatcmpl-1", "choices": []}, "", EMPTY),
    "choices null": ({"id": "chatcmpl-1", "choices": None}, "", EMPTY),
    "more choices": (
        {"choices": [{"message": says("One.")}, {"message": says("Two.")}]},
        "One.",
        OK,
    ),
    "fields of others": (
        completion(says("Yes.", annotations=[], audio=None), timings={"n": 1}, prompt_filter_results=[{}], error=None),
        "Yes.",
        OK,
    ),
    "blank": (completion(says(" \n")), " \n", EMPTY),
}


async def asked(turns: Asking, server: ModelServer, body: Any) -> Answer:
    server.fault(turns.call, reply={"status": 200, "json": body})
    return await turns.ask()


@pytest.mark.parametrize("seen", SEEN)
async def test_every_form_of_a_completion_is_read(turns: Asking, server: ModelServer, counted: Any, seen: str) -> None:
    body, text, outcome = SEEN[seen]

    answer = await asked(turns, server, body)

    assert (answer.text, (answer.outcome, answer.detail)) == (text, outcome)
    assert counted("model_calls", outcome[0].value) == 1
    assert len(server.requests(turns.call)) == 1


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (
            {
                "prompt_tokens": 7,
                "completion_tokens": 3,
                "total_tokens": 10,
                "prompt_tokens_details": {"cached_tokens": 5},
                "completion_tokens_details": {"reasoning_tokens": 2},
            },
            (7, 3),
        ),
        ({"prompt_tokens": 7}, (7, None)),
        ({"prompt_tokens": 10**400, "completion_tokens": -1}, (None, None)),
        ({"prompt_tokens": "7", "completion_tokens": 3.5}, (7, None)),
        ([], (None, None)),
        (None, (None, None)),
    ],
    ids=lambda part: str(part)[:40],
)
async def test_tokens_are_those_of_the_usage_as_far_as_it_has_any(
    turns: Asking, server: ModelServer, usage: Any, tokens: tuple[int | None, int | None]
) -> None:
    answer = await asked(turns, server, completion(says("Yes."), usage=usage))

    assert (answer.text, answer.outcome) == ("Yes.", Outcome.OK)
    assert (answer.input_tokens, answer.output_tokens) == tokens
    assert (answer.response_id, answer.model) == ("chatcmpl-1", "m-1")


async def test_half_an_emoji_costs_one_character_and_not_the_answer() -> None:
    reply = http("200 OK", rb'{"choices": [{"message": {"content": "Yes \ud83d."}}], "usage": {"prompt_tokens": NaN}}')
    async with raw_server(reply) as raw, asking(ProviderSpec(api="chat", base_url=raw.base_url)) as turns:
        assert (await turns.ask()).text == "Yes \ufffd."


@pytest.mark.parametrize("reason", ["error", "insufficient_system_resource", "abort"])
async def test_answer_that_the_provider_gave_up_on_is_none(turns: Asking, server: ModelServer, reason: str) -> None:
    with pytest.raises(ModelUnknown, match=f"gave up on an answer.*{reason}"):
        await asked(turns, server, completion(says("Ye"), reason))


@pytest.mark.parametrize("body", [{}, {"id": "x"}, {"choices": 7}, {"choices": "Yes."}, [], "Yes.", None], ids=str)
async def test_what_is_no_completion_may_be_one_that_was_paid(turns: Asking, server: ModelServer, body: Any) -> None:
    with pytest.raises(ModelUnknown, match="not what the API promises"):
        await asked(turns, server, body)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (None, None),
        ("route_404", ModelDown),
        ("html_404", ModelDown),
        ("unauthorized", ProviderPaused),
        ({"status": 200, "json": {"status": "ok"}}, ModelDown),
    ],
    ids=str,
)
async def test_a_turn_without_a_question_tells_whether_there_are_completions(
    turns: Asking, server: ModelServer, reply: Any, error: type[WorkerError] | None
) -> None:
    if reply:
        server.fault(turns.call, reply=reply, times=None)
    if error is None:
        await turns.provider.ping()
    else:
        with pytest.raises(error):
            await turns.provider.ping()
    assert server.counts()["calls"] == {turns.call: 1}
