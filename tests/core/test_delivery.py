"""What the engine is told, and what is done when it does not take it."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.core.rig import Core
from tests.fakes.engine import Job
from worker.domain.tasks import Task, Variable
from worker.domain.threads import Answer, Entered, Outcome, ThreadKey
from worker.errors import (
    Conflict,
    EngineDenied,
    EngineDown,
    EngineUnreached,
    Refused,
    TaskLost,
    TaskSuspended,
    TooLong,
)
from worker.loop.delivery import REPORT_TRIES, Delivery
from worker.loop.lease import Lease
from worker.redis.keys import Keys
from worker.redis.store import DONE_FOR
from worker.turn.facts import TurnFacts
from worker.turn.verdict import Abandon, BpmnError, Case, Complete, Fail, Park, Unlock, Verdict

DONE = Complete({"frame": Variable("x", "String")})
FAILED = Fail("it failed", "details", 2, timedelta(seconds=7), "Reason")


class Hand:
    """A task in hand, and what is told of it."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.job: Job = core.world.start()

    async def take(self) -> None:
        self.worker = await self.core.worker()
        [self.task] = await self.worker.engine.fetch(self.worker.topics.topics, 1)
        self.lease = Lease.of(self.task, self.worker.engine.lock)

    async def tell(self, verdict: Verdict, key: ThreadKey | None = None) -> Verdict:
        delivery, facts = Delivery(self.worker.engine, self.core.threads), TurnFacts("frame")
        facts.key = key
        return await delivery.deliver(self.task, verdict, facts, Case("frame", "analyst", 3, True), self.lease)

    def ends_with(self, error: EngineDown) -> Callable[[], None]:
        """Have the task end while a request about it ends with an error."""

        def go() -> None:
            self.job.gone = True
            raise error

        return go

    def calls(self, method: str) -> int:
        return len(self.worker.engine.script.named(method))


@pytest.fixture
async def hand(core: Core) -> Hand:
    hand = Hand(core)
    await hand.take()
    return hand


async def test_a_result_is_handed_in_once(hand: Hand) -> None:
    assert await hand.tell(DONE) == DONE
    assert hand.job.completed_by == ["worker-1"]
    assert hand.calls("complete") == 1


@pytest.mark.parametrize("trouble", [Conflict("collided"), EngineDown("no reply")])
async def test_a_completion_is_repeated_until_the_engine_has_it(hand: Hand, trouble: Exception) -> None:
    hand.worker.engine.script.next("complete", *[trouble] * 30)

    assert await hand.tell(DONE) == DONE
    assert len(hand.job.completed_by) == 1


async def test_a_completion_whose_reply_was_lost_counts(hand: Hand) -> None:
    async def carry_out_and_hang_up() -> None:
        hand.job.completed_by.append("worker-1")
        hand.job.gone = True
        raise EngineDown("no reply")

    hand.worker.engine.script.next("complete", carry_out_and_hang_up)

    assert await hand.tell(DONE) == DONE
    assert len(hand.job.completed_by) == 1


async def test_a_task_that_another_has_completed_is_lost(hand: Hand) -> None:
    hand.job.gone = True

    with pytest.raises(TaskLost):
        await hand.tell(DONE)


@pytest.mark.parametrize("cannot_tell", [EngineDenied("no right"), EngineDown("away")])
async def test_a_history_that_does_not_answer_counts_as_no(hand: Hand, cannot_tell: Exception) -> None:
    hand.worker.engine.script.next("complete", hand.ends_with(EngineDown("no reply")))
    hand.worker.engine.script.always("was_completed", cannot_tell)

    with pytest.raises(TaskLost):
        await hand.tell(DONE)


async def test_a_suspended_task_keeps_its_answer(hand: Hand) -> None:
    hand.job.suspended = True

    assert isinstance(await hand.tell(DONE), Abandon)


async def test_a_result_that_is_too_long_is_sent_in_a_wider_type_once(hand: Hand) -> None:
    wide = Complete({"frame": Variable("x", "File")})
    narrow = Complete(DONE.variables, wider=lambda: wide)
    hand.worker.engine.script.next("complete", TooLong("column"))

    assert await hand.tell(narrow) == wide
    assert hand.job.results["frame"].type == "File"


async def test_a_result_that_is_too_long_in_every_type_is_an_incident_that_keeps_the_answer(hand: Hand) -> None:
    hand.worker.engine.script.always("complete", TooLong("column"))

    told = await hand.tell(DONE)

    assert isinstance(told, Fail)
    assert not told.drops_answer
    assert hand.job.has_incident


