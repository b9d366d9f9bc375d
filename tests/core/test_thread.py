"""Under the hold: which thread, was it asked, ask, keep; and what stands where after a death at each step."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.core.rig import Core
from tests.fakes.engine import Job
from worker.domain.tasks import Origin, Variable
from worker.domain.threads import Answer, Entered, Said, Seed, Thread, ThreadKey
from worker.errors import BadRequest, EngineDown, ModelDown, ModelUnknown, StoreDown, ThreadGone, ThreadLocked
from worker.modelling.result import thread_variable
from worker.telemetry.logs import Event
from worker.turn.call import LANDING_TIME
from worker.turn.thread_turn import PUBLISH_PATIENCE_SECONDS

NAME = "assistant_thread_analyst"


def key(job: Job) -> ThreadKey:
    return ThreadKey("default", job.task.process_instance_id, "analyst")


async def earlier(core: Core, job: Job) -> Entered:
    """Enter for this task as a worker that dies afterwards."""
    entry = await core.threads.enter(key(job), job.task.id)
    assert isinstance(entry, Entered)
    return entry


def used(job: Job) -> dict[str, Any]:
    """What a task says of its thread."""
    [meta] = [json.loads(each.value) for name, each in job.results.items() if name.endswith("_meta")]
    return dict(meta)


async def a_thread(core: Core, instance: str = "a") -> Thread:
    """The thread of an instance that has said one thing on it."""
    async with core.working():
        await core.until_over([core.world.start("first", instance=instance)])
    [thread_id] = core.provider.conversations
    return Thread(thread_id, 1)


async def test_a_thread_is_looked_at_before_each_reuse(core: Core) -> None:
    thread = await a_thread(core)
    async with core.working():
        await core.until_over([core.world.start("second", instance="a")])

    assert [args[0] for args in core.provider.script.named("look")] == [thread.id]


async def test_optimistic_validation_looks_only_where_a_call_may_have_run(core: Core) -> None:
    await a_thread(core)
    async with core.working(strict=False):
        await core.until_over([core.world.start("second", instance="a")])
        assert core.provider.script.named("look") == []

        third = core.world.start("third", instance="b")
        entry = await earlier(core, third)
        assert await core.threads.intend(entry.hold, 1, timedelta(seconds=1))
        await core.until_over([third])


async def test_optimistic_validation_finds_a_thread_gone_by_its_use(core: Core) -> None:
    thread = await a_thread(core)
    del core.provider.conversations[thread.id]
    async with core.working(strict=False):
        second = core.world.start("second", instance="a")
        await core.until_over([second])

    assert core.world.variables["a"][NAME].value == f"{core.provider.asked[-1][0]}#2"


async def test_a_thread_that_is_gone_is_made_anew_with_what_was_said(core: Core) -> None:
    thread = await a_thread(core)
    del core.provider.conversations[thread.id]
    core.history.told = Seed((Said("user", "q"), Said("assistant", "a")), turns=1)
    async with core.working():
        await core.until_over([core.world.start("second", instance="a")])

    [(new, conversation)] = core.provider.conversations.items()
    assert new != thread.id
    assert conversation.items[:2] == [("user", "q"), ("assistant", "a")]
    assert conversation.metadata["replaces"] == thread.id
    assert conversation.metadata["generation"] == "2"


async def test_a_seed_that_the_provider_refuses_costs_the_memory_only(core: Core) -> None:
    thread = await a_thread(core)
    del core.provider.conversations[thread.id]
    core.history.told = Seed((Said("user", "q"),), turns=1)
    core.provider.script.next("create_thread", BadRequest("no such role"))
    async with core.working():
        second = core.world.start("second", instance="a")
        await core.until_over([second])

    assert second.completed_by


async def test_a_thread_that_cannot_be_made_at_all_is_an_incident(core: Core) -> None:
    core.provider.script.next("create_thread", BadRequest("no"))
    async with core.working():
        job = core.world.start()
        await core.until(lambda: job.has_incident)


@pytest.mark.parametrize("trouble", [ModelDown("503"), ModelUnknown("timeout")])
async def test_what_is_not_positive_makes_no_new_thread(core: Core, trouble: Exception) -> None:
    await a_thread(core)
    core.provider.script.next("look", trouble, trouble, trouble)
    async with core.working():
        second = core.world.start("second", instance="a")
        await core.until_over([second])

    assert len(core.provider.conversations) == 1


async def test_a_redis_that_comes_back_empty_is_filled_from_the_process_variable(core: Core) -> None:
    await a_thread(core)
    await core.redis.flushall()
    async with core.working():
        await core.until_over([core.world.start("second", instance="a")])
        await core.until_over([core.world.start("third", instance="a")])

    assert len({thread for thread, _ in core.provider.asked}) == 1
    assert len(core.provider.script.named("metadata")) == 1


async def test_a_variable_that_names_somebody_elses_conversation_is_not_believed(core: Core) -> None:
    thread = await a_thread(core)
    async with core.working():
        other = core.world.start(instance="b", variables={NAME: thread_variable(thread)})
        await core.until_over([other])

    assert core.provider.asked[-1][0] != thread.id


async def test_what_the_transcript_knows_goes_before_a_variable_that_a_called_process_wrote_over(core: Core) -> None:
    thread = await a_thread(core)
    async with core.working():
        await core.until_over([core.world.start(instance="called")])
    await core.redis.flushall()
    core.world.variables["a"][NAME] = core.world.variables["called"][NAME]
    core.history.threads["a"] = thread
    async with core.working():
        job = core.world.start("second", instance="a")
        await core.until_over([job])

    assert (used(job)["use"], used(job)["thread"]) == ("adopted", thread.id)


def wanting(core: Core, activity: str, **properties: str) -> None:
    """Deploy an activity with such properties; `_` stands for `.`."""
    usual = core.world.activity(activity).properties
    wanted = {name.replace("_", "."): value for name, value in properties.items()}
    core.world.activity(activity, properties={**usual, **wanted})


@pytest.mark.parametrize("wish", [{"service_thread": "business-key"}, {"service_thread_required": "true"}])
async def test_with_redis_lost_a_thread_that_others_share_or_that_has_to_be_known_waits_for_the_transcript(
    core: Core, wish: dict[str, str]
) -> None:
    wanting(core, "first", **wish)
    wanting(core, "second", **wish)
    async with core.working():
        await core.until_over([core.world.start("first", instance="a", business_key="order")])
    [thread] = core.provider.conversations
    await core.redis.flushall()
    core.world.variables["a"].clear()
    core.history.is_down = True
    async with core.working():
        job = core.world.start("second", instance="a", business_key="order")
        await asyncio.sleep(300)
        assert (job.gone, job.retries) == (False, 3)
        assert [*core.provider.conversations] == [thread]
        core.history.is_down = False
        core.history.threads |= dict.fromkeys(("a", "business-key:order"), Thread(thread, 1))
        await core.until_over([job])

    assert (used(job)["use"], used(job)["thread"]) == ("adopted", thread)


@pytest.mark.parametrize(("begins", "memory"), [(False, "unknown"), (True, "whole")])
async def test_with_redis_and_variable_lost_a_thread_that_is_made_while_nobody_can_tell_of_another_says_so(
    core: Core, begins: bool, memory: str
) -> None:
    core.world.activity("second", begins=begins)
    core.history.is_down = True
    async with core.working():
        job = core.world.start("second", instance="a")
        with capture_logs() as lines:
            await core.until_over([job])

    assert (used(job)["use"], used(job)["memory"]) == ("created", memory)
    assert [bool(line["reason"]) for line in lines if line["event"] == Event.THREAD_EMPTY] == [True] * (not begins)


async def test_a_transcript_that_is_back_while_another_thread_is_about_to_be_made_is_asked_for_the_one_of_before(
    core: Core,
) -> None:
    thread = await a_thread(core)
    await core.redis.flushall()
    core.world.variables["a"].clear()
    core.history.is_down = True
    core.history.told = Seed((Said("user", "q"),), turns=1)
    core.history.threads["a"] = thread

    async def come_back() -> None:
        core.history.is_down = False

    core.history.meanwhile = come_back
    async with core.working():
        job = core.world.start("second", instance="a")
        await core.until_over([job])

    assert (used(job)["use"], used(job)["thread"]) == ("adopted", thread.id)


async def test_with_redis_lost_the_variable_counts_while_the_transcript_cannot_be_read(core: Core) -> None:
    thread = await a_thread(core)
    await core.redis.flushall()
    core.history.is_down = True
    async with core.working():
        job = core.world.start("second", instance="a")
        await core.until_over([job])

    assert (used(job)["use"], used(job)["thread"]) == ("adopted", thread.id)


@pytest.mark.parametrize(
    ("knows", "told", "memory"),
    [
        (True, Seed(), "whole"),
        (True, Seed(is_known=False), "unknown"),
        (False, Seed(), "unknown"),
    ],
)
async def test_a_task_says_whether_its_thread_may_be_another_one_than_before(
    core: Core, knows: bool, told: Seed, memory: str
) -> None:
    """A call activity hands all its variables back, Redis is lost: nobody knows the caller's own thread any more."""
    await a_thread(core)
    async with core.working():
        await core.until_over([core.world.start(instance="called")])
    await core.redis.flushall()
    core.world.variables["a"][NAME] = core.world.variables["called"][NAME]
    core.history.told = told
    core.records = knows
    async with core.working():
        job = core.world.start("second", instance="a")
        third = core.world.start("third", instance="a")
        await core.until_over([job, third])

    assert (used(job)["use"], used(job)["memory"]) == ("created", memory)
    assert (used(third)["use"], used(third)["memory"]) == ("reused", None)


