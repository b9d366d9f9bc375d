"""Records end by their own age, as the policy says: words at their time, and what knows of a thread after that."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from tests.core.closing import Closing
from worker.domain.conversations import Ended, Page, Session, Subject
from worker.ending.retention import AT_ONCE, MESSAGES_AT_ONCE
from worker.ending.rounds import Kind
from worker.errors import EngineDown, ModelDown, TranscriptDown
from worker.telemetry import metrics

DAY = timedelta(days=1).total_seconds()
WORDS = ["question", "answer"]
ORDER_7 = Subject("default", business_key="order 7", tenants=frozenset([None]))


def ended(result: str) -> Callable[[], float]:
    """How many more of these the metric counts from now on."""
    counter = metrics.ENDED.labels(result)._value
    before = counter.get()
    return lambda: counter.get() - before


async def test_a_record_is_kept_unless_the_policy_says_otherwise(closing: Closing) -> None:
    await closing.ran("instance")
    assert (await closing.sweep(kind="keep")).records == {}
    assert (await closing.sweep(record=None, kind="remove")).records == {}
    assert await closing.texts("instance") == WORDS


@pytest.mark.parametrize("kind", ["anonymise", "remove"])
async def test_a_record_ends_by_its_own_age(closing: Closing, kind: Kind) -> None:
    await closing.ran("instance")
    await closing.speak("runs")
    sweep = partial(closing.sweep, threads=0, record=5, kind=kind)
    assert (await sweep()).records == {}
    await asyncio.sleep(5 * DAY - 60)
    assert (await sweep()).records == {}
    assert await closing.texts("instance") == WORDS

    counted = ended(kind)
    await asyncio.sleep(61)
    assert (await sweep()).records == {closing.of("instance"): 1}
    assert await closing.texts("instance") == (["[removed]"] * 2 if kind == "anonymise" else [])
    assert (await sweep()).records == {}
    assert (counted(), await closing.texts("runs")) == (1, WORDS)


async def test_a_record_that_goes_at_once_is_not_anonymised_first(closing: Closing) -> None:
    await closing.ran("instance")
    anonymised, removed = ended("anonymise"), ended("remove")
    assert (await closing.sweep(kind="remove")).records == {closing.of("instance"): 1}
    assert (anonymised(), removed(), await closing.sessions()) == (0, 1, [])


async def test_the_words_go_at_their_time_and_the_record_after_what_it_knows_of(closing: Closing) -> None:
    thread = await closing.ran("instance")
    await closing.redis.flushall()
    closing.provider.script.next("erase_thread", ModelDown("busy"))
    sweep = partial(closing.sweep, kind="remove")
    assert (await sweep()).records == {closing.of("instance"): 1}
    assert await closing.texts("instance") == ["[removed]"] * 2

    assert (await sweep()).records == {closing.of("instance"): 1}
    assert (thread.id in closing.provider.conversations, await closing.sessions()) == (False, [])


async def test_where_threads_are_kept_for_ever_a_record_goes_before_its_thread(closing: Closing) -> None:
    thread = await closing.ran("instance")
    assert (await closing.sweep(threads=None, kind="remove")).records == {closing.of("instance"): 1}
    assert (thread.id in closing.provider.conversations, await closing.sessions()) == (True, [])


async def test_a_changed_policy_holds_for_what_ended_before(closing: Closing) -> None:
    await closing.ran("instance")
    await closing.sweep()
    assert await closing.texts("instance") == WORDS
    await closing.sweep(kind="anonymise")
    assert await closing.texts("instance") == ["[removed]"] * 2
    await closing.sweep(kind="remove")
    assert await closing.sessions() == []


async def test_a_record_waits_for_the_exchange_that_is_on_its_way(closing: Closing) -> None:
    await closing.speak("instance")
    await closing.speak("instance", recorded=False)
    closing.finish("instance")
    done = await closing.sweep(kind="remove")

    assert done.records == {}
    assert done.delayed == [(closing.of("instance"), "the transcript does not have every exchange yet")]
    assert await closing.texts("instance") == WORDS


async def test_a_record_waits_for_a_turn_that_a_newer_worker_has(closing: Closing) -> None:
    await closing.ran("instance")
    [turn] = await closing.keys("instance:analyst}:turn")
    await closing.redis.hset(turn, "schema", "2")
    done = await closing.sweep(threads=None, kind="remove")
    assert (done.records, [why[:14] for _, why in done.delayed]) == ({}, ["the transcript"])


async def test_a_shared_record_waits_from_the_end_of_the_last_instance_whether_it_spoke_or_not(
    closing: Closing,
) -> None:
    for name in ("spoke", "silent"):
        closing.begin(name, business_key="order 7")
    thread = await closing.speak("spoke", scope="business-key:order 7")
    closing.instances.processes["silent"].runs = False
    closing.finish("spoke", "silent")
    sweep = partial(closing.sweep, threads=1, record=1, kind="remove")
    await sweep()
    await closing.redis.flushall()  # the transcript alone remembers
    await asyncio.sleep(2 * DAY)
    closing.begin("new", business_key="order 7")
    assert (await sweep()).records == {}, "one runs"

    closing.finish("new")
    assert (await sweep()).records == {}, "it has just ended"
    assert thread.id in closing.provider.conversations
    await asyncio.sleep(DAY + 1)
    assert (await sweep()).records == {ORDER_7: 1}
    assert (thread.id in closing.provider.conversations, await closing.sessions()) == (False, [])


async def test_a_shared_record_whose_instances_no_history_knows_any_more_ends_by_its_own_time(closing: Closing) -> None:
    closing.begin("a", business_key="order 7")
    await closing.speak("a", scope="business-key:order 7")
    closing.finish("a")
    await closing.sweep(threads=None)
    closing.instances.processes.clear()
    await closing.redis.flushall()
    assert (await closing.sweep(threads=None, kind="remove")).records == {ORDER_7: 1}


@pytest.mark.parametrize("shared", [True, False])
async def test_a_record_stays_if_one_has_begun_to_run_in_the_middle_of_a_round(closing: Closing, shared: bool) -> None:
    closing.begin("a", business_key="order 7")
    await closing.speak("a", scope="business-key:order 7" if shared else "")
    closing.finish("a")

    def again() -> None:
        closing.begin("b", business_key="order 7")
        closing.instances.processes["a"].runs = not shared

    question = "runs_with" if shared else "running"
    closing.instances.script.next(question, *[None] * (2 if shared else 1), again)
    done = await closing.sweep(threads=None, kind="remove")

    assert (done.records, [why for _, why in done.delayed]) == ({}, ["an instance of it runs"])
    assert await closing.texts("a") == WORDS


async def test_a_record_that_is_active_again_is_not_removed(closing: Closing, monkeypatch: pytest.MonkeyPatch) -> None:
    await closing.ran("instance")
    drop = closing.transcript.drop

    async def late(sessions: Sequence[str]) -> Ended:
        await closing.speak("instance")
        return await drop(sessions)

    monkeypatch.setattr(closing.transcript, "drop", late)
    await closing.sweep(threads=None, kind="remove")
    assert await closing.texts("instance") == WORDS * 2


# What keeps a record, and what it keeps from others


async def test_records_end_in_portions(closing: Closing, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"i{number}" for number in range(5)]
    for name in names:
        await closing.ran(name)
    portions = list[int]()
    sessions = closing.conversations.sessions

    async def long(*args: Any, **options: Any) -> Page[Session]:
        page = await sessions(*args, **options)
        return replace(page, items=[replace(each, messages=MESSAGES_AT_ONCE // 2) for each in page.items])

    monkeypatch.setattr(closing.conversations, "sessions", long)
    anonymise = closing.transcript.anonymise

    async def counted(sessions: Sequence[str], *at: object) -> Ended:
        portions.append(len(sessions))
        return await anonymise(sessions, *at)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(closing.transcript, "anonymise", counted)
    done = await closing.sweep(threads=None, kind="anonymise")
    assert (portions, done.records) == ([2, 2, 1], {closing.of(name): 1 for name in names})


async def test_sessions_of_few_messages_end_in_portions_too(closing: Closing, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(AT_ONCE + 1):
        await closing.ran(f"i{number}")
    drop, portions = closing.transcript.drop, list[int]()

    async def counted(sessions: Sequence[str]) -> Ended:
        portions.append(len(sessions))
        return await drop(sessions)

    monkeypatch.setattr(closing.transcript, "drop", counted)
    removed = ended("remove")
    done = await closing.sweep(threads=None, kind="remove")
    assert portions == [AT_ONCE, 1]
    assert (len(done.records), removed(), await closing.sessions()) == (AT_ONCE + 1, AT_ONCE + 1, [])


async def test_one_odd_record_holds_up_no_other(closing: Closing, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "odd", "z"):
        await closing.ran(name)
    [odd] = [each.id for each in await closing.sessions() if each.process_instance_id == "odd"]
    drop = closing.transcript.drop

    async def choosy(sessions: Sequence[str]) -> Ended:
        if odd in sessions:
            raise KeyError("a secret")
        return await drop(sessions)

    monkeypatch.setattr(closing.transcript, "drop", choosy)
    done = await closing.sweep(threads=None, kind="remove")

    assert done.records == {closing.of("a"): 1, closing.of("z"): 1}
    assert [(subject.instance, "KeyError" in why, "secret" in why) for subject, why in done.delayed] == [
        ("odd", True, False)
    ]


async def test_a_turn_that_cannot_be_read_keeps_its_own_record_alone(
    closing: Closing, monkeypatch: pytest.MonkeyPatch
) -> None:
    await closing.ran("a")
    await closing.ran("odd")
    turns = closing.index.turns

    async def choosy(kept: object) -> object:
        if kept.key.scope == "odd":  # type: ignore[attr-defined]  # it is a Kept
            raise KeyError("a secret")
        return await turns(kept)  # type: ignore[arg-type]  # the same

    monkeypatch.setattr(closing.index, "turns", choosy)
    done = await closing.sweep(threads=None, kind="remove")
    assert (list(done.records), [each.instance for each, _ in done.delayed]) == ([closing.of("a")], ["odd"])


async def test_a_transcript_that_goes_down_delays_the_portion_and_says_it_of_each(
    closing: Closing, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        await closing.ran(name)

    async def down(_: object) -> Ended:
        raise TranscriptDown("away")

    monkeypatch.setattr(closing.transcript, "drop", down)
    done = await closing.sweep(threads=None, kind="remove")
    assert (done.records, sorted(str(each.instance) for each, _ in done.delayed)) == ({}, ["a", "b"])


async def test_an_engine_that_goes_away_ends_the_round_before_any_record(closing: Closing) -> None:
    await closing.ran("instance")
    closing.instances.script.next("running", None, EngineDown("away"))
    with pytest.raises(EngineDown):
        await closing.sweep(threads=None, kind="remove")
    assert await closing.texts("instance") == WORDS


async def test_a_dry_run_counts_each_record_once(closing: Closing) -> None:
    await closing.ran("a")
    await closing.sweep()
    await closing.ran("b")
    done = await closing.sweep(kind="remove", dry_run=True)
    assert done.records == {closing.of("a"): 1, closing.of("b"): 1}
    assert (await closing.texts("a"), await closing.texts("b")) == (WORDS, WORDS)
