"""What a person has said is erased: all of it where it is theirs alone, and their words where processes speak."""

import asyncio

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.asks import ADA, MARY
from tests.core.chatting import Chatting, key
from tests.core.closing import open_in
from tests.core.test_keeping_decisions import decide
from worker.domain.asks import State
from worker.domain.conversations import EVERYTHING, Filter, Subject, session_id
from worker.domain.endings import Receipt, Status, Store
from worker.domain.feedback import Feedback
from worker.domain.people import Person
from worker.ending import Holds
from worker.transcript import SqlFeedback
from worker.transcript.tables import messages

WORDS = (Store.TRANSCRIPT, "words and feedback in conversations of processes")


async def erase(chatting: Chatting, person: Person = ADA, tenants: frozenset[str | None] | None = None) -> Receipt:
    await chatting.closing.rest()
    return await chatting.closing.eraser.erase(Subject("default", person=person.id, tenants=tenants))


async def contents(chatting: Chatting, session: str) -> list[str]:
    return [each.content.splitlines()[0] for each in await chatting.messages(session)]


async def test_all_conversations_of_a_person_go_and_nobody_elses(chatting: Chatting) -> None:
    talks = [await chatting.begin(name="1"), await chatting.begin(name="2", tenant="north")]
    hers = await chatting.begin(MARY)
    async with chatting.answering(tasks=True):
        for talk in talks:
            await chatting.said(talk, "Is it far?")
        await chatting.said(hers, "Is it near?", MARY)
        await chatting.step("one", "a")
    receipt = await erase(chatting)

    assert (receipt.completed_at is not None, receipt.person, receipt.chat) == (True, ADA.id, None)
    left = {each.id for each in await chatting.closing.sessions()}
    assert left == {hers.id, session_id(key("a"))}
    assert len(chatting.provider.conversations) == 2
    assert await chatting.closing.keys(ADA.id) == []
    assert {step.status for step in receipt.steps} == {Status.REMOVED}
    assert [await chatting.asks.of_session(each.id) for each in talks] == [[], []]


async def test_an_order_of_one_tenant_takes_what_is_of_that_one(chatting: Chatting) -> None:
    here, there = await chatting.begin(), await chatting.begin(tenant="north")
    await erase(chatting, tenants=frozenset(["north"]))
    assert {each.id for each in await chatting.closing.sessions()} == {here.id}
    assert there.tenant == "north"


async def test_their_words_leave_the_record_of_processes_and_the_receipt_says_what_stays(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        mine = await chatting.answered("a", "I am ill.")
        hers = await chatting.answered("a", "And costs?", person=MARY)
        loud = await chatting.answered("a", "Mind my back.", on_thread=True)
    branch, trunk = session_id(key("a").branch), session_id(key("a"))
    told = SqlFeedback(chatting.closing.database)
    answer = (await chatting.messages(trunk))[1]
    for person in (ADA, MARY):
        await told.give(answer.id, Feedback("wrong", "It says ill.", person.name, person.id, answer.created_at))
    receipt = await erase(chatting)

    assert receipt.completed_at is not None
    assert (await contents(chatting, branch))[:3] == ["[removed]", "[removed]", "And costs?"]
    assert (await contents(chatting, trunk))[2:] == ["[removed]", "[removed]"]
    assert {each.user for each in await chatting.messages()} == {None, "[removed]", "Mary"}
    session = await chatting.closing.conversations.session(branch, within=EVERYTHING)
    assert session is not None
    assert session.user == "[removed]"
    assert [await chatting.asks.ask(each.id) is None for each in (mine, hers, loud)] == [True, False, True]
    first, second = (await chatting.messages(trunk))[1].feedback
    assert [(each.person, each.note, each.rating) for each in (first, second)] == [
        ("[removed]", "[removed]", "wrong"),
        ("Mary", "It says ill.", "wrong"),
    ]
    stays = {step.what: step.why for step in receipt.steps if step.status is Status.STAYS}
    assert stays.keys() == {"a analyst", "task:branch:a analyst"}
    assert receipt.named[WORDS].count == 7
    assert "I am ill." in chatting.texts(await chatting.conversation(key("a").branch))[2], "which it says"
    found = await chatting.closing.conversations.search("ill", Filter(), within=EVERYTHING)
    assert [each for each in found.items if each.message_id != answer.id] == []


async def test_what_a_decision_on_hold_cites_of_them_is_left_and_taken_once_it_is_released(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        mine = await chatting.answered("a", "I am ill.", on_thread=True)
        await chatting.answered("a", "I am well.", on_thread=True)
    decision, trunk = await decide(chatting.closing, "a", cited=mine.id), session_id(key("a"))
    holds = Holds(chatting.closing.decisions)
    assert await holds.hold(decision.id, "Ann", "claim", within=EVERYTHING)
    receipt = await erase(chatting)

    assert receipt.completed_at is None
    assert open_in(receipt)[WORDS].startswith("held: a message is cited by decisions on legal hold")
    assert (await contents(chatting, trunk))[2] == "I am ill."
    assert (await contents(chatting, trunk))[4:] == ["[removed]", "[removed]"]
    assert await holds.release(decision.id, "Ben", "settled", within=EVERYTHING)
    [done] = await chatting.closing.resume()
    assert done.completed_at is not None
    assert (await contents(chatting, trunk))[2:] == ["[removed]"] * 4


async def test_what_is_being_answered_is_taken_once_it_is_recorded(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        chatting.provider.script.next("ask", 30)
        asked = await chatting.ask("a", "I am ill.")
        await chatting.core.until(lambda: len(chatting.provider.asked) == 2)
        waits = await chatting.ask("a", "Hear me.")
        receipt = await erase(chatting)
        assert receipt.completed_at is None
        assert list(open_in(receipt)) == [WORDS]
        assert await chatting.asks.ask(waits.id) is None
        assert (await chatting.over(asked)).state is State.ANSWERED
        await chatting.closing.resume()

    assert await chatting.closing.orders.open_orders() == []
    assert "I am ill." not in await contents(chatting, session_id(key("a").branch))


async def test_an_answer_that_is_not_recorded_yet_is_waited_for(chatting: Chatting) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        asked = await chatting.answered("a", "I am ill.")

    async def lose(connection: AsyncConnection) -> None:
        """Have the record lack the answer."""
        await connection.execute(delete(messages).where(messages.c.id == asked.answer))

    await chatting.closing.database.write(lose)
    receipt = await erase(chatting)
    assert list(open_in(receipt)) == [WORDS]
    await asyncio.sleep(8 * 86_400)
    [over] = await chatting.closing.resume()
    assert over.completed_at is not None, "it never came"