@pytest.mark.parametrize(
    ("seed", "refused", "memory", "seeded"),
    [
        (Seed((Said("user", "q"),), turns=1), False, "whole", 1),
        (Seed((Said("user", "q"),), turns=1, left_out=3), False, "part", 1),
        (Seed((Said("user", "q"),), turns=1), True, "lost", 0),
        (Seed(), False, "lost", 0),
    ],
)
async def test_a_task_says_what_the_thread_that_was_made_for_it_knows(
    core: Core, seed: Seed, refused: bool, memory: str, seeded: int
) -> None:
    thread = await a_thread(core)
    del core.provider.conversations[thread.id]
    core.history.told = seed
    if refused:
        core.provider.script.next("create_thread", BadRequest("no such role"))
    async with core.working():
        job = core.world.start("second", instance="a")
        await core.until_over([job])

    assert (used(job)["use"], used(job)["memory"], used(job)["seeded"]) == ("recreated", memory, seeded)


async def test_the_first_thread_of_an_instance_knows_all_that_was_said(core: Core) -> None:
    async with core.working():
        job = core.world.start("first", instance="a")
        await core.until_over([job])

    assert (used(job)["use"], used(job)["memory"]) == ("created", "whole")
    assert core.history.asked == [], "nothing has to be looked up for it"


