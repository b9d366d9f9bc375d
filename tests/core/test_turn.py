"""One task → what the engine is told, by every way that there is."""

import asyncio
import json
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from structlog.testing import capture_logs

from tests.core.rig import Core
from tests.fakes.engine import LOCK, Job
from worker.domain.conversations import Role, message_id
from worker.domain.exchanges import digest
from worker.domain.tasks import Variable, thread_variable_name
from worker.domain.threads import Answer, Outcome, ThreadKey
from worker.errors import (
    AssistantPaused,
    BadRequest,
    EngineDown,
    Filtered,
    ModelDown,
    ModelUnknown,
    ProviderAway,
    ProviderPaused,
    ReadRefused,
    StoreDown,
    TaskLost,
    ThreadLocked,
)


async def done(core: Core, **activity: object) -> Job:
    """One task of such an activity, seen to its end or to its failure."""
    core.world.activity(**activity)  # type: ignore[arg-type]  # fields of Activity
    async with core.working():
        job = core.world.start()
        await core.until(lambda: job.gone or job.message)
    return job


def wishing(core: Core, **properties: str) -> dict[str, object]:
    """The activity's properties with wishes; `_` stands for `.`."""
    usual = core.world.activity().properties
    return {"properties": {**usual, **{name.replace("_", "."): value for name, value in properties.items()}}}


async def test_an_activity_that_the_model_does_not_have_is_an_incident(core: Core) -> None:
    async with core.working():
        job = core.world.start()
        job.task = replace(job.task, activity_id="nowhere")
        await core.until(lambda: job.has_incident)

    assert "has no external task nowhere" in job.message


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"service_name": ""}, "names no assistant"),
        ({"service_name": "analist"}, "no assistant is called 'analist'"),
        ({"service_version": "9"}, "no assistant is called"),
        ({"service_thread": "tree"}, "service.thread"),
        ({"service_thread": "business-key"}, "no business key"),
        ({"data_output_schema": "missing.json"}, "has no resource 'missing.json'"),
    ],
)
async def test_a_wish_that_cannot_be_met_is_said(core: Core, wish: dict[str, str], said: str) -> None:
    job = await done(core, **wishing(core, **wish))

    assert said in job.message
    assert core.provider.asked == []


async def test_a_task_that_asks_nothing_is_an_incident_and_lets_go_of_its_thread(core: Core) -> None:
    silent = await done(core, documentation="")
    assert "says nothing to ask" in silent.message

    core.world.activity("other")
    async with core.working():
        other = core.world.start("other", instance=silent.task.process_instance_id)
        await core.until_over([other])


async def test_a_schema_in_the_deployment_is_applied(core: Core) -> None:
    core.world.resources["decision:1:d", "answer.json"] = '{"type": "object", "required": ["choice"]}'
    core.provider.answer = lambda _: Answer('{"choice": "a"}')
    job = await done(core, **wishing(core, data_output_schema="answer.json", data_output_fields="choice"))

    assert job.results["choice"].value == "a"


async def test_an_answer_of_the_wrong_form_is_asked_for_once_more_on_the_same_thread(core: Core) -> None:
    answers = iter(["no JSON", '{"choice": "a"}'])
    core.provider.answer = lambda _: Answer(next(answers))
    job = await done(core, **wishing(core, data_output_fields="choice"))

    assert job.results["choice"].value == "a"
    (first, asked), (second, corrected) = core.provider.asked
    assert first == second
    assert asked.ref != corrected.ref
    assert "could not be used" in corrected.text


async def test_a_second_answer_of_the_wrong_form_is_the_outcome(core: Core) -> None:
    core.provider.answer = lambda _: Answer("no JSON")
    job = await done(core, **wishing(core, data_output_fields="choice", error_invalid="BAD"))

    assert job.error_code == "BAD"
    assert len(core.provider.asked) == 2


@pytest.mark.parametrize("outcome", [each for each in Outcome if each is not Outcome.OK])
async def test_a_bad_outcome_costs_a_retry_and_is_asked_anew(core: Core, outcome: Outcome) -> None:
    answers = iter([Answer("", outcome=outcome), Answer("fine")])
    core.provider.answer = lambda _: next(answers)
    core.world.activity()
    async with core.working():
        job = core.world.start()
        await core.until_over([job])

    assert job.retries == 2
    assert job.results["frame"].value == "fine"
    assert len({question.ref for _, question in core.provider.asked}) == 2