async def test_a_result_that_is_refused_three_times_costs_one_retry_and_keeps_the_answer(hand: Hand) -> None:
    hand.worker.engine.script.always("complete", Refused("500 ProcessEngineException"))

    told = await hand.tell(DONE)

    assert hand.calls("complete") == 3
    assert isinstance(told, Fail)
    assert (hand.job.retries, told.drops_answer) == (2, False)


async def test_a_failure_is_reported_with_retries_and_delay(hand: Hand) -> None:
    assert await hand.tell(FAILED) == FAILED
    assert (hand.job.message, hand.job.retries) == ("it failed", 2)


async def test_a_report_that_cannot_be_delivered_is_left_to_the_lock(hand: Hand) -> None:
    hand.worker.engine.script.always("fail", EngineDown("away"))

    assert isinstance(await hand.tell(FAILED), Abandon)
    assert hand.calls("fail") == REPORT_TRIES


async def test_a_failure_that_arrived_although_its_reply_was_lost_counts_whoever_has_the_task_now(hand: Hand) -> None:
    def carry_out_and_hang_up() -> None:
        hand.job.retries, hand.job.worker = FAILED.retries, "worker-2"
        raise EngineDown("no reply")

    hand.worker.engine.script.next("fail", carry_out_and_hang_up)

    assert await hand.tell(FAILED) == FAILED


@pytest.mark.parametrize("verdict", [FAILED, BpmnError("NO_REVIEW", "refused")])
async def test_a_report_whose_reply_was_lost_counts_where_the_task_is_gone(hand: Hand, verdict: Verdict) -> None:
    hand.worker.engine.script.next("fail", hand.ends_with(EngineDown("no reply")))
    hand.worker.engine.script.next("bpmn_error", hand.ends_with(EngineDown("no reply")))

    assert await hand.tell(verdict) == verdict


@pytest.mark.parametrize("verdict", [FAILED, BpmnError("NO_REVIEW", "refused")])
@pytest.mark.parametrize("states", [None, EngineDown("away")])
async def test_a_report_that_never_came_is_not_told_where_another_worker_has_the_task(
    hand: Hand, verdict: Verdict, states: Exception | None
) -> None:
    def go_to_another() -> None:
        hand.job.worker = "worker-2"
        raise EngineDown("away")

    hand.worker.engine.script.next("fail", go_to_another)
    hand.worker.engine.script.next("bpmn_error", go_to_another)
    hand.worker.engine.script.always("state", states)

    with pytest.raises(TaskLost):
        await hand.tell(verdict)


async def test_a_report_that_was_not_even_sent_has_ended_no_task(hand: Hand) -> None:
    hand.worker.engine.script.next("fail", hand.ends_with(EngineUnreached("connection refused")))

    with pytest.raises(TaskLost):
        await hand.tell(FAILED)


@pytest.mark.parametrize("error", ["", "BAD"])
async def test_a_bad_answer_that_could_not_be_told_is_told_by_the_worker_that_has_the_task_by_then(
    core: Core, error: str
) -> None:
    core.provider.answer = lambda _: Answer("no", Outcome.REFUSED)
    properties = core.world.activity().properties
    core.world.activity(properties={**properties, **({"error.refused": error} if error else {})})
    job = core.world.start()
    first, second = await core.worker(), await core.worker()
    [task] = await first.engine.fetch(first.topics.topics, 1)
    taken: list[Task] = []

    async def away_for_longer_than_the_lock() -> None:
        await asyncio.sleep(40)
        taken.extend(await second.engine.fetch(second.topics.topics, 1))
        first.engine.script.always("extend", None)
        raise EngineDown("no reply")

    first.engine.script.next("fail", away_for_longer_than_the_lock)
    first.engine.script.next("bpmn_error", away_for_longer_than_the_lock)
    first.engine.script.always("extend", EngineDown("no reply"))
    told = [await first.handler.handle(task), *[await second.handler.handle(each) for each in taken]]

    assert [type(each) for each in told] == [Abandon, BpmnError if error else Fail]
    assert (job.error_code, job.retries) == (error, None if error else 2)
    assert len(core.provider.asked) == 1


@pytest.mark.parametrize(("cost", "reported"), [(1, 8), (0, 9), (None, 2)])
async def test_a_failure_counts_from_the_retries_that_somebody_set_meanwhile(
    hand: Hand, cost: int | None, reported: int
) -> None:
    hand.job.retries = 9
    await hand.tell(replace(FAILED, cost=cost))

    assert hand.job.retries == reported