@pytest.mark.parametrize("kept", ["all", "no thread", "no variables"])
async def test_a_restarted_instance_is_told_what_was_said_before_the_activity_that_it_begins_with(
    core: Core, kept: str
) -> None:
    thread = await a_thread(core)
    if kept == "no thread":
        del core.provider.conversations[thread.id]
    core.world.origins["b"] = Origin(("a", "older"))
    core.history.handed_down = Seed((Said("user", "q"), Said("assistant", "a")), turns=1)
    async with core.working():
        variables = {} if kept == "no variables" else {NAME: thread_variable(thread)}
        job = core.world.start("second", instance="b", variables=variables)
        await core.until_over([job])

    assert core.history.restarted == [(["a", "older"], "second")]
    assert (used(job)["memory"], used(job)["seeded"]) == ("whole", 1)
    assert core.provider.conversations[used(job)["thread"]].items[:2] == [("user", "q"), ("assistant", "a")]
    assert used(job)["thread"] != thread.id


async def test_before_the_first_step_of_a_model_nothing_was_said_and_the_engine_is_not_asked_for_it(core: Core) -> None:
    await a_thread(core)
    core.world.origins["b"] = Origin(("a",))
    core.world.activity("first", begins=True)
    async with core.working() as worker:
        job = core.world.start("first", instance="b")
        await core.until_over([job])

    assert (used(job)["use"], used(job)["memory"]) == ("created", "whole")
    assert worker.engine.script.named("origin") == []