async def test_a_question_that_is_filtered_before_it_runs_in_the_background_is_an_answer(core: Core) -> None:
    core.assistants.add("analyst", background=True)
    core.provider.script.next("start", Filtered("the provider's content filter stopped the question"))
    job = await done(core, **wishing(core, error_filtered="NO"))

    assert job.error_code == "NO"


async def test_another_instances_business_key_brings_the_same_thread(core: Core) -> None:
    core.world.activity(**wishing(core, service_thread="business-key"))  # type: ignore[arg-type]  # as above
    async with core.working():
        for instance in ("a", "b"):
            await core.until_over([core.world.start(instance=instance, business_key="order-7")])

    assert len({thread for thread, _ in core.provider.asked}) == 1
    name = thread_variable_name("analyst", by_business_key=True)
    assert name in core.world.variables["a"]
    assert name in core.world.variables["b"]


async def test_a_called_process_goes_on_with_its_roots_thread(core: Core) -> None:
    core.world.roots["child"] = "root"
    core.world.variables["root"] = {}
    core.world.activity("frame")
    core.world.activity("inner", **wishing(core, service_thread="root"))  # type: ignore[arg-type]  # as above
    async with core.working():
        await core.until_over([core.world.start("frame", instance="root")])
        await core.until_over([core.world.start("inner", instance="child")])

    assert len({thread for thread, _ in core.provider.asked}) == 1


async def test_a_task_of_its_own_has_a_thread_of_its_own_and_no_variable(core: Core) -> None:
    core.world.activity(**wishing(core, service_thread="activity"))  # type: ignore[arg-type]  # as above
    async with core.working():
        for _ in range(2):
            await core.until_over([core.world.start(instance="a")])

    assert len({thread for thread, _ in core.provider.asked}) == 2
    assert core.world.variables["a"].keys() == {"frame", "frame_meta"}


async def test_meta_says_where_the_answer_is_found_in_engine_and_transcript(core: Core) -> None:
    core.world.activity()
    async with core.working():
        job = core.world.start(activity_instance="frame:1")
        await core.until_over([job])

    meta = json.loads(job.results["frame_meta"].value)
    assert (meta["task"], meta["attempt"], meta["activity_instance"]) == (job.task.id, 1, "frame:1")
    assert meta["question"] == message_id("default", job.task.id, 1, Role.USER)
    assert meta["answer"] == message_id("default", job.task.id, 1, Role.AGENT)
    assert meta["instructions"] == digest("Be brief.")
    assert datetime.fromisoformat(meta["at"]).tzinfo is not None


async def test_local_results_stay_with_the_activity(core: Core) -> None:
    job = await done(core, **wishing(core, data_output_scope="local"))

    assert job.local.keys() == {"frame", "frame_meta"}
    assert job.results == {}


@pytest.mark.parametrize("trouble", [ModelDown("429"), ModelUnknown("timeout")])
async def test_trouble_that_says_nothing_about_the_task_costs_no_retry(core: Core, trouble: Exception) -> None:
    core.provider.script.next("ask", trouble, trouble)
    job = await done(core)
    assert job.retries == 3

    async with core.working():
        await core.until_over([job])
    assert job.retries == 3
    assert job.completed_by


async def test_trouble_that_lasts_costs_retries_and_ends_in_an_incident(core: Core) -> None:
    core.provider.script.always("ask", ModelDown("429"))
    core.world.activity()
    async with core.working():
        job = core.world.start()
        await core.until(lambda: job.has_incident, within=timedelta(hours=3))

    assert "This says nothing about the task" in job.message


@pytest.mark.parametrize("trouble", [ProviderPaused("quota"), ProviderAway("refused")])
async def test_a_provider_that_is_out_pauses_all_without_a_retry(core: Core, trouble: Exception) -> None:
    core.provider.script.next("ask", trouble)
    async with core.working():
        job = core.world.start()
        await core.until_over([job])

    assert job.retries is None


async def test_an_assistant_that_is_refused_pauses_alone(core: Core) -> None:
    core.assistants.add("other")
    core.world.activity("elsewhere", **wishing(core, service_name="other"))  # type: ignore[arg-type]  # as above

    def refuse() -> None:
        asked = core.provider.script.named("ask")[-1][2]
        if asked.name == "analyst":
            raise AssistantPaused("no right")

    core.provider.script.always("ask", refuse)
    async with core.working() as worker:
        stuck = core.world.start()
        others = [core.world.start("elsewhere") for _ in range(5)]
        await core.until_over(others)
        assert not worker.dependencies.reasons()
        core.provider.script.always("ask", None)
        await core.until_over([stuck])

    assert stuck.retries is None


