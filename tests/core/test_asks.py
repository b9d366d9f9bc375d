"""What persons ask: on whose thread it is answered, by whom it is heard, and what becomes of it."""

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any, get_args

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.asks import ADA, MARY
from tests.core.chatting import Chatting, key
from tests.core.closing import exchange
from tests.core.operating import NAMES, stop
from tests.fakes.engine import LOCK
from tests.fakes.life import Life
from worker.chat.desk import MOST_WAITING, Erased, Occupied, Outdated, TooManyAsked, Wish
from worker.chat.ports import RECENT
from worker.domain.asks import State
from worker.domain.budgets import Budgets, Limit
from worker.domain.conversations import EVERYTHING, session_id
from worker.domain.providers import Limits
from worker.domain.stops import Kind
from worker.domain.threads import Answer, Outcome, Thread, ThreadKey
from worker.domain.watching import Look, Speaker, TurnSeen
from worker.ending.rewinding import Rewinding
from worker.ending.rewinding import Wish as RewindWish
from worker.ending.rounds import Kind as Retained
from worker.errors import (
    AskedOtherwise,
    BadRequest,
    EngineDown,
    ModelUnknown,
    ProviderAway,
    StoreDown,
    TranscriptDown,
)
from worker.redis import RedisWindows

DAY = 25 * 3600


