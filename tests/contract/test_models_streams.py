"""Answers that somebody watches being written: the same as if nobody did, whatever becomes of the stream."""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.contract.apis import CALLS, Asking, asking
from tests.contract.questions import KEY, assistant, question
from tests.contract.test_models_chat import SEEN, completion, says
from tests.contract.test_models_items import SPARSE, message
from tests.contract.test_models_wire import http, raw_server
from tests.fakes.watcher import FakeWatcher
from tests.waiting import wait_until
from worker.demo.model import ModelServer, streams
from worker.domain.providers import Api, ProviderSpec
from worker.domain.threads import Answer, Outcome, Said
from worker.errors import ContextFull, ModelUnknown, ProviderPaused, ThreadLocked, WorkerError
from worker.providers import OpenAIProvider

LONG = "Take the cheap one, because the dear one is no better."
OUTCOMES: list[Any] = [
    "completed",
    "phased",
    "refused",
    "filtered",
    "incomplete",
    "empty",
    "blank",
    "reasoning_only",
    "parts",
    "messages",
]
FAILED: list[Any] = [{"name": "failed", "code": code} for code in ("invalid_prompt", "data_residency_mismatch")]


@pytest.fixture
def streamed() -> bool:
    """Everything here is."""
    return True


def sse(*events: Any, end: str = "\n") -> str:
    """Events as they go over the wire: those with a type by its name, and the end of chat as it is."""
    texts = []
    for event in events:
        name = f"event: {event['type']}{end}" if isinstance(event, dict) and "type" in event else ""
        texts.append(f"{name}data: {event if isinstance(event, str) else json.dumps(event)}{end}{end}")
    return "".join(texts)


def stream_of(text: str) -> dict[str, Any]:
    return {"reply": {"status": 200, "text": text, "headers": {"Content-Type": "text/event-stream; charset=utf-8"}}}


def chunked(body: Any) -> str:
    return b"".join(event.data for event in streams.chunks(body)).decode()


def told(body: Any) -> str:
    events = streams.ResponseEvents()
    return b"".join(each.data for each in [*events.begin(body), *events.finish(body)]).decode()


def chunk(content: str | None = None, reason: str | None = None, **more: Any) -> dict[str, Any]:
    delta = {} if content is None else {"content": content}
    return {
        "id": "chatcmpl-1",
        "model": "m-1",
        "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
    } | more


async def unwatched(turns: Asking, server: ModelServer, **fault: Any) -> Answer:
    turns.streamed = False
    server.fault(turns.call, **fault)
    try:
        return await turns.ask()
    finally:
        turns.streamed = True


async def read(turns: Asking, server: ModelServer, text: str) -> Answer:
    server.fault(turns.call, **stream_of(text))
    return await turns.ask()


CASES = [(api, outcome) for api in CALLS for outcome in OUTCOMES + (FAILED if api != "chat" else [])]


@pytest.mark.parametrize(("api", "outcome"), CASES, ids=str)
async def test_every_outcome_is_the_same_and_all_of_its_text_is_said(
    turns: Asking, server: ModelServer, outcome: Any
) -> None:
    plain = await unwatched(turns, server, outcome=outcome, answer=LONG)
    server.fault(turns.call, outcome=outcome, answer=LONG)
    answer = await turns.ask()

    assert replace(answer, response_id=None, input_tokens=None) == replace(plain, response_id=None, input_tokens=None)
    assert answer.response_id
    assert answer.input_tokens
    assert server.requests(turns.call)[-1]["body"]["stream"] is True


async def test_answer_is_said_word_by_word(turns: Asking, server: ModelServer) -> None:
    server.fault(turns.call, answer=LONG)
    await turns.ask()

    assert turns.watcher is not None
    assert turns.watcher.requests == [streams.pieces(LONG)]


async def test_answer_in_a_form_is_the_same(turns: Asking, server: ModelServer) -> None:
    schema = {"type": "object", "properties": {"a": {"enum": ["yes", "no"]}}, "required": ["a"]}
    answer = await turns.ask(spec=assistant(output_schema=schema))

    assert json.loads(answer.text)["a"] in {"yes", "no"}
    assert len(server.requests(turns.call)) == 1


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("api", ["chat"])
async def test_every_form_of_a_completion_is_the_same_in_chunks(turns: Asking, server: ModelServer, seen: str) -> None:
    body, text, outcome = SEEN[seen]
    plain = await unwatched(turns, server, reply={"status": 200, "json": body})
    answer = await read(turns, server, chunked(body))

    assert answer == plain
    assert (answer.text, (answer.outcome, answer.detail)) == (text, outcome)


