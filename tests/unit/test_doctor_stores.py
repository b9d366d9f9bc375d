"""What doctor says where engine, Redis and transcript tell of different things."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from worker.domain.conversations import Session
from worker.domain.threads import Thread, ThreadKey
from worker.operate.doctor import compared
from worker.operate.doctor.checks import Finding, Level
from worker.operate.doctor.compared import Sample

NOW = datetime(2026, 5, 4, 9, tzinfo=UTC)
DAY = timedelta(days=1)
ONE, TWO = (ThreadKey("default", name, "analyst") for name in ("instance-1", "instance-2"))
FIRST, SECOND = Thread("conv_1", 1), Thread("conv_2", 2)
ALL = Sample(2, whole=True)


def said(found: list[Finding]) -> str:
    """The one finding, which is a warning with advice."""
    [finding] = found
    assert finding.level is Level.WARNING
    assert finding.advice
    return finding.said


def is_fine(found: list[Finding]) -> bool:
    return [(each.level, each.advice) for each in found] == [(Level.OK, "")]


def session(key: ThreadKey, thread: Thread) -> Session:
    named: dict[str, Any] = dict.fromkeys(("id", "kind", "definition_key"), "")
    unset = ("definition_version", "business_key", "assistant_version", "user", "ended_at", "duration_seconds")
    named |= dict.fromkeys(unset)
    return Session(
        **named,
        engine=key.engine,
        scope=key.scope,
        process_instance_id=key.scope,
        tenant=key.tenant,
        assistant=key.assistant,
        thread_id=thread.id,
        generation=thread.generation,
        started_at=NOW,
        last_at=NOW,
        is_active=True,
        messages=2,
    )


def test_threads_of_instances_that_the_engine_does_not_know_are_named() -> None:
    threads = {ONE: "instance-1", TWO: "instance-2"}

    assert is_fine(compared.instances(threads, {"instance-1"}, {"instance-2": NOW}, 30 * DAY, ALL, NOW))
    told = said(compared.instances(threads, {"instance-1"}, {}, 30 * DAY, ALL, NOW))
    assert told.startswith("1 of 2 threads in Redis are of instances that the engine does not know: instance-2")


@pytest.mark.parametrize(("instance", "counted"), [("4711", True), ("instance-1", False)])
def test_ids_that_an_engine_may_give_out_again_are_said_to_be_dangerous(instance: str, counted: bool) -> None:
    [found] = compared.instances({ONE: instance}, {}, {}, 30 * DAY, ALL, NOW)
    assert ("another ENGINE_NAME" in found.advice) is counted


def test_threads_past_retention_are_named_a_day_later() -> None:
    threads = {ONE: "instance-1", TWO: "instance-2"}

    def found(ended: datetime, retention: timedelta | None = 30 * DAY) -> list[Finding]:
        return compared.instances(threads, {"instance-1"}, {"instance-2": ended}, retention, ALL, NOW)

    assert is_fine(found(NOW - 31 * DAY))
    assert is_fine(found(NOW - 99 * DAY, None))
    assert "should have been erased" in said(found(NOW - 31 * DAY - timedelta(seconds=1)))


def test_variables_that_name_what_redis_has_lost_or_another_thread_are_told_apart() -> None:
    named = {ONE: FIRST, TWO: SECOND}

    assert is_fine(compared.variables(named, named, ALL))
    assert "1 of 2 threads of running instances are not in Redis" in said(compared.variables(named, {ONE: FIRST}, ALL))
    older = compared.variables(named, {ONE: FIRST, TWO: FIRST}, ALL)
    assert "a later thread than Redis: instance-2" in said(older)
    assert "threads renew" in older[0].advice
    assert "another thread than Redis: instance-1" in said(compared.variables(named, {ONE: SECOND, TWO: SECOND}, ALL))


def test_what_the_transcript_lacks_is_told_unless_it_is_on_its_way() -> None:
    threads, sessions = {ONE: FIRST, TWO: SECOND}, {ONE: session(ONE, FIRST)}

    assert is_fine(compared.recorded(threads, {**sessions, TWO: session(TWO, SECOND)}, (), ALL))
    assert is_fine(compared.recorded(threads, sessions, {TWO}, ALL))
    assert "what was said on 1 of 2 threads in Redis is not in" in said(compared.recorded(threads, sessions, (), ALL))
    before = {**sessions, TWO: session(TWO, FIRST)}
    assert "instance-2" in said(compared.recorded(threads, before, (), ALL))


def test_a_redis_that_is_older_than_the_transcript_is_told_with_a_way_out() -> None:
    found = compared.recorded({ONE: FIRST}, {ONE: session(ONE, SECOND)}, (), Sample(1, whole=False))

    assert said(found) == (
        "the transcript knows a later thread than Redis for 1 of 1 (there are more): instance-1 with analyst"
    )
    assert "threads renew" in found[0].advice


def test_conversations_that_redis_lost_are_told() -> None:
    assert compared.forgotten([ONE, TWO], [ONE, TWO], ALL) == []
    assert "1 of 2 conversations of running instances" in said(compared.forgotten([ONE, TWO], [ONE], ALL))


def test_exchanges_that_wait_for_more_than_ten_minutes_are_a_warning() -> None:
    assert is_fine(compared.unrecorded((), None, NOW))
    assert is_fine(compared.unrecorded({ONE}, NOW - timedelta(minutes=10), NOW))
    assert "since 2026-05-04 08:49Z" in said(compared.unrecorded({ONE}, NOW - timedelta(minutes=11), NOW))


def test_a_higher_format_is_a_problem_and_different_ones_a_warning() -> None:
    assert is_fine(compared.formats({"Redis": 1, "the transcript": None}))
    [newer] = compared.formats({"Redis": 2, "the transcript": 1})
    assert (newer.level, newer.said) == (
        Level.PROBLEM,
        "noted: Redis 2, the transcript 1; this version's is 1",
    )
    assert "noted: Redis 0" in said(compared.formats({"Redis": 0, "the transcript": 1}))


def test_clocks_more_than_a_minute_apart_are_a_warning() -> None:
    assert is_fine(compared.clocks({"Redis": timedelta(seconds=60), "the transcript": timedelta(seconds=-60)}))
    assert said(compared.clocks({"Redis": timedelta(hours=-1)})) == "that of Redis is 3600 s behind ours"


def test_three_are_named_and_the_others_counted() -> None:
    many = [ThreadKey("default", f"instance-{number}", "analyst") for number in range(5)]

    assert said(compared.forgotten(many, [], Sample(5, whole=True))).endswith("instance-2 with analyst and 2 more")
