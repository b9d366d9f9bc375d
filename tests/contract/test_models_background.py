"""Turns in the background: begun, followed, cancelled, and what their ends mean."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.contract.questions import assistant, question
from tests.waiting import wait_until
from worker.demo.model import ModelServer
from worker.domain.threads import Outcome
from worker.errors import ModelDown, ModelUnknown, ProviderPaused, ThreadGone, ThreadLocked
from worker.providers import OpenAIProvider, openai

Counted = Callable[[str, str], float]
NO_TIME = timedelta(0)
LONG = timedelta(seconds=60)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(openai, "LONGEST_PAUSE_SECONDS", 0.05)


async def begun(model: OpenAIProvider, server: ModelServer, thread: str, **fault: Any) -> str:
    """Start a turn that this fault spoils and return its response id."""
    server.fault("responses.create", **fault)
    return await model.start(thread, question(), assistant())


async def test_start_asks_for_a_stored_response_in_the_background_and_otherwise_as_ask_does(
    model: OpenAIProvider, server: ModelServer, thread: str
) -> None:
    put = question()
    await model.follow(await model.start(thread, put, assistant()), LONG)
    await model.ask(thread, put, assistant())

    background, foreground = (each["body"] for each in server.requests("responses.create"))
    assert background == foreground | {"background": True, "store": True}


async def test_answer_comes_when_the_run_has_ended(
    model: OpenAIProvider, server: ModelServer, thread: str, counted: Counted
) -> None:
    run = await begun(model, server, thread, hold="gate", answer="At last.")
    following = asyncio.create_task(model.follow(run, LONG), name="follow")
    await wait_until(lambda: len(server.requests("responses.retrieve")) >= 3)
    assert not following.done()
    server.release("gate")
    answer = await following

    assert answer is not None
    assert (answer.text, answer.outcome, answer.response_id) == ("At last.", Outcome.OK, run)
    assert counted("model_calls", "ok") == 1
    assert answer.output_tokens


async def test_pauses_grow_to_a_limit(
    model: OpenAIProvider, server: ModelServer, thread: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("worker.providers.openai.random.uniform", lambda _low, high: high)
    run = await begun(model, server, thread, hold="gate")
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 6:
            server.release("gate")
        await sleep(seconds)

    monkeypatch.setattr("worker.providers.openai.asyncio.sleep", noted)
    await model.follow(run, LONG)

    assert [seconds for seconds in slept if seconds][:5] == [0.01, 0.02, 0.04, 0.05, 0.05]


@pytest.mark.parametrize(
    ("fault", "outcome", "detail"),
    [
        ({"outcome": "refused"}, Outcome.REFUSED, ""),
        ({"outcome": "filtered"}, Outcome.FILTERED, "content_filter"),
        ({"outcome": "incomplete"}, Outcome.INCOMPLETE, "max_output_tokens"),
        ({"outcome": {"name": "failed", "code": "invalid_prompt"}}, Outcome.FILTERED, "invalid_prompt"),
        ({"outcome": {"name": "failed", "code": "data_residency_mismatch"}}, Outcome.FAILED, "data_residency_mismatch"),
        ({"outcome": "reasoning_only"}, Outcome.EMPTY, "no message"),
    ],
)
async def test_bad_outcomes_are_those_of_the_foreground(
    model: OpenAIProvider, server: ModelServer, thread: str, fault: dict[str, Any], outcome: Outcome, detail: str
) -> None:
    answer = await model.follow(await begun(model, server, thread, **fault), LONG)

    assert answer is not None
    assert (answer.outcome, answer.detail) == (outcome, detail)


@pytest.mark.parametrize(("code", "error"), [("server_error", ModelDown), ("insufficient_quota", ProviderPaused)])
async def test_run_that_failed_by_the_server_is_over(
    model: OpenAIProvider, server: ModelServer, thread: str, code: str, error: type[ModelDown]
) -> None:
    run = await begun(model, server, thread, outcome={"name": "failed", "code": code})

    with pytest.raises(error, match=code):
        await model.follow(run, LONG)


async def test_run_that_is_still_queued_at_its_deadline_is_cancelled(
    model: OpenAIProvider, server: ModelServer, thread: str, counted: Counted
) -> None:
    run = await begun(model, server, thread, queued=True)

    with pytest.raises(ModelDown, match="cancelled after its deadline"):
        await model.follow(run, timedelta(seconds=0.1))

    assert server.counts()["running"] == []
    assert len(server.requests("responses.cancel")) == 1
    assert counted("model_calls", "down") == 1


async def test_run_that_somebody_else_cancelled_is_over(
    model: OpenAIProvider, server: ModelServer, thread: str
) -> None:
    run = await begun(model, server, thread, queued=True)
    await model.cancel(run)

    with pytest.raises(ModelDown, match=r"the run was cancelled$"):
        await model.follow(run, LONG)


async def test_run_that_ended_after_its_deadline_but_before_anybody_looked_has_its_answer(
    model: OpenAIProvider, server: ModelServer, thread: str
) -> None:
    run = await model.start(thread, question(), assistant())
    await wait_until(lambda: server.counts()["turns"][thread])

    assert await model.follow(run, -LONG) is not None
    assert server.requests("responses.cancel") == []


async def test_answer_that_comes_with_the_reply_to_the_cancellation_counts(
    model: OpenAIProvider, server: ModelServer, thread: str
) -> None:
    run = await begun(model, server, thread, hold="gate")
    server.fault("responses.retrieve", reply={"status": 200, "json": {"id": run, "status": "in_progress"}})
    server.release("gate")
    await wait_until(lambda: server.counts()["turns"][thread])

    answer = await model.follow(run, NO_TIME)

    assert answer is not None
    assert answer.outcome is Outcome.OK
    assert len(server.requests("responses.cancel")) == 1


async def test_run_that_is_over_and_so_cannot_be_cancelled_is_over(
    model: OpenAIProvider, server: ModelServer, thread: str
) -> None:
    run = await model.start(thread, question(), assistant())
    await wait_until(lambda: server.counts()["turns"][thread])
    server.fault("responses.retrieve", reply={"status": 200, "json": {"id": run, "status": "in_progress"}})
    server.fault("responses.cancel", times=None, reply={"status": 409, "json": {"detail": "It is completed."}})

    answer = await model.follow(run, NO_TIME)

    assert answer is not None
    await model.cancel(run)


@pytest.mark.parametrize("reply", ["server_error", "rate_limit", "unauthorized", "html_404", "not_json_200"])
async def test_trouble_with_looking_at_a_run_is_not_the_end_of_the_run(
    model: OpenAIProvider, server: ModelServer, thread: str, reply: str
) -> None:
    run = await begun(model, server, thread, hold="gate")
    server.fault("responses.retrieve", times=3, reply=reply)
    server.release("gate")

    assert await model.follow(run, LONG) is not None


@pytest.mark.parametrize("reply", ["server_error", "rate_limit", "unauthorized", "html_404"])
async def test_run_that_cannot_be_cancelled_may_go_on(
    model: OpenAIProvider, server: ModelServer, thread: str, reply: str
) -> None:
    run = await begun(model, server, thread, queued=True)
    server.fault("responses.cancel", reply=reply)

    with pytest.raises(ModelUnknown, match=r"responses\.cancel"):
        await model.follow(run, NO_TIME)


async def test_run_that_goes_on_after_its_cancellation_is_unknown(
    model: OpenAIProvider, server: ModelServer, thread: str
) -> None:
    run = await begun(model, server, thread, queued=True)
    server.fault("responses.cancel", reply={"status": 200, "json": {"id": run, "status": "in_progress"}})

    with pytest.raises(ModelUnknown, match="goes on"):
        await model.follow(run, NO_TIME)


@pytest.mark.parametrize("run", ["resp_never_was", "resp/../1?a=b", "ü"])
async def test_run_that_the_provider_does_not_know_is_none(model: OpenAIProvider, run: str) -> None:
    assert await model.follow(run, LONG) is None
    await model.cancel(run)


@pytest.mark.parametrize(
    "reply",
    [
        {"status": 400, "message": "Invalid 'response_id'.", "type": "invalid_request_error"},
        {"status": 200, "json": {"id": "resp_1", "status": "expired", "output": []}},
    ],
)
async def test_run_that_has_no_answer_to_fetch_any_more_is_none(
    model: OpenAIProvider, server: ModelServer, thread: str, reply: dict[str, Any]
) -> None:
    run = await begun(model, server, thread)
    server.fault("responses.retrieve", reply=reply)

    assert await model.follow(run, LONG) is None


async def test_start_on_a_busy_thread_is_locked_and_on_a_deleted_one_gone(
    model: OpenAIProvider, server: ModelServer, thread: str, counted: Counted
) -> None:
    await begun(model, server, thread, queued=True)

    with pytest.raises(ThreadLocked):
        await model.start(thread, question(), assistant())
    server.forget(thread)
    for gone in (thread, "thread_abc"):
        with pytest.raises(ThreadGone):
            await model.start(gone, question(), assistant())
    assert (counted("model_calls", "locked"), counted("model_calls", "gone")) == (1, 2)


async def test_run_that_has_no_id_may_have_begun(model: OpenAIProvider, server: ModelServer, thread: str) -> None:
    body = '{"id": null, "status": "queued", "output": [{}]}'
    server.fault(
        "responses.create", reply={"status": 200, "text": body, "headers": {"Content-Type": "application/json"}}
    )
    with pytest.raises(ModelUnknown, match="has no id"):
        await model.start(thread, question(), assistant())


async def test_start_whose_reply_is_lost_may_have_begun(
    model: OpenAIProvider, server: ModelServer, thread: str
) -> None:
    server.fault("responses.create", cut=True)
    put = question()

    with pytest.raises(ModelUnknown):
        await model.start(thread, put, assistant())

    await wait_until(lambda: server.counts()["turns"][thread])
    assert await model.look(thread, put.ref) is not None