@pytest.mark.parametrize(("body", "outcome"), SPARSE, ids=str)
@pytest.mark.parametrize("api", ["conversations", "responses"])
async def test_every_form_of_a_response_is_the_same_in_events(
    turns: Asking, server: ModelServer, body: dict[str, Any], outcome: Outcome
) -> None:
    plain = await unwatched(turns, server, reply={"status": 200, "json": body})
    answer = await read(turns, server, told(body))

    assert answer == plain
    assert answer.outcome is outcome


async def test_nobody_watching_changes_no_request(turns: Asking, server: ModelServer) -> None:
    await unwatched(turns, server)

    [request] = server.requests(turns.call)
    assert not {"stream", "stream_options"} & request["body"].keys()


# What is not said


COMMENTED = [
    message("assistant", "Let me look first.", phase="commentary"),
    message("assistant", LONG, phase="final_answer"),
    message("assistant", "I hope that helps.", phase="commentary"),
]


@pytest.mark.parametrize("api", ["conversations", "responses"])
async def test_commentary_is_not_said(turns: Asking, server: ModelServer) -> None:
    await read(turns, server, told({"id": "resp_1", "status": "completed", "output": COMMENTED}))

    assert turns.watcher is not None
    assert turns.watcher.requests == [streams.pieces(LONG)]


@pytest.mark.parametrize("api", ["conversations", "responses"])
async def test_what_turns_out_not_to_be_the_answer_is_taken_back(turns: Asking, server: ModelServer) -> None:
    said = [message("assistant", "Let me look first."), *COMMENTED[1:]]
    await read(turns, server, told({"id": "resp_1", "status": "completed", "output": said}))

    assert turns.watcher is not None
    assert turns.watcher.requests == [streams.pieces("Let me look first."), streams.pieces(LONG)]


@pytest.mark.parametrize("cut", [1, 3, 8, 50])
@pytest.mark.parametrize("thought", ["<think>A? B?</think>\n\n", "\n<think></think>", " <think>1 < 2</th</think>"])
async def test_thought_at_the_head_is_not_said(turns: Asking, server: ModelServer, thought: str, cut: int) -> None:
    answer = await read(turns, server, in_pieces(turns, thought + LONG, cut))

    assert answer.text == LONG
    assert turns.watcher is not None
    assert len(turns.watcher.requests) == 1, "nothing had to be taken back"


async def test_thought_whose_beginning_is_in_the_template_is_taken_back(turns: Asking, server: ModelServer) -> None:
    answer = await read(turns, server, in_pieces(turns, "A? B?\n</think>\n\n" + LONG, 8))

    assert answer.text == LONG
    assert turns.watcher is not None
    assert turns.watcher.requests[-1] == [LONG]


def in_pieces(turns: Asking, whole: str, cut: int) -> str:
    """A stream of this text in pieces of so many characters."""
    pieces = [whole[start : start + cut] for start in range(0, len(whole), cut)]
    if turns.api == "chat":
        return sse(*map(chunk, pieces), chunk(reason="stop"), "[DONE]")
    deltas = [{"type": "response.output_text.delta", "output_index": 0, "delta": piece} for piece in pieces]
    response = {"id": "resp_1", "status": "completed", "output": [message("assistant", whole)]}
    return sse(*deltas, {"type": "response.completed", "response": response})


# What comes is not as it should be


async def test_server_that_streams_nothing_is_read_all_the_same(turns: Asking, server: ModelServer) -> None:
    body = completion(says(LONG)) if turns.api == "chat" else {"id": "resp_1", "output_text": LONG}
    server.fault(turns.call, reply={"status": 200, "json": body})

    assert (await turns.ask()).text == LONG