async def test_a_copied_thread_variable_has_the_engine_asked_for_what_was_said_also_before_the_first_step(
    core: Core,
) -> None:
    thread = await a_thread(core)
    core.world.origins["b"] = Origin(("a",))
    core.world.activity("first", begins=True)
    core.history.handed_down = Seed((Said("user", "q"), Said("assistant", "a")), turns=1)
    async with core.working():
        job = core.world.start("first", instance="b", variables={NAME: thread_variable(thread)})
        await core.until_over([job])

    assert core.history.restarted == [(["a"], "first")]


@pytest.mark.parametrize("origin", [Origin(("a",)), None])
async def test_a_restart_without_a_transcript_and_one_that_may_have_been_are_said(
    core: Core, origin: Origin | None
) -> None:
    core.records = False
    core.world.origins["b"] = origin
    async with core.working():
        job = core.world.start("second", instance="b")
        await core.until_over([job])

    assert used(job)["memory"] == "unknown"


async def test_whether_an_instance_was_restarted_may_be_unknown_and_is_said_so(core: Core) -> None:
    thread = await a_thread(core)
    core.world.origins["b"] = None
    async with core.working():
        job = core.world.start("second", instance="b", variables={NAME: thread_variable(thread)})
        await core.until_over([job])

    assert (used(job)["use"], used(job)["memory"]) == ("created", "unknown")


@pytest.mark.parametrize("trouble", [ThreadGone("gone"), BadRequest("no such id")])
async def test_a_variable_that_names_nothing_leads_to_a_new_thread(core: Core, trouble: Exception) -> None:
    await a_thread(core)  # so that it is known which account the key is of
    core.provider.script.next("metadata", trouble)
    async with core.working():
        job = core.world.start(instance="b", variables={NAME: Variable("conv_x#3", "String")})
        await core.until_over([job])

    gone = isinstance(trouble, ThreadGone)
    assert core.world.variables["b"][NAME].value == f"conv_2#{4 if gone else 1}"


async def test_a_variables_thread_that_no_known_account_vouches_for_is_not_made_anew(core: Core) -> None:
    async with core.working():
        job = core.world.start(instance="b", variables={NAME: Variable("conv_x#3", "String")})
        await core.until(lambda: job.message)

    assert "threads repair --account-changed" in job.message
    assert (job.retries, core.provider.asked) == (3, [])


async def test_a_key_of_another_account_pauses_the_provider_and_makes_nothing_anew(core: Core) -> None:
    thread = await a_thread(core)
    hidden = core.provider.conversations, core.provider.anchors
    core.provider.conversations, core.provider.anchors = {}, {}
    async with core.working() as worker:
        job = core.world.start("second", instance="a")
        await core.until(worker.dependencies.reasons)
        await asyncio.sleep(1800)
        assert "another account" in worker.dependencies.reasons()[0]
        assert (core.provider.asked[1:], job.retries) == ([], None)
        core.provider.conversations, core.provider.anchors = hidden
        await core.until_over([job])

    assert core.provider.asked[-1][0] == thread.id


async def test_a_task_that_waited_reads_the_variable_anew(core: Core) -> None:
    core.provider.script.next("ask", 10, 0)
    async with core.working():
        jobs = [core.world.start(instance="a") for _ in range(2)]
        await core.until(lambda: len(core.provider.asked) == 1)
        await asyncio.sleep(5)
        for name in await core.redis.keys("*:thread"):
            await core.redis.delete(name)  # as a failover that forgot it
        await core.until_over(jobs)

    assert len(core.provider.conversations) == 1


@pytest.mark.parametrize("running_for", [timedelta(0), timedelta(seconds=40)])
async def test_an_answer_that_is_on_the_thread_is_not_asked_for_again(core: Core, running_for: timedelta) -> None:
    await a_thread(core)
    second = core.world.start("second", instance="a")
    first = await core.worker()
    first.start()

    async def land_and_die() -> None:
        core.provider._land(*core.provider.asked[-1])
        raise ModelUnknown("the reply was cut")

    core.provider.script.next("ask", land_and_die)
    await core.until_over([second])

    assert len(core.provider.asked) == 2
    assert second.results["second"].value == f"answer to {core.provider.asked[-1][1].ref}"
    assert len(core.provider.conversations["conv_1"].items) == 4, running_for


