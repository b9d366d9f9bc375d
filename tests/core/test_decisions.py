"""Decision questions in a turn: asked once, beside every conversation, and left to a person where they are unsure."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.core.rig import Core
from tests.core.test_calls import set_retries
from tests.fakes.clock import now
from tests.fakes.engine import Job
from tests.fakes.life import Life
from worker.domain.budgets import Budgets, Limit
from worker.domain.questions import DecisionQuestion, Option, written
from worker.domain.stops import Stop
from worker.domain.threads import Answer, Outcome, ThreadKey
from worker.errors import ModelDown, ModelUnknown, ProviderAway
from worker.redis.keys import Keys
from worker.telemetry.logs import Event

QUESTIONS: list[dict[str, Any]] = [
    {"name": "fit", "type": "predicate", "instructions": "Does it fit the budget?"},
    {"name": "route", "type": "choice", "instructions": "Who decides?", "choices": ["board", "office"]},
]
FIT = DecisionQuestion("fit", "predicate", "Does it fit the budget?")
ROUTE = DecisionQuestion("route", "choice", "Who decides?", (Option("board"), Option("office")))
BY_FORM = '{"fit": true, "route": "office"}'


def weighed(fit: float = 0.9, route: float = 0.8, **more: Any) -> Answer:
    answers = {"fit": FIT.likely(fit), "route": ROUTE.decided("board", route, [route, 1 - route])}
    return Answer(written(answers), weighed=True, model="judge-1", input_tokens=70, output_tokens=0, **more)


def asking(core: Core, said: Any = QUESTIONS, name: str = "frame", **more: str) -> None:
    """Have an activity that asks these; `_` stands for `.`."""
    wants = {"service.type": "assistant", "service.name": "analyst"}
    wants["data.questions"] = said if isinstance(said, str) else json.dumps(said)
    core.world.activity(name, properties=wants | {name.replace("_", "."): value for name, value in more.items()})


@pytest.fixture(autouse=True)
def judged(core: Core) -> Core:
    """The analyst is at a provider that weighs answers; others are there as well."""
    core.several = core.weighing = True
    core.assistants.add("analyst", provider="judge", model="judge-latest")
    core.judge.answer = lambda _: weighed()
    asking(core)
    return core


async def outlived(core: Core, point: str) -> Job:
    """A task whose worker dies there, and that another one then brings to its end."""
    dying = await core.worker(life=Life(point))
    dying.start()
    job = core.world.start()
    await core.until(lambda: dying.life.is_over)
    async with core.working():
        await core.until_over([job])
    return job


async def done(core: Core, **of_job: Any) -> Job:
    async with core.working():
        job = core.world.start(**of_job)
        await core.until(lambda: job.gone or job.message)
    return job


def values(job: Job) -> dict[str, Any]:
    return {name: each.value for name, each in job.results.items() if not name.endswith("_meta") and name != "frame"}


def asked(core: Core) -> int:
    """How many calls any model has had."""
    return len(core.judge.told) + len(core.model.told) + len(core.provider.asked)


async def test_answers_are_variables_and_meta_says_who_was_asked(core: Core) -> None:
    job = await done(core)
    meta = json.loads(job.results["frame_meta"].value)

    assert values(job) == {
        "fit": True,
        "fit_confidence": 0.9,
        "route": "board",
        "route_confidence": 0.8,
        "frame_unsure": False,
    }
    assert (meta["model"], meta["provider"], meta["response"], meta["thread"]) == ("judge-1", "judge", None, None)
    assert (meta["use"], meta["memory"], meta["unsure"]) == ("apart", None, [])


async def test_the_questions_go_to_who_weighs_them_as_such_and_the_text_says_nothing_of_them(core: Core) -> None:
    await done(core)
    [(said, text, assistant)] = core.judge.script.named("ask")

    assert said == []
    assert assistant.questions == (FIT, ROUTE)
    assert "Who decides?" not in text
    assert "JSON" not in text


async def test_questions_may_stand_in_a_file_of_the_deployment(core: Core) -> None:
    asking(core, "gate.json")
    core.world.resources["decision:1:d", "gate.json"] = json.dumps(QUESTIONS)
    assert values(await done(core))["route"] == "board"

    core.world.resources["decision:1:d", "gate.json"] = "[]"
    job = await done(core)
    assert "the resource 'gate.json' in property data.questions has to be a list of 1 to 400" in job.message


async def test_the_conversation_of_the_instance_hears_nothing_of_it(core: Core) -> None:
    core.assistants.add("speaker", provider="local")
    talking = {"service.type": "assistant", "service.name": "speaker"}
    core.world.activity("talk", properties=talking)
    asking(core, service_name="speaker")
    core.model.answer = lambda question: Answer(BY_FORM if "Who decides?" in question else "Noted.")
    async with core.working():
        for step in ("talk", "frame", "talk"):
            await core.until_over([core.world.start(step, instance="a")])

    told = [[each.text for each in said] for said, _ in core.model.told]
    assert told[1] == []
    assert len(told[2]) == 2
    assert BY_FORM not in told[2]


async def test_the_transcript_has_the_exchange_on_no_thread(core: Core) -> None:
    job = await done(core, instance="a")
    key = ThreadKey("default", f"task:{job.task.id}", "analyst")
    [exchange] = (await exchanges(core, key, job)).values()

    assert (exchange["thread_id"], exchange["generation"], exchange["response_id"]) == (None, None, None)
    assert (exchange["use"], exchange["model"], exchange["outcome"]) == ("apart", "judge-1", "ok")
    assert json.loads(exchange["answer"])["fit"]["probability"] == 0.9
    assert await core.redis.exists(Keys.of("aw", key).said) == 0
    assert not await core.redis.keys("*{a:analyst}*")


async def exchanges(core: Core, key: ThreadKey, job: Job) -> dict[str, Any]:
    """What waits for the transcript of this task, by attempt."""
    kept = await core.redis.hgetall(Keys.of("aw", key).turn(job.task.id))
    turn = {str(name): text for name, text in kept.items()}
    return {
        name: json.loads(text) for name, text in turn.items() if name.startswith("exchange:") and name[-1].isdigit()
    }


async def test_less_confidence_than_the_bar_completes_and_says_so(core: Core) -> None:
    asking(core, service_confidence="0.85")
    with capture_logs() as lines:
        job = await done(core)

    [line] = [each for each in lines if each["event"] == Event.TURN]
    assert (line["outcome"], "thread_id" in line) == ("unsure", False)
    assert values(job)["frame_unsure"] is True
    assert json.loads(job.results["frame_meta"].value)["unsure"] == ["route"]
    assert job.retries is None
    assert asked(core) == 1


async def test_less_confidence_than_the_bar_is_the_error_that_the_task_names_with_what_was_answered(core: Core) -> None:
    asking(core, service_confidence="0.85", error_unsure="ASK_SOMEBODY")
    async with core.working() as worker:
        job = core.world.start()
        await core.until_over([job])
    [(_, code, message, variables)] = worker.engine.script.named("bpmn_error")

    assert (code, job.error_code) == ("ASK_SOMEBODY", "ASK_SOMEBODY")
    assert "the answer is unsure (route)" in message
    assert (variables["route"].value, variables["frame_unsure"].value) == ("board", True)
    assert asked(core) == 1


async def test_an_unsure_answer_is_not_paid_again_by_whatever_refuses_the_error(core: Core) -> None:
    asking(core, service_confidence="0.85", error_unsure="ASK_SOMEBODY")
    async with core.working() as worker:
        worker.engine.script.next("bpmn_error", ModelDown("engine away"), ModelDown("engine away"))
        job = core.world.start()
        await core.until(lambda: job.gone or job.has_incident)
        if job.has_incident:
            set_retries(core, job, 1)
        await core.until_over([job])

    assert job.error_code == "ASK_SOMEBODY"
    assert asked(core) == 1


async def test_a_question_that_is_refused_leaves_the_others_their_answers(core: Core) -> None:
    answers = {"fit": FIT.refused(), "route": ROUTE.decided("board", 0.8, [0.8, 0.2])}
    core.judge.answer = lambda _: Answer(written(answers), weighed=True)
    job = await done(core)

    assert (values(job)["fit"], values(job)["route"], values(job)["frame_unsure"]) == (None, "board", True)


async def test_where_all_are_refused_the_answer_is(core: Core) -> None:
    asking(core, error_refused="NOBODY_ANSWERS", error_unsure="ASK_SOMEBODY")
    core.judge.answer = lambda _: Answer("{}", Outcome.REFUSED, weighed=True)
    assert (await done(core)).error_code == "NOBODY_ANSWERS"


@pytest.mark.parametrize("provider", ["openai", "local"])
async def test_any_provider_answers_by_a_schema_without_confidence(core: Core, provider: str) -> None:
    core.assistants.add("analyst", provider=provider)
    texts = iter(['{"fit": true, "route": "nobody"}', BY_FORM])
    core.model.answer = lambda _: Answer(next(texts))
    core.provider.answer = lambda _: Answer(next(texts))
    job = await done(core)
    [*_, (*_, put, assistant)] = (core.provider if provider == "openai" else core.model).script.named("ask")

    assert values(job) == {
        "fit": True,
        "fit_confidence": None,
        "route": "office",
        "route_confidence": None,
        "frame_unsure": False,
    }
    assert job.results["fit_confidence"].type == "Null"
    text = getattr(put, "text", put)
    assert '- route (one of those below): Who decides?\n  - "board"\n  - "office"' in text
    assert "## Correction" in text
    assert assistant.output_schema["required"] == ["fit", "route"]


@pytest.mark.parametrize("own", [False, True], ids=["task", "question"])
async def test_a_bar_where_nobody_tells_confidence_is_an_incident_before_anything_is_paid(
    core: Core, own: bool
) -> None:
    core.assistants.add("analyst", provider="local")
    asking(
        core,
        [{**QUESTIONS[0], "confidence": 0.8}] if own else QUESTIONS,
        **{} if own else {"service_confidence": "0.8"},
    )
    job = await done(core)

    assert job.has_incident
    assert "the provider local tells none" in job.message
    assert "service.confidence.uncalibrated" in job.message
    assert asked(core) == 0


async def test_a_bar_where_nobody_tells_confidence_may_be_left_out_of_account(core: Core) -> None:
    core.assistants.add("analyst", provider="local")
    asking(core, service_confidence="0.8", service_confidence_uncalibrated="allow")
    core.model.answer = lambda _: Answer(BY_FORM)
    assert values(await done(core))["frame_unsure"] is False


@pytest.mark.parametrize("allow", [False, True])
async def test_what_is_weighed_falls_back_to_who_weighs_none_only_where_the_task_allows_it(
    core: Core, allow: bool
) -> None:
    core.assistants.add("analyst", provider="judge", fallback=(("local", "m"),))
    asking(core, **{"service_confidence_uncalibrated": "allow"} if allow else {})
    core.judge.script.always("ask", ProviderAway("nobody there"))
    core.judge.script.always("ping", ProviderAway("nobody there"))
    core.model.answer = lambda _: Answer(BY_FORM)
    async with core.working():
        job = core.world.start()
        await asyncio.sleep(600)

    assert (job.gone, len(core.model.told)) == (allow, int(allow))
    assert (job.retries, job.message) == (None, "")


@pytest.mark.parametrize("point", ["after:judge.ask", "before:threads.keep_answer"])
async def test_a_worker_that_dies_with_the_answer_has_it_asked_again_and_both_calls_counted(
    core: Core, point: str
) -> None:
    job = await outlived(core, point)
    entry = await core.threads.enter(ThreadKey("default", f"task:{job.task.id}", "analyst"), job.task.id, job.retries)

    assert values(job)["route"] == "board"
    assert (asked(core), entry.calls) == (2, 2)  # type: ignore[union-attr]  # it is not busy


async def test_an_answer_in_the_journal_is_delivered_without_another_call(core: Core) -> None:
    job = await outlived(core, "after:threads.keep_answer")

    assert values(job)["route_confidence"] == 0.8
    assert json.loads(job.results["frame_meta"].value)["recovered"] == "journal"
    assert asked(core) == 1


async def test_calls_that_may_have_been_paid_are_bounded(core: Core) -> None:
    core.judge.script.always("ask", ModelUnknown("no whole reply within 60 s"))
    job = await done(core)
    async with core.working():
        await core.until(lambda: job.has_incident)

    assert "3 calls of the model may have been paid" in job.message
    assert asked(core) == 3


async def test_a_budget_bounds_them(core: Core) -> None:
    core.budgets = Budgets({"task": Limit(tokens=10)})
    job = await done(core)
    assert "error.over_budget" in job.message
    assert asked(core) == 0


async def test_a_stop_holds_them_back(core: Core) -> None:
    await core.stops.stop(Stop("provider", "judge", "ann", now()))
    async with core.working():
        job = core.world.start()
        await asyncio.sleep(timedelta(minutes=10).total_seconds())

    assert (asked(core), job.retries, job.message) == (0, None, "")