def whole(api: Api) -> str:
    """A stream of one answer with characters of several bytes."""
    text = "Ja, natürlich — 👍 sagt Zoë."
    if api == "chat":
        return chunked(completion(says(text), usage={"prompt_tokens": 7, "completion_tokens": 3}))
    usage = {"input_tokens": 7, "output_tokens": 3}
    output = [message("assistant", text) | {"id": "msg_1"}]
    return told({"id": "resp_1", "status": "completed", "model": "m-1", "output": output, "usage": usage})


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("escaped", [True, False])
async def test_stream_is_read_however_it_is_cut_and_ended(
    turns: Asking, server: ModelServer, end: str, *, escaped: bool
) -> None:
    text = whole(turns.api).replace("\n\n", "\n\n: keep-alive\n\nevent: ping\ndata: {}\n\nid: 7\nretry: 5\ndata:\n\n")
    if not escaped:
        text = "\ufeff" + text.encode().decode("unicode_escape").encode("utf-16", "surrogatepass").decode("utf-16")
    server.fault(turns.call, drip=20_000, **stream_of(text.replace("\n", end)))
    answer = await turns.ask()

    assert (answer.text, answer.input_tokens, answer.output_tokens) == ("Ja, natürlich — 👍 sagt Zoë.", 7, 3)


@pytest.mark.parametrize("api", ["chat"])
async def test_halves_of_a_character_in_two_chunks_are_one(turns: Asking, server: ModelServer) -> None:
    answer = await read(turns, server, sse(chunk("Yes \ud83d"), chunk("\udc4d \ud83d"), chunk(".", "stop")))

    assert answer.text == "Yes \U0001f44d \ufffd."


@pytest.mark.parametrize(
    ("events", "tokens"),
    [
        ([chunk("Yes"), chunk("."), chunk(reason="stop")], None),
        ([chunk("Yes"), chunk(".", "stop", usage={"prompt_tokens": 7})], 7),
        ([chunk("Yes", usage={"prompt_tokens": 1}), chunk(".", "stop", usage={"prompt_tokens": 7}), "[DONE]"], 7),
        ([chunk("Yes."), "[DONE]"], None),
        ([{"choices": [{"message": {"content": "Yes."}, "finish_reason": "stop"}]}], None),
        ([chunk("Ye"), {"choices": [{"message": {"content": "Yes."}, "finish_reason": "stop"}]}], None),
        ([{"choices": [], "prompt_filter_results": [{}]}, chunk("Yes.", "stop")], None),
        (
            [chunk("Yes.", "stop"), chunk("No.", "stop") | {"choices": [{"index": 1, "delta": {"content": "No."}}]}],
            None,
        ),
    ],
    ids=lambda part: str(part)[:60],
)
@pytest.mark.parametrize("api", ["chat"])
async def test_chunks_of_other_servers_come_to_an_answer(
    turns: Asking, server: ModelServer, events: list[Any], tokens: int | None
) -> None:
    answer = await read(turns, server, sse(*events))

    assert (answer.text, answer.outcome, answer.input_tokens) == ("Yes.", Outcome.OK, tokens)