async def test_a_request_that_the_provider_will_never_take_is_an_incident(core: Core) -> None:
    core.provider.script.next("ask", BadRequest("no such model"))
    job = await done(core)

    assert job.has_incident
    assert "no such model" in job.message


async def test_a_locked_conversation_is_waited_for_and_then_parked(core: Core) -> None:
    core.provider.script.always("ask", ThreadLocked("busy"))
    async with core.working():
        job = core.world.start()
        await core.until(lambda: len(core.provider.asked) == 8)
        assert job.retries is None
        core.provider.script.always("ask", None)
        await core.until_over([job])


async def test_a_conversation_that_stays_locked_is_heard_of_in_the_end(core: Core) -> None:
    core.provider.script.always("ask", ThreadLocked("a call still runs there"))
    core.world.activity()
    async with core.working():
        job = core.world.start()
        await core.until(lambda: job.message, within=timedelta(hours=1.1))
        assert not job.has_incident
        await core.until(lambda: job.has_incident, within=timedelta(hours=1))

    assert "a call still runs there. This says nothing about the task" in job.message


async def test_an_error_that_nobody_foresaw_costs_a_retry_and_quotes_nothing(core: Core) -> None:
    core.provider.script.next("ask", ValueError("secret"))
    job = await done(core)

    assert job.retries == 2
    assert "ValueError" in job.message
    assert "secret" not in job.message


async def test_a_task_that_kills_its_workers_fails_once_before_it_runs_again(core: Core) -> None:
    job = core.world.start()
    key = ThreadKey("default", job.task.process_instance_id, "analyst")
    for _ in range(4):  # three that enter and are not heard of again, and the one that finds that out
        await core.threads.enter(key, job.task.id)
    async with core.working():
        await core.until_over([job])

    assert "workers in a row ended" in job.message
    assert (job.retries, len(core.provider.asked)) == (2, 1)


async def test_redis_away_starts_no_turn_and_spends_no_retry(core: Core) -> None:
    async with core.working():
        core.redis.trouble.append(StoreDown("away"))
        job = core.world.start()
        await core.until_over([job])

    assert job.retries is None
    assert len(core.provider.asked) == 1


async def test_tasks_of_one_thread_take_turns_and_hold_nobody_else_up(core: Core) -> None:
    core.provider.script.always("ask", 5)
    async with core.working(slots=3):
        same = [core.world.start(instance="a") for _ in range(6)]
        other = core.world.start(instance="b")
        await core.until_over([other])
        assert sum(job.gone for job in same) <= 2
        await core.until_over(same)

    assert len({thread for thread, _ in core.provider.asked}) == 2


async def test_waiters_without_a_place_are_parked(core: Core) -> None:
    core.provider.script.always("ask", 40)
    async with core.working(slots=2) as worker:
        jobs = [core.world.start(instance="a") for _ in range(12)]
        await core.until(lambda: any(args[1] for args in worker.engine.script.named("extend")))
        await core.until_over(jobs)

    assert {job.retries for job in jobs} == {None}


async def test_two_workers_share_one_thread_for_ten_branches(core: Core) -> None:
    core.provider.script.always("ask", 1)
    jobs = [core.world.start(instance="a") for _ in range(10)]
    async with core.working(), core.working():
        await core.until_over(jobs)

    assert len({thread for thread, _ in core.provider.asked}) == 1
    assert len(core.provider.asked) == 10
    assert len(core.provider.conversations) == 1


async def test_a_task_that_is_lost_under_its_call_is_told_nothing(core: Core) -> None:
    core.provider.script.always("ask", 60)
    async with core.working() as worker:
        job = core.world.start()
        await core.until(lambda: core.provider.asked)
        core.world.delete(job.task.process_instance_id)
        await asyncio.sleep(30)
        assert worker.slots.free == worker.slots.size

    assert not job.completed_by


async def test_an_engine_that_is_away_for_a_definition_gives_the_task_back(core: Core) -> None:
    async with core.working() as worker:
        worker.engine.script.next("definition", EngineDown("away"))
        job = core.world.start()
        await core.until_over([job])

    assert job.retries is None


async def test_a_task_that_is_gone_when_its_turn_comes_is_left(core: Core) -> None:
    async with core.working() as worker:
        worker.engine.script.next("definition", TaskLost("deleted"))
        job = core.world.start()
        await core.until_over([job])

    assert len(job.completed_by) == 1


async def test_inputs_that_have_no_room_are_named(core: Core) -> None:
    core.world.activity()
    async with core.working():
        job = core.world.start(instance="a", variables={"big": Variable("x" * 100_000, "String")})
        await core.until_over([job])

    [(_, question)] = core.provider.asked
    assert "Not included, for lack of room: big." in question.text