def meta(job: Any, output: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(str(job.results[f"{output}_meta"].value))
    return told


# On whose thread


async def test_while_a_process_runs_it_hears_nothing_of_what_is_asked_beside_it(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        asked = await chatting.answered("a", "Why so?")
        await chatting.step("three", "a")

    trunk, branch = await chatting.conversation(key("a")), await chatting.conversation(key("a").branch)
    assert trunk != branch
    assert ["Why so?" in text for text in chatting.texts(trunk)] == [False] * 4
    told = chatting.texts(branch)
    assert "Please do one." in told[0]
    assert told[1].startswith("answer to")
    assert "Why so?" in told[2]
    assert len(told) == 4
    assert asked.target == key("a").branch


async def test_whose_process_a_question_is_about_is_known_to_who_reads_along(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True):
        job = await chatting.step("one", "a")
        ask = await chatting.answered("a")
    seen = TurnSeen(ask.id, "", 1, is_held=True, is_repair=False)
    look = await RedisWindows(chatting.core.redis, prefix="aw").look(ask.target, Look(turn=seen))
    assert look.turn is not None
    assert look.turn.whose == Speaker(job.task.process_definition_key, "a")


async def test_a_second_ask_goes_on_where_the_first_one_was_answered(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        await chatting.answered("a", "Why so?")
        await chatting.answered("a", "And then?", person=MARY)

    told = chatting.texts(await chatting.conversation(key("a").branch))
    assert ["And then?" in text for text in told] == [False, False, False, False, True, False]


async def test_after_the_end_the_thread_itself_answers(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        chatting.closing.finish("a")
        await chatting.closing.close()
        before = await chatting.session("a")
        await chatting.answered("a", "Why so?")

    assert "Why so?" in chatting.texts(await chatting.conversation(key("a")))[2]
    after = await chatting.session("a")
    assert (after.is_active, after.ended_at) == (False, before.ended_at)
    assert (after.messages, after.thread_erased_at) == (4, None)


async def test_who_speaks_is_named_on_the_question_and_nowhere_is_a_variable_written(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True) as worker:
        await chatting.step("one", "a")
        written = len(worker.engine.script.named("set_variable"))
        asked = await chatting.answered("a", "Why so?", person=MARY)

    question, answer = await chatting.messages(session_id(key("a").branch))
    assert (question.user, question.content, answer.user) == ("Mary", "Why so?", None)
    assert (answer.id, answer.is_answer, answer.activity_id) == (asked.answer, True, "")
    assert {question.process_instance_id, answer.process_instance_id} == {"a"}
    assert len(worker.engine.script.named("set_variable")) == written


async def test_what_is_said_on_the_thread_is_heard_and_later_steps_say_so(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True):
        first = await chatting.step("one", "a")
        await chatting.answered("a", "Mind the budget.", on_thread=True)
        await chatting.answered("a", "And the law.", on_thread=True, person=MARY)
        await chatting.answered("a", "Please.", on_thread=True, person=MARY)
        second = await chatting.step("two", "a")

    assert "heard" not in meta(first, "one")
    assert meta(second, "two")["heard"] == {"messages": 3, "of": ["Ada", "Mary"]}
    assert "Mind the budget." in chatting.texts(await chatting.conversation(key("a")))[2]
    answer = (await chatting.messages(session_id(key("a"))))[-1]
    assert answer.metadata["heard"] == 3


async def test_an_answer_that_was_journalled_says_as_well_who_was_heard(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True) as worker:
        await chatting.step("one", "a")
        await chatting.answered("a", on_thread=True)
        worker.engine.script.next("has_spin", EngineDown("away"))
        second = await chatting.step("two", "a")

    assert meta(second, "two")["recovered"] == "journal"
    assert meta(second, "two")["heard"] == {"messages": 1, "of": ["Ada"]}


async def test_where_the_engine_cannot_say_whether_a_process_runs_it_is_not_swayed(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        chatting.closing.finish("a")
        chatting.closing.instances.script.next("running", EngineDown("away"))
        asked = await chatting.ask("a")
    assert asked.target == key("a").branch


async def test_a_map_that_is_lost_is_found_by_the_transcript(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        chatting.closing.finish("a")
        trunk = await chatting.conversation(key("a"))
        await chatting.core.redis.delete(*await chatting.closing.keys("a:analyst}:thread"))
        await chatting.answered("a", "Why so?")

    assert await chatting.conversation(key("a")) == trunk
    assert "Why so?" in chatting.texts(trunk)[2]


async def test_a_thread_that_is_gone_is_made_anew_with_what_was_said(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        chatting.closing.finish("a")
        trunk = await chatting.conversation(key("a"))
        del chatting.provider.conversations[trunk]
        await chatting.answered("a", "Why so?")

    anew = await chatting.conversation(key("a"))
    assert anew != trunk
    told = chatting.texts(anew)
    assert "Please do one." in told[0]
    assert "Why so?" in told[2]


async def test_a_branch_that_is_gone_is_made_anew_with_what_was_said_on_both(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        await chatting.answered("a", "Why so?")
        del chatting.provider.conversations[await chatting.conversation(key("a").branch)]
        await chatting.answered("a", "And then?")

    told = chatting.texts(await chatting.conversation(key("a").branch))
    assert [text.splitlines()[0] for text in told[::2]] == ["# One", "Why so?", "And then?"]


@pytest.mark.parametrize("asked_before", [False, True])
async def test_on_a_branch_nobody_goes_by_what_was_rewound(chatting: Chatting, asked_before: bool) -> None:
    rewinding = Rewinding(chatting.closing.index, chatting.closing.conversations)
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        await chatting.step("two", "a")
        if asked_before:
            await chatting.answered("a", "Why two?")
        await rewinding.rewind(RewindWish("a", "two"), "ada on desk", within=EVERYTHING)
        await chatting.answered("a", "Why so?")
        await chatting.step("three", "a")
        await chatting.answered("a", "And now?")

    told = chatting.texts(await chatting.conversation(key("a").branch))
    assert [text.splitlines()[0] for text in told[::2]] == ["# One", "Why so?", "And now?"]


async def test_a_branch_ends_with_its_instance(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        await chatting.answered("a")
    chatting.closing.finish("a")
    await chatting.closing.sweep()

    assert chatting.provider.conversations == {}
    assert {each.thread_erased_at is not None for each in await chatting.closing.sessions()} == {True}


# Whose turn it is


async def test_a_message_that_comes_again_is_answered_once(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        first = await chatting.answered("a", client_id="x")
        calls = len(chatting.provider.asked)
        again = await chatting.ask("a", client_id="x")
        with pytest.raises(AskedOtherwise):
            await chatting.ask("a", "Why not?", client_id="x")
        other = await chatting.answered("a", client_id="x", person=MARY)

    assert (again.id, again.state) == (first.id, State.ANSWERED)
    assert other.id != first.id
    assert len(chatting.provider.asked) == calls + 1


@pytest.mark.parametrize("ends", [False, True], ids=["the process runs", "it has ended since"])
async def test_a_message_that_comes_again_a_day_later_is_the_one_that_was_answered(
    chatting: Chatting, *, ends: bool
) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        first = await chatting.answered("a", client_id="x")
    calls = len(chatting.provider.asked)
    if ends:
        chatting.closing.finish("a")
        await chatting.closing.close()
    await asyncio.sleep(DAY)
    async with chatting.answering():
        assert await chatting.ask("a", client_id="x") == first
        with pytest.raises(AskedOtherwise):
            await chatting.ask("a", "Why not?", client_id="x")
        await asyncio.sleep(60)

    assert await chatting.now(first) == first
    assert len(chatting.provider.asked) == calls
    assert [each.id for each in await chatting.messages()].count(str(first.answer)) == 1


@pytest.mark.parametrize("kind", get_args(Retained))
async def test_a_message_that_comes_again_when_retention_has_taken_its_conversation_is_refused(
    chatting: Chatting, kind: Retained
) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        first, session = await chatting.answered("a", client_id="x"), await chatting.session("a")
    calls = len(chatting.provider.asked)
    chatting.closing.finish("a")
    await chatting.closing.sweep(kind=kind)
    await asyncio.sleep(DAY)
    async with chatting.answering():
        match kind:
            case "keep":
                assert await chatting.ask("a", client_id="x") == first
            case "anonymise":
                with pytest.raises(Erased):
                    await chatting.ask("a", client_id="x")
            case "remove":  # of which the API finds no session; this is who asks while it is removed
                with pytest.raises(Erased):
                    await chatting.desk.ask(session, ADA, Wish("x", first.text))
        await asyncio.sleep(60)

    assert len(chatting.provider.asked) == calls


async def test_asks_of_one_thread_are_answered_in_their_order_and_those_of_others_meanwhile(
    chatting: Chatting,
) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        await chatting.step("one", "b")
        chatting.provider.script.next("ask", 30)
        slow = await chatting.ask("a", "first")
        second = await chatting.ask("a", "second")
        other = await chatting.answered("b")
        assert (await chatting.now(slow)).state is State.RUNNING
        assert (await chatting.now(second)).state is State.QUEUED
        await chatting.over(second)

    told = chatting.texts(await chatting.conversation(key("a").branch))
    assert [text.splitlines()[0] for text in told[2::2]] == ["first", "second"]
    assert other.state is State.ANSWERED


async def test_an_ask_waits_for_a_step_and_a_step_for_one_ask_alone(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        chatting.provider.script.next("ask", 20, 20)
        slow = await chatting.ask("a", "first", on_thread=True)
        await chatting.core.until(lambda: len(chatting.provider.asked) == 2)
        step = chatting.core.world.start("two", instance="a")
        waiting = [await chatting.ask("a", text, on_thread=True) for text in ("second", "third")]
        await chatting.over(waiting[-1])
        assert step.gone
        assert (await chatting.now(slow)).state is State.ANSWERED

    told = chatting.texts(await chatting.conversation(key("a")))[::2]
    assert [text.splitlines()[0] for text in told] == [
        "# One",
        "first",
        "# Two",
        "second",
        "third",
    ]


async def test_no_call_for_a_person_takes_longer_than_a_step_may_have_to_wait(chatting: Chatting) -> None:
    known = chatting.core.assistants.known["analyst"]
    chatting.core.assistants.known["analyst"] = replace(
        known, timeout=timedelta(minutes=9), output_schema={"type": "object"}, background=True
    )
    async with chatting.answering(tasks=True):
        chatting.provider.answer = lambda _: Answer("{}")
        await chatting.step("one", "a")
        await chatting.answered("a")
    assistant = chatting.provider.script.named("ask")[-1][2]
    assert assistant.timeout == timedelta(seconds=60)
    assert (assistant.output_schema, assistant.background) == (None, False)


async def test_who_wants_to_be_answered_at_once_is_told_what_runs(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        chatting.provider.script.next("ask", 20)
        slow = await chatting.ask("a")
        with pytest.raises(Occupied) as refused:
            await chatting.ask("a", mode="reject", person=MARY)
        assert (refused.value.running.what, refused.value.running.whose) == ("an ask", "Ada")
        await chatting.over(slow)

        chatting.provider.script.next("ask", 20)
        step = chatting.core.world.start("two", instance="a")
        await chatting.core.until(lambda: len(chatting.provider.asked) == 3)
        with pytest.raises(Occupied) as refused:
            await chatting.ask("a", mode="reject", on_thread=True)
        assert refused.value.running.what == "a step of the process"
        assert refused.value.running.since is not None
        await chatting.core.until_over([step])
        assert (await chatting.ask("a", mode="reject", on_thread=True)).state is State.QUEUED


async def test_a_person_has_so_many_questions_waiting_and_no_more(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
    first, *_ = [await chatting.ask("a") for _ in range(MOST_WAITING)]
    with pytest.raises(TooManyAsked):
        await chatting.ask("a")
    assert (await chatting.ask("a", person=MARY)).state is State.QUEUED
    await chatting.desk.withdraw(first)
    assert (await chatting.ask("a")).state is State.QUEUED


async def test_who_does_not_know_the_newest_answer_is_told_so(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        session = await chatting.session("a")
        known = (await chatting.desk.talk(session)).as_of
        assert known == 0
        await chatting.answered("a", as_of=known)
        with pytest.raises(Outdated):
            await chatting.ask("a", as_of=known)
        talk = await chatting.desk.talk(session)
        assert talk.as_of == 1
        chatting.provider.script.next("ask", 20)
        both = [await chatting.ask("a", as_of=1) for _ in range(2)]
        over = [await chatting.over(each) for each in both]

    assert [each.state for each in over] == [State.ANSWERED, State.FAILED]
    assert "newer answers" in over[1].failure


async def test_what_nobody_has_begun_with_can_be_withdrawn(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        chatting.provider.script.next("ask", 20)
        slow, second = await chatting.ask("a"), await chatting.ask("a")
        await chatting.core.until(lambda: len(chatting.provider.asked) == 2)
        assert (await chatting.desk.withdraw(second)).state is State.WITHDRAWN
        with pytest.raises(Occupied):
            await chatting.desk.withdraw(slow)
        await chatting.over(slow)
    assert len(chatting.provider.asked) == 2


# What is erased


async def test_nobody_talks_about_what_is_to_be_erased(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        chatting.closing.finish("a")
        await chatting.closing.close()
        chatting.provider.script.always("erase_thread", ModelUnknown("cut"))
        session = await chatting.session("a")
        receipt = await chatting.closing.erase("a")
        assert receipt.completed_at is None
        with pytest.raises(Erased):
            await chatting.desk.ask(session, ADA, _wish())


async def test_what_waits_when_its_conversation_ends_is_gone(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
    asked = await chatting.ask("a")
    chatting.closing.finish("a")
    await chatting.closing.sweep()
    calls = len(chatting.provider.asked)
    async with chatting.answering():
        over = await chatting.over(asked)

    assert (over.state, len(chatting.provider.asked)) == (State.GONE, calls)
    assert chatting.provider.conversations == {}


async def test_an_order_to_erase_takes_what_was_asked_and_its_receipt_says_so(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        await chatting.step("one", "b")
        await chatting.answered("a")
        kept = await chatting.answered("b")
    left = await chatting.ask("a")
    chatting.closing.finish("a")
    receipt = await chatting.closing.erase("a")

    assert receipt.completed_at is not None
    assert {(step.store.value, step.count) for step in receipt.steps if step.store == "asks"} == {("asks", 2)}
    assert await chatting.asks.ask(left.id) is None
    assert await chatting.now(kept) == kept
    assert len(chatting.provider.conversations) == 2
    assert await chatting.closing.keys("a:analyst") == []


async def test_what_was_asked_goes_when_the_words_go(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        asked = await chatting.answered("a")
    chatting.closing.finish("a")
    await chatting.closing.sweep(kind="anonymise")
    assert await chatting.asks.ask(asked.id) is None


# What goes wrong


async def test_while_the_provider_is_away_an_ask_waits_and_spends_nothing(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        chatting.provider.script.next("create_thread", ProviderAway("away"))
        chatting.provider.script.next("ping", *[ProviderAway("away")] * 5)
        asked = await chatting.ask("a")
        over = await chatting.over(asked)

    assert over.state is State.ANSWERED
    assert len(chatting.provider.asked) == 2


async def test_while_redis_is_away_an_ask_is_safe_and_waits(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
    session = await chatting.session("a")
    chatting.core.redis.trouble = [StoreDown("away")] * 3
    asked = await chatting.desk.ask(session, ADA, _wish())
    chatting.core.redis.trouble = []
    async with chatting.answering():
        assert (await chatting.over(asked)).state is State.ANSWERED


@pytest.mark.parametrize("kind", ["assistant", "provider", "all"])
async def test_what_is_stopped_waits(chatting: Chatting, kind: Kind) -> None:
    async with chatting.answering(tasks=True) as worker:
        await chatting.step("one", "a")
        await worker.stopped.stop(stop(kind))
        asked = await chatting.ask("a")
        await asyncio.sleep(100)
        assert (await chatting.now(asked)).state in {State.QUEUED, State.RUNNING}
        await worker.stopped.lift(kind, NAMES.get(kind, ""))
        assert (await chatting.over(asked)).state is State.ANSWERED
    assert len(chatting.provider.asked) == 2


@pytest.mark.parametrize(
    ("outcome", "state"),
    [(Outcome.REFUSED, State.ANSWERED), (Outcome.INCOMPLETE, State.FAILED), (Outcome.FILTERED, State.FAILED)],
)
async def test_a_bad_answer_is_said_to_be_one(chatting: Chatting, outcome: Outcome, state: State) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        chatting.provider.answer = lambda _: Answer("text", outcome, "why")
        over = await chatting.over(await chatting.ask("a"))
    assert over.state is state
    assert over.answer is not None
    assert (outcome.value in over.failure) == (state is State.FAILED)


async def test_an_assistant_that_nobody_has_answers_nothing(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        chatting.core.assistants.known.clear()
        chatting.core.assistants.add("another")
        over = await chatting.over(await chatting.ask("a"))
    assert (over.state, "analyst" in over.failure) == (State.FAILED, True)


async def test_an_assistant_that_came_with_a_called_process_answers_on_the_thread_of_its_root(
    chatting: Chatting,
) -> None:
    thread = ThreadKey("default", "root", "deployment:child:analyst", "north")
    chatting.core.assistants.add(thread.assistant)
    chatting.closing.begin("root", tenant="north")
    chatting.closing.begin("called", tenant="north")
    await chatting.closing.speak("called", scope="root", assistant=thread.assistant)
    chatting.closing.finish("root", "called")
    session = await chatting.closing.conversations.session(session_id(thread), within=EVERYTHING)
    assert session is not None
    async with chatting.answering():
        # So many that nothing of the called process is among the newest messages.
        for number in range(RECENT):
            over = await chatting.over(await chatting.desk.ask(session, ADA, Wish(str(number), "Why?")))
            assert (over.state, over.failure, over.target) == (State.ANSWERED, "", thread)

    assert chatting.core.assistants.came_with == [("d:1:d", "north")] * RECENT
    said = {(each.process_instance_id, each.definition_id) for each in await chatting.messages(session.id)}
    assert said == {("called", "d:1:d"), ("root", "")}, "the root is no instance of the called process"


async def test_where_nobody_knows_what_an_assistant_came_with_the_person_is_told(chatting: Chatting) -> None:
    thread = ThreadKey("default", "root", "deployment:child:analyst")
    chatting.core.assistants.add(thread.assistant)
    said = replace(exchange(thread, "task-1", "called", Thread("conv_1", 1), None, None), definition_id="")
    await chatting.closing.transcript.record(said)
    session = await chatting.closing.conversations.session(session_id(thread), within=EVERYTHING)
    assert session is not None
    async with chatting.answering():
        over = await chatting.over(await chatting.desk.ask(session, ADA, _wish()))
    assert (over.state, "does not say with which version" in over.failure) == (State.FAILED, True)


async def test_a_question_that_three_workers_die_under_is_given_up(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
    asked = await chatting.ask("a")
    for _ in range(3):
        life = Life("before:threads.enter")
        async with chatting.answering(life=life):
            await ended(chatting, life)
        await asyncio.sleep(60)
    async with chatting.answering():
        over = await chatting.over(asked)
    assert over.state is State.FAILED
    assert over.failure.startswith("3 workers")


async def test_workers_are_counted_that_die_one_after_the_other_while_the_next_one_finds_its_thread_busy(
    chatting: Chatting,
) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
    asked = await chatting.ask("a")
    async with AsyncExitStack() as stack:
        for _ in range(3):
            life = Life("after:threads.intend")
            await stack.enter_async_context(chatting.answering(life=life))
            await ended(chatting, life)
        await stack.enter_async_context(chatting.answering())
        over = await chatting.over(asked)
    assert over.state is State.FAILED
    assert over.failure.startswith("3 workers")


async def test_an_answer_counts_that_one_of_three_dead_workers_has_brought(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
    asked = await chatting.ask("a")
    for end in ("after:threads.keep_answer", "before:threads.enter", "before:threads.enter"):
        life = Life(end)
        async with chatting.answering(life=life):
            await ended(chatting, life)
        await asyncio.sleep(60)
    chatting.core.redis.trouble = [RedisConnectionError("gone")]  # while nobody can tell it is not given up
    async with chatting.answering():
        over = await chatting.over(asked)
    assert (over.state, over.failure) == (State.ANSWERED, "")
    assert len(chatting.provider.asked) == 2


@pytest.mark.parametrize("others", [0, 1])
async def test_what_is_being_asked_is_not_asked_again_though_its_lease_ran_out_while_the_database_was_away(
    chatting: Chatting, monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    core = chatting.core
    core.several = True
    core.assistants.add("analyst", provider="local")  # where nobody can look, and nobody refuses a second call
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(chatting.answering(tasks=True))
        await chatting.step("one", "a")
        core.model.script.next("ask", 100)
        asked = await chatting.ask("a")
        await core.until(lambda: len(core.model.told) == 2)
        for _ in range(others):
            await stack.enter_async_context(chatting.answering())
        with monkeypatch.context() as patched:
            patched.setattr(chatting.asks, "renew", away)
            await asyncio.sleep(1.5 * LOCK.total_seconds())
        over = await chatting.over(asked)

    assert (over.state, over.failure) == (State.ANSWERED, "")
    assert len(core.model.told) == 2


async def test_a_stop_hands_on_what_runs(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
    chatting.provider.script.next("ask", 50)
    asked = await chatting.ask("a")
    async with chatting.answering():
        await chatting.core.until(lambda: len(chatting.provider.asked) == 2)
    handed_on = await chatting.now(asked)
    assert (handed_on.state, handed_on.deaths) == (State.QUEUED, 0)
    async with chatting.answering():
        assert (await chatting.over(asked)).state is State.ANSWERED


async def ended(chatting: Chatting, life: Life) -> None:
    await chatting.core.until(lambda: life.is_over)


def _wish() -> Wish:
    return Wish("1", "Why?")


# Wherever it is asked, and within what bounds


@pytest.mark.parametrize("is_over", [False, True])
async def test_a_provider_that_keeps_nothing_is_told_what_was_said_as_well(
    chatting: Chatting, *, is_over: bool
) -> None:
    core = chatting.core
    core.several = True
    core.assistants.add("analyst", provider="local")
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        if is_over:
            chatting.closing.finish("a")
        await chatting.answered("a", "Why so?")
        await chatting.answered("a", "And then?")
        if not is_over:
            await chatting.step("two", "a")

    told = [[each.text.splitlines()[0] for each in said if each.role == "user"] for said, _ in core.model.told]
    assert told[:3] == [[], ["# One"], ["# One", "Why so?"]]
    assert told[3:] == ([] if is_over else [["# One"]])


async def test_a_history_that_is_lost_is_told_from_the_transcript(chatting: Chatting) -> None:
    core = chatting.core
    core.several = True
    core.assistants.add("analyst", provider="local")
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        await chatting.answered("a", "Why so?")
        await core.redis.delete(*await chatting.closing.keys("branch%3Aa:analyst"))
        await chatting.answered("a", "And then?")

    said, _ = core.model.told[-1]
    assert [each.text.splitlines()[0] for each in said if each.role == "user"] == ["# One", "Why so?"]


async def test_a_branch_is_not_begun_without_knowing_what_was_said(
    chatting: Chatting, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        asked = await chatting.ask("a")
        with monkeypatch.context() as patched:
            patched.setattr(chatting.closing.conversations, "messages", away)
            await asyncio.sleep(100)
        assert (await chatting.now(asked)).state in {State.QUEUED, State.RUNNING}
        assert len(chatting.provider.asked) == 1
        assert (await chatting.over(asked)).state is State.ANSWERED


async def test_a_seed_that_the_provider_does_not_take_begins_no_branch_that_knows_nothing(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        chatting.provider.script.next("create_thread", BadRequest("items"))
        over = await chatting.over(await chatting.ask("a"))
    assert (over.state, over.failure) == (State.FAILED, "items")
    assert len(chatting.provider.asked) == 1


async def test_budgets_hold_for_persons_and_nothing_is_spent_beyond_them(chatting: Chatting) -> None:
    core = chatting.core
    core.assistants.add("analyst", max_output_tokens=100)
    core.budgets = Budgets({"instance": Limit(2000), "root": Limit(10**6)})
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        over = await chatting.over(await chatting.ask("a", "x" * 6000))
    assert over.state is State.FAILED
    assert "budget of instance a" in over.failure
    assert len(chatting.provider.asked) == 1


async def test_limits_of_a_provider_hold_for_persons(chatting: Chatting) -> None:
    chatting.core.limits["openai"] = Limits(at_once=1)
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        chatting.provider.script.next("ask", 20)
        step = chatting.core.world.start("one", instance="b")
        await chatting.core.until(lambda: len(chatting.provider.asked) == 2)
        asked = await chatting.ask("a")
        await asyncio.sleep(10)
        assert len(chatting.provider.asked) == 2
        await chatting.over(asked)
        assert step.gone


async def test_a_refused_ask_says_why_and_holds_up_no_other(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        chatting.provider.script.next("ask", BadRequest("no such model"))
        first = await chatting.over(await chatting.ask("a"))
        assert (first.state, first.failure) == (State.FAILED, "no such model")
        await chatting.answered("a")


async def test_a_fallback_answers_persons_as_it_answers_tasks(chatting: Chatting) -> None:
    core = chatting.core
    core.several = True
    core.assistants.add("analyst", fallback=(("local", "small"),))
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        chatting.provider.script.always("create_thread", ProviderAway("away"))
        chatting.provider.script.always("ping", ProviderAway("away"))
        await chatting.answered("a", "Why so?")
    assert [text for _, text in core.model.told] == ["Why so?"]


async def test_a_question_that_quotes_a_ref_is_not_taken_for_it(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        asked = await chatting.answered("a", "See\n\n(ref 0123456789ab)", on_thread=True)
    question = next(each for each in await chatting.messages() if each.task_id == asked.id)
    assert "(quoted ref" in question.content


async def test_a_conversation_that_instances_share_is_not_swayed_by_talk_after_one_of_them(chatting: Chatting) -> None:
    shared = ThreadKey("default", "business-key:order", "analyst")
    await chatting.closing.speak("first", scope=shared.scope)
    process = chatting.closing.begin("first")
    process.business_key = "order"
    chatting.closing.finish("first")
    session = await chatting.closing.conversations.session(session_id(shared), within=EVERYTHING)
    assert session is not None
    asked = await chatting.desk.ask(session, ADA, _wish())
    assert asked.target == shared
    chatting.closing.begin("second", business_key="order")
    async with chatting.answering():
        over = await chatting.over(asked)
        assert (over.state, "ask again" in over.failure) == (State.FAILED, True)
        again = await chatting.desk.ask(session, ADA, Wish("2", "Why?"))
        assert again.target == shared.branch
        assert (await chatting.over(again)).state is State.ANSWERED


async def test_what_nobody_foresaw_counts_as_a_death(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        chatting.provider.script.next("ask", *[RuntimeError("boom")] * 3)
        over = await chatting.over(await chatting.ask("a"))
    assert over.state is State.FAILED
    assert over.failure.startswith("3 workers")


async def test_two_workers_answer_each_ask_once(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True), chatting.answering():
        for name in ("a", "b", "c"):
            await chatting.step("one", name)
        asks = [await chatting.ask(name, f"Why {number}?") for name in ("a", "b", "c") for number in range(3)]
        assert {(await chatting.over(each)).state for each in asks} == {State.ANSWERED}
    assert len(chatting.provider.asked) == 12


@pytest.mark.parametrize("provider", ["openai", "local"])
async def test_an_answer_outlives_a_database_that_is_away_for_hours_and_is_paid_once(
    chatting: Chatting, monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    core = chatting.core
    core.several = True
    core.assistants.add("analyst", provider=provider)

    def calls() -> int:
        return len(core.provider.asked) + len(core.model.told)

    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        (core.provider if provider == "openai" else core.model).script.next("ask", 5)
        asked = await chatting.ask("a", on_thread=True)
        await core.until(lambda: calls() == 2)
        with monkeypatch.context() as patched:
            for method in ("settle", "claim", "renew", "postpone", "backlog"):
                patched.setattr(chatting.asks, method, away)
            await asyncio.sleep(3 * 3600)
        over = await chatting.over(asked)

    assert (over.state, over.failure, calls()) == (State.ANSWERED, "", 2)


async def test_a_look_that_breaks_in_an_unforeseen_way_is_not_the_last(
    chatting: Chatting, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        with monkeypatch.context() as patched:
            patched.setattr(chatting.asks, "claim", broken)
            asked = await chatting.ask("a")
            await asyncio.sleep(10)
        assert (await chatting.over(asked)).state is State.ANSWERED


async def test_redis_that_goes_away_under_an_ask_costs_nothing_but_time(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        chatting.core.redis.trouble = [RedisConnectionError("gone")]
        asked = await chatting.ask("a")
        assert (await chatting.over(asked)).state is State.ANSWERED
    assert len(chatting.provider.asked) == 2


async def test_a_record_that_is_away_under_the_hold_leaves_the_thread_to_others(
    chatting: Chatting, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        asked = await chatting.ask("a", on_thread=True)
        with monkeypatch.context() as patched:
            patched.setattr(chatting.closing.conversations, "session", away)
            await asyncio.sleep(10)
            step = chatting.core.world.start("two", instance="a")
            await chatting.core.until_over([step])
        assert (await chatting.over(asked)).state is State.ANSWERED


async def test_an_ask_that_is_claimed_while_the_worker_stops_is_handed_on(
    chatting: Chatting, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
    asked, claim = await chatting.ask("a"), chatting.asks.claim

    async def slowly(*args: Any) -> Any:
        found = await claim(*args)
        await asyncio.sleep(1)
        return found

    monkeypatch.setattr(chatting.asks, "claim", slowly)
    async with chatting.answering():
        while (await chatting.now(asked)).state is State.QUEUED:  # noqa: ASYNC110 - nothing tells when it is claimed
            await asyncio.sleep(0.05)
    handed_on = await chatting.now(asked)
    assert (handed_on.state, handed_on.deaths) == (State.QUEUED, 0)


async def away(*_: object, **__: object) -> Any:
    raise TranscriptDown("away")


async def broken(*_: object, **__: object) -> Any:
    raise RuntimeError("broken")