async def test_a_failure_counts_as_the_task_came_where_nobody_can_say_what_holds_now(hand: Hand) -> None:
    hand.worker.engine.script.always("state", EngineDown("away"))
    await hand.tell(replace(FAILED, cost=1))

    assert hand.job.retries == 2


async def test_a_failure_of_a_task_that_is_lost_is_not_told(hand: Hand) -> None:
    hand.worker.engine.script.next("fail", TaskLost("another's"))

    with pytest.raises(TaskLost):
        await hand.tell(FAILED)


async def test_a_failure_of_a_suspended_task_is_left(hand: Hand) -> None:
    hand.worker.engine.script.next("fail", TaskSuspended("suspended"))

    assert isinstance(await hand.tell(FAILED), Abandon)


async def test_before_a_late_report_the_lock_is_verified(hand: Hand) -> None:
    hand.lease.renewed_at -= 1000

    await hand.tell(FAILED)

    assert hand.calls("extend") == 1


async def test_a_business_outcome_is_thrown(hand: Hand) -> None:
    thrown = BpmnError("NO_REVIEW", "refused")

    assert await hand.tell(thrown) == thrown
    assert hand.job.error_code == "NO_REVIEW"


@pytest.mark.parametrize("verdict", [DONE, BpmnError("NO_REVIEW", "refused")])
async def test_what_the_engine_has_for_good_is_journalled_for_an_hour(hand: Hand, verdict: Verdict) -> None:
    key = ThreadKey("default", "instance", "analyst")
    entry = await hand.core.threads.enter(key, hand.task.id)
    assert isinstance(entry, Entered)
    await hand.core.threads.keep_answer(entry.hold, 1, Answer("no", Outcome.REFUSED), published=False)
    await hand.tell(verdict, key)
    left = await hand.core.redis.pttl(Keys.of("aw", key).turn(hand.task.id))
    assert 0 < left <= DONE_FOR / timedelta(milliseconds=1)


async def test_a_business_outcome_that_is_refused_by_chance_is_thrown_again(hand: Hand) -> None:
    hand.worker.engine.script.next("bpmn_error", Refused("500 ProcessEngineException"))

    assert await hand.tell(BpmnError("LATE", "too late")) == BpmnError("LATE", "too late")
    assert (hand.job.error_code, hand.calls("bpmn_error")) == ("LATE", 2)


async def test_a_business_outcome_that_is_refused_three_times_is_a_failure(hand: Hand) -> None:
    hand.worker.engine.script.always("bpmn_error", Refused("500 ProcessEngineException"))

    told = await hand.tell(BpmnError("LATE", "too late"))

    assert hand.calls("bpmn_error") == 3
    assert isinstance(told, Fail)
    assert "LATE" in hand.job.message


async def test_a_failure_whose_words_are_refused_is_told_in_plain_ones(hand: Hand) -> None:
    hand.worker.engine.script.next("fail", Refused("500 a character that the database does not store"))

    told = await hand.tell(replace(FAILED, message="it failed \U0001f600"))

    assert isinstance(told, Fail)
    assert hand.job.message.isascii()
    assert hand.job.message.startswith("it failed")


async def test_a_failure_that_is_refused_whatever_it_says_is_left_to_the_lock(hand: Hand) -> None:
    hand.worker.engine.script.always("fail", Refused("500 ProcessEngineException"))

    assert isinstance(await hand.tell(replace(FAILED, message="it failed \U0001f600")), Abandon)
    assert (hand.calls("fail"), hand.job.message) == (2, "")


async def test_a_parked_task_stays_locked_for_as_long_as_it_is_told(hand: Hand) -> None:
    before = hand.lease.renewed_at

    await hand.tell(Park(timedelta(seconds=77), "thread busy"))

    assert before + 77 <= hand.job.locked_until < before + 78


async def test_an_unlock_gives_back_a_live_lock_only(hand: Hand) -> None:
    await hand.tell(Unlock("stopping"))
    assert hand.calls("unlock") == 1

    hand.lease.lost = True
    await hand.tell(Unlock("stopping"))
    assert hand.calls("unlock") == 1


@pytest.mark.parametrize("verdict", [Unlock("stopping"), Park(timedelta(seconds=5), "busy")])
async def test_to_give_back_what_is_gone_is_fine(hand: Hand, verdict: Verdict) -> None:
    hand.job.gone = True

    assert await hand.tell(verdict) == verdict