async def test_an_earlier_call_that_may_still_run_is_let_end_where_the_provider_would_not_refuse(core: Core) -> None:
    core.provider.refuses_overlap = False
    await a_thread(core)
    second = core.world.start("second", instance="a")
    entry = await earlier(core, second)
    assert await core.threads.intend(entry.hold, 1, timedelta(seconds=90))
    began = asyncio.get_running_loop().time()
    async with core.working():
        await core.until_over([second])

    assert asyncio.get_running_loop().time() - began >= 89


async def test_of_two_answers_of_one_attempt_the_first_counts(core: Core) -> None:
    job = core.world.start()

    async def another_was_faster() -> None:
        for name in await core.redis.keys("*:hold"):  # as a failover of Redis forgets it
            await core.redis.delete(name)
        entry = await earlier(core, job)
        await core.threads.intend(entry.hold, 1, timedelta(seconds=90))
        await core.threads.keep_answer(entry.hold, 1, Answer("first", thread=Thread("conv_1", 1)), published=False)

    core.provider.script.next("ask", another_was_faster)
    async with core.working():
        await core.until_over([job])

    assert job.results["frame"].value == "first"


async def test_a_hold_that_is_lost_before_the_question_asks_nothing_and_leaves_no_thread(core: Core) -> None:
    job = core.world.start()

    async def lose_the_hold() -> None:
        for name in await core.redis.keys("*:hold"):
            await core.redis.delete(name)

    core.provider.script.next("create_thread", lose_the_hold)
    async with core.working():
        await core.until_over([job])

    assert len(core.provider.asked) == 1
    assert len(core.provider.conversations) == 1, "the one that lost is deleted"


async def test_a_seeded_thread_that_lost_is_erased_with_its_seed(core: Core) -> None:
    thread = await a_thread(core)
    del core.provider.conversations[thread.id]
    core.history.told = Seed((Said("user", "q"),), turns=1)

    async def lose_the_hold() -> None:
        for name in await core.redis.keys("*:hold"):
            await core.redis.delete(name)

    core.provider.script.next("create_thread", lose_the_hold)
    async with core.working():
        await core.until_over([core.world.start("second", instance="a")])

    assert len(core.provider.erased) == 1


async def test_a_hold_that_is_lost_under_the_call_stops_nothing(core: Core) -> None:
    async def lose_the_hold() -> None:
        for name in await core.redis.keys("*:hold"):
            await core.redis.delete(name)
        await asyncio.sleep(30)

    core.provider.script.next("ask", lose_the_hold)
    async with core.working():
        job = core.world.start()
        await core.until_over([job])

    assert job.completed_by
    assert len(core.provider.asked) == 1


async def test_a_hold_that_cannot_be_renewed_tells_of_redis(core: Core) -> None:
    async with core.working() as worker:

        async def take_redis_away() -> None:
            core.redis.trouble.append(ConnectionError("away"))
            await asyncio.sleep(15)

        core.provider.script.next("ask", take_redis_away)
        job = core.world.start()
        await core.until(worker.dependencies.reasons)
        await core.until_over([job])


async def test_an_answer_that_redis_cannot_keep_is_completed_and_kept_for_the_transcript(core: Core) -> None:
    def take_redis_away() -> None:
        core.redis.trouble.extend([StoreDown("away")] * 3)

    core.provider.script.next("ask", take_redis_away)
    async with core.working():
        job = core.world.start()
        await core.until_over([job])

    assert job.completed_by
    [exchange] = core.recording.kept
    assert exchange.answer.text == job.results["frame"].value


async def test_a_thread_variable_that_cannot_be_written_is_written_by_the_next_turn(core: Core) -> None:
    async with core.working() as worker:
        worker.engine.script.next("set_variable", EngineDown("away"))
        await core.until_over([core.world.start("first", instance="a")])
        assert NAME not in core.world.variables["a"]
        await core.until_over([core.world.start("second", instance="a")])
        assert NAME in core.world.variables["a"]
        await core.until_over([core.world.start("third", instance="a")])

    assert len(worker.engine.script.named("set_variable")) == 2