async def test_a_task_whose_schema_may_be_what_ends_workers_is_noticed_before_that_is_read(core: Core) -> None:
    core.world.activity(**wishing(core, data_output_schema='{"pattern": "("}'))  # type: ignore[arg-type]  # as above
    job = core.world.start()
    for _ in range(4):
        await core.threads.enter(ThreadKey("default", job.task.process_instance_id, "analyst"), job.task.id)
    async with core.working():
        await core.until(lambda: job.message)
        assert "workers in a row ended" in job.message
        await core.until(lambda: job.has_incident)

    assert "data.output.schema is no usable JSON Schema" in job.message
    assert core.provider.asked == []


@pytest.mark.parametrize("encoding", ["punycode", "idna", "undefined", "no\0name", "hex", "unicode_escape", "nobody's"])
async def test_a_file_in_an_odd_encoding_is_read_as_utf_8(core: Core, encoding: str) -> None:
    core.world.activity(**wishing(core, data_input="plan"))  # type: ignore[arg-type]  # as above
    file = Variable(None, "File", {"filename": "plan.md", "mimeType": "text/markdown", "encoding": encoding})
    async with core.working():
        job = core.world.start(variables={"plan": file})
        core.world.contents[job.task.execution_id, "plan"] = "Café".encode()
        await core.until_over([job])

    assert "Café" in core.provider.asked[0][1].text


@pytest.mark.parametrize("name", ["a/b", "a\\b", ".", ".."])
async def test_a_file_whose_name_no_address_can_hold_is_an_incident(core: Core, name: str) -> None:
    core.world.activity(**wishing(core, data_input=name))  # type: ignore[arg-type]  # fields by name
    async with core.working():
        job = core.world.start(variables={name: Variable(None, "File", {"mimeType": "text/plain"})})
        await core.until(lambda: job.has_incident)

    assert f"the file in input {name!r} cannot be asked for" in job.message


LIST = {"objectTypeName": "java.util.ArrayList", "serializationDataFormat": "application/x-java-serialized-object"}


@pytest.mark.parametrize(
    ("name", "kind", "told", "said"),
    [
        ("list", "java.util.ArrayList", "null", "nothing of input 'list' can be read, it is of type Object java.util"),
        ("list", "java.util.Date", '"2026"', "nothing of input 'list' can be read"),
        ("list", "java.util.ArrayList", ReadRefused("no such class"), "nothing of input 'list' can be read"),
        ("list", "java.util.ArrayList", f"[{'1,' * 400_000}1]", "INPUT_TOKENS leaves room"),
        ("a/b", "java.util.ArrayList", "[1]", "nothing of input 'a/b' can be read"),
        ("list", "org.example.List", "[1]", "nothing of input 'list' can be read"),
    ],
)
async def test_an_object_of_javas_that_the_engine_shows_no_list_or_map_of_is_an_incident(
    core: Core, name: str, kind: str, told: str | Exception, said: str
) -> None:
    core.world.activity(**wishing(core, data_input=name))  # type: ignore[arg-type]  # as above
    given = Variable("rO0AB", "Object", LIST | {"objectTypeName": kind})
    async with core.working() as worker:
        job = core.world.start(variables={name: given})
        if isinstance(told, Exception):
            worker.engine.script.always("as_json", told)
        else:
            core.world.shown[job.task.execution_id, name] = told
        await core.until(lambda: job.has_incident)

    assert said in job.message
    assert core.provider.asked == []


async def test_a_huge_name_of_an_assistant_is_not_written_into_the_log(core: Core) -> None:
    core.world.activity(**wishing(core, service_name="x" * 100_000))  # type: ignore[arg-type]  # as above
    with capture_logs() as lines:
        async with core.working():
            job = core.world.start()
            await core.until(lambda: job.message)

    assert len(str(lines)) < 5000


async def test_a_hold_that_was_let_go_of_with_the_answer_is_not_said_to_be_lost(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = core.threads.keep_answer

    async def slowly(*args: object, **options: object) -> object:
        kept = await keep(*args, **options)  # type: ignore[arg-type]  # as it is called
        await asyncio.sleep(LOCK.total_seconds() / 2)  # a renewal is on its way meanwhile
        return kept

    monkeypatch.setattr(core.threads, "keep_answer", slowly)
    with capture_logs() as lines:
        job = await done(core)

    assert job.gone
    assert [each["event"] for each in lines if each["event"] == "hold_lost"] == []