def response_event(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", **more}


@pytest.mark.parametrize(
    "events",
    [
        [response_event("completed", response={"id": "resp_1", "output_text": "Yes."})],
        [
            response_event("output_item.done", output_index=0, item=message("assistant", "Yes.")),
            response_event("completed", response={"id": "resp_1", "output": []}),
        ],
        [
            response_event("output_text.delta", delta="Ye"),
            response_event("output_text.delta", delta="s."),
            response_event("completed", response={"id": "resp_1"}),
            "[DONE]",
        ],
        [
            response_event("output_text.delta", output_index=[1], delta=7),
            response_event("output_item.added", output_index={}, item=None),
            response_event("reasoning_text.delta", output_index=0, delta="Hm."),
            response_event("completed", response={"id": "resp_1", "output": [message("assistant", "Yes.")]}),
        ],
    ],
    ids=lambda part: str(part)[:60],
)
@pytest.mark.parametrize("api", ["conversations", "responses"])
async def test_events_of_other_servers_come_to_an_answer(turns: Asking, server: ModelServer, events: list[Any]) -> None:
    answer = await read(turns, server, sse(*events))

    assert (answer.text, answer.outcome, answer.response_id) == ("Yes.", Outcome.OK, "resp_1")


@pytest.mark.parametrize(
    "text",
    [
        ": nothing\n\n",
        "data: [DONE]\n\n",
        "data: {}\n\ndata: [DONE]\n\n",
        'data: {"choices": 7}\n\n',
        'data: {"choices": [{"delta": {"content": "Ye\n\n',
        'data: {"type": "response.completed"}\n\n',
        'data: {"type": "response.completed", "response": {"output": []}}\n\n',
        "data: " + "[" * 100_000 + "\n\n",
        "data: {\n\n",
    ],
    ids=lambda text: text[:50],
)
async def test_stream_that_is_none_may_have_been_paid(turns: Asking, server: ModelServer, text: str) -> None:
    with pytest.raises(ModelUnknown):
        await read(turns, server, text)
    assert server.counts()["calls"][turns.call] == 1


# It ends too early


@pytest.mark.parametrize("then", ["cut", "end", "error"])
@pytest.mark.parametrize("after", [0, 1, 5])
async def test_stream_that_breaks_off_may_have_run(
    turns: Asking, server: ModelServer, counted: Any, then: str, after: int
) -> None:
    server.fault(turns.call, answer=LONG, stream={"after": after, "then": then})

    with pytest.raises(ModelUnknown):
        await turns.ask()

    assert turns.watcher is not None
    assert turns.watcher.text == "".join(streams.pieces(LONG)[:after])
    assert counted("model_calls", "unknown") == 1
    assert server.counts()["calls"][turns.call] == 1
    assert (await turns.ask()).outcome is Outcome.OK, "the connections are of use"


@pytest.mark.parametrize("then", ["cut", "end", "error"])
async def test_answer_whose_stream_broke_off_is_found_on_the_thread(
    model: OpenAIProvider, server: ModelServer, thread: str, then: str
) -> None:
    server.fault("responses.create", answer=LONG, stream={"after": 3, "then": then})
    put = question()
    with pytest.raises(ModelUnknown):
        await model.ask(thread, put, assistant(), FakeWatcher())

    found = await model.look(thread, put.ref)
    assert found is not None
    assert found.text == LONG


@pytest.mark.parametrize("fault", [{"pause": 0.5}, {"after": 2, "then": "stall"}], ids=str)
async def test_stream_ends_at_the_limit_of_its_call(turns: Asking, server: ModelServer, fault: Any) -> None:
    server.fault(turns.call, answer=LONG, stream=fault)

    async with asyncio.timeout(5):
        with pytest.raises(ModelUnknown, match=r"no whole reply within 0.3 s"):
            await turns.ask(spec=assistant(timeout=timedelta(seconds=0.3)))


async def test_answer_that_has_ended_is_not_lost_for_what_was_to_follow() -> None:
    reply = sse(chunk("Yes."), chunk(reason="stop")).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {len(reply) + 99}\r\n\r\n".encode()
    async with (
        raw_server(head + reply) as raw,
        asking(ProviderSpec(api="chat", base_url=raw.base_url), streamed=True) as turns,
    ):
        assert (await turns.ask()).text == "Yes."


async def test_turn_that_is_given_up_in_its_middle_hangs_up(turns: Asking, server: ModelServer) -> None:
    server.fault(turns.call, answer=LONG, stream={"after": 2, "then": "stall"})
    running = asyncio.create_task(turns.ask(), name="turn")
    await wait_until(lambda: turns.watcher is not None and turns.watcher.text)

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert (await turns.ask()).outcome is Outcome.OK
    await wait_until(lambda: all(each["status"] for each in server.requests(turns.call)), what="the stall's end")


ERRORS: list[tuple[str, type[WorkerError] | None]] = [
    ("server_error", ModelUnknown),
    ("rate_limit_exceeded", ModelUnknown),
    ("", ModelUnknown),
    ("conversation_locked", ThreadLocked),
    ("insufficient_quota", ProviderPaused),
    ("context_length_exceeded", ContextFull),
    ("content_filter", None),
]


def error_events(code: str) -> Iterable[Any]:
    """Errors as the APIs, and servers of them, have them in a stream."""
    words = {"code": code, "message": "No.", "param": None}
    yield {"type": "error", **words, "sequence_number": 3}
    yield {"type": "error", "error": {"type": "some_error", **words}}
    yield {"error": {"type": "some_error", **words}}
    yield {"object": "error", "type": "some_error", **words}
    yield [{"error": words}]


@pytest.mark.parametrize(("code", "error"), ERRORS)
@pytest.mark.parametrize("form", range(5))
async def test_error_before_anything_is_said_means_what_it_means_without_a_stream(
    turns: Asking, server: ModelServer, code: str, error: type[WorkerError] | None, form: int
) -> None:
    text = sse(list(error_events(code))[form])
    if error is None:
        assert (await read(turns, server, text)).outcome is Outcome.FILTERED
        return
    with pytest.raises(WorkerError) as caught:
        await read(turns, server, text)
    assert type(caught.value) is error


@pytest.mark.parametrize("code", ["server_error", "insufficient_quota", "context_length_exceeded", "model_not_found"])
async def test_error_behind_the_beginning_of_an_answer_cannot_undo_the_call(
    turns: Asking, server: ModelServer, code: str
) -> None:
    server.fault(turns.call, answer=LONG, stream={"after": 3, "then": "error", "code": code})

    with pytest.raises(ModelUnknown, match=f"gave up on a reply that it had begun.*{code}"):
        await turns.ask()


async def test_filter_that_stops_an_answer_in_its_middle_takes_back_what_was_said(
    turns: Asking, server: ModelServer
) -> None:
    server.fault(turns.call, answer=LONG, stream={"after": 3, "then": "error", "code": "content_filter"})

    assert (await turns.ask()).outcome is Outcome.FILTERED
    assert turns.watcher is not None
    assert turns.watcher.requests == [streams.pieces(LONG)[:3], []]


# It is refused


def streams_sent(server: ModelServer, call: str) -> list[tuple[bool, bool]]:
    """Of each request whether it wanted a stream, and what that took."""
    bodies = [request["body"] for request in server.requests(call)]
    return [(bool(body.get("stream")), "stream_options" in body) for body in bodies]


@pytest.mark.parametrize(
    "refusal",
    [
        {"status": 400, "json": {"error": {"message": "Unrecognized request argument supplied: stream_options"}}},
        {"status": 422, "json": {"detail": [{"loc": ["body", "stream_options"], "msg": "Extra inputs"}]}},
        {"status": 400, "json": {"error": {"message": "No.", "param": "stream_options", "code": "unknown_parameter"}}},
    ],
    ids=str,
)
@pytest.mark.parametrize("api", ["chat"])
async def test_server_without_the_option_streams_without_it(turns: Asking, server: ModelServer, refusal: Any) -> None:
    server.fault(turns.call, times=None, text='"stream_options"', reply=refusal)

    answers = [await turns.ask() for _ in range(3)]

    assert {answer.outcome for answer in answers} == {Outcome.OK}
    assert streams_sent(server, turns.call) == [(True, True), (False, False), (True, False), (True, False)]
    assert [answer.input_tokens is None for answer in answers] == [False, True, True]


async def test_server_that_refuses_streams_is_asked_as_if_nobody_watched(turns: Asking, server: ModelServer) -> None:
    server.fault(turns.call, times=None, text='"stream"', reply={"status": 400, "message": "No streams here."})

    answers = [await turns.ask() for _ in range(4)]

    assert {answer.outcome for answer in answers} == {Outcome.OK}
    wanted = [stream for stream, _ in streams_sent(server, turns.call)]
    refused = 2 if turns.api == "chat" else 1
    assert wanted == [True, False] * refused + [False] * (4 - refused)


async def test_history_goes_along(server: ModelServer) -> None:
    async with asking(ProviderSpec(api="chat", key=KEY, base_url=server.base_url), streamed=True) as turns:
        await turns.ask("And now?", said=[Said("user", "Is the bridge open?"), Said("assistant", "Yes.")])

    [request] = server.requests()
    assert request["body"]["stream_options"] == {"include_usage": True}
    assert [each["content"] for each in request["body"]["messages"][1:]] == ["Is the bridge open?", "Yes.", "And now?"]


async def test_page_in_place_of_a_stream_is_told_from_an_answer(api: Api) -> None:
    page = http("200 OK", b"<html>data: {}</html>")
    async with (
        raw_server(page) as raw,
        asking(ProviderSpec(api=api, base_url=raw.base_url), streamed=True) as turns,
    ):
        with pytest.raises(ModelUnknown, match="not what the API promises"):
            await turns.ask()