async def test_a_slow_thread_variable_keeps_no_answer_waiting_for_long(core: Core) -> None:
    async with core.working() as worker:
        worker.engine.script.always("set_variable", 500)
        began = asyncio.get_running_loop().time()
        job = core.world.start()
        await core.until_over([job])
        assert asyncio.get_running_loop().time() - began <= PUBLISH_PATIENCE_SECONDS + 1


async def test_a_stop_before_the_question_asks_nothing(core: Core) -> None:
    worker = await core.worker()
    core.provider.script.next("create_thread", 3)
    job = core.world.start()
    worker.start()
    await core.until(lambda: core.provider.script.named("create_thread"))
    await worker.stop()

    assert core.provider.asked == []
    assert (job.worker, job.retries) == (None, None)


async def test_a_conversation_that_is_busy_is_looked_at_for_our_own_answer(core: Core) -> None:
    async with core.working():

        async def land() -> None:
            core.provider._land(*core.provider.asked[-1])
            raise ThreadLocked("busy")

        core.provider.script.next("ask", land)
        job = core.world.start()
        await core.until_over([job])

    assert len(core.provider.asked) == 1
    assert job.completed_by


async def test_a_run_in_the_background_is_noted_and_followed(core: Core) -> None:
    core.assistants.add("analyst", background=True)
    async with core.working():
        job = core.world.start()
        await core.until_over([job])

    assert len(core.provider.script.named("follow")) == 1


async def test_a_run_in_the_background_is_resumed_by_the_next_worker(core: Core) -> None:
    core.assistants.add("analyst", background=True)
    core.provider.script.next("follow", 100)
    job = core.world.start()
    worker = await core.worker()
    worker.start()
    await core.until(lambda: core.provider.script.named("follow"))
    await worker.stop(hurry=True)
    async with core.working():
        await core.until_over([job])

    assert len(core.provider.script.named("start")) == 1
    assert job.completed_by


async def test_a_run_that_ended_without_an_answer_is_asked_anew_and_not_looked_for(core: Core) -> None:
    core.assistants.add("analyst", background=True)
    core.provider.script.next("follow", ModelDown("it failed"))
    async with core.working():
        job = core.world.start()
        await core.until_over([job])

    assert len(core.provider.script.named("start")) == 2


async def test_a_run_that_the_provider_forgot_at_once_is_unknown(core: Core) -> None:
    core.assistants.add("analyst", background=True)
    core.provider.script.next("follow", core.provider.runs.clear)
    async with core.working():
        job = core.world.start()
        await core.until(lambda: job.message)
        assert "does not know the run any more" in job.message
        await core.until_over([job])


async def test_the_run_of_a_lost_task_is_cancelled(core: Core) -> None:
    core.assistants.add("analyst", background=True)
    core.provider.script.next("follow", 500)
    async with core.working():
        job = core.world.start()
        await core.until(lambda: core.provider.script.named("follow"))
        core.world.delete(job.task.process_instance_id)
        await core.until(lambda: core.provider.script.named("cancel"))


async def test_a_run_whose_id_redis_cannot_keep_is_followed_all_the_same(core: Core) -> None:
    core.assistants.add("analyst", background=True)

    def take_redis_away() -> None:
        core.redis.trouble.append(StoreDown("away"))

    core.provider.script.next("start", take_redis_away)
    async with core.working():
        job = core.world.start()
        await core.until_over([job])

    assert len(core.provider.script.named("start")) == 1


async def test_an_intent_outlasts_the_call_by_the_time_that_its_items_may_take(core: Core) -> None:
    core.provider.script.next("ask", 30)
    async with core.working():
        job = core.world.start()
        await core.until(lambda: core.provider.asked)
        [name] = await core.redis.keys("*:turn:*")
        limit = int(await core.redis.hget(name, "limit") or 0)
        await core.until_over([job])

    assert limit == (60 + LANDING_TIME.total_seconds()) * 1000
