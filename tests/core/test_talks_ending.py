"""How conversations that persons have beside all processes end: by their person, by age, and by nothing else."""

import asyncio
import json

import pytest

from tests.asks import ADA, MARY
from tests.core.chatting import Chatting
from tests.core.test_ending_crashes import Dying, Killed
from worker.chat.desk import Wish
from worker.domain.asks import State
from worker.domain.conversations import EVERYTHING, Session, Subject, owner
from worker.domain.endings import Receipt, Store
from worker.errors import EngineDown

DAY = 86_400.0


async def spoken(chatting: Chatting, *names: str) -> list[Session]:
    """Conversations of Ada's in each of which something was answered."""
    talks = [await chatting.begin(name=name) for name in names]
    async with chatting.answering():
        for talk in talks:
            await chatting.said(talk, "Is it far?")
    return talks


def subject(talk: Session) -> Subject:
    found = owner(talk.key, None)
    assert found is not None
    return found


async def erase(chatting: Chatting, talk: Session) -> Receipt:
    await chatting.closing.rest()
    return await chatting.closing.eraser.erase(subject(talk))


async def kept(chatting: Chatting, receipt: Receipt) -> str:
    """How an open order stands in Redis."""
    return str(await chatting.core.redis.hget("aw:default:erasures", receipt.id))


async def is_there(chatting: Chatting, talk: Session) -> bool:
    return await chatting.closing.conversations.session(talk.id, within=EVERYTHING) is not None


async def test_its_person_ends_it_everywhere_and_the_receipt_says_so(chatting: Chatting) -> None:
    talk, other = await spoken(chatting, "1", "2")
    conversation = await chatting.conversation(talk.key)
    key = next(name for name in await chatting.closing.keys("person") if name.endswith(":thread"))
    mine = subject(talk).chat or ""
    [thread] = [name for name in await chatting.closing.keys(mine) if name.endswith(":thread")]
    await chatting.core.redis.xadd(thread.replace(":thread", ":live"), {"text": "It is"})
    receipt = await erase(chatting, talk)
    assert key
    assert receipt.completed_at is not None
    assert (receipt.instance, receipt.person, receipt.chat) == (None, ADA.id, mine)
    counts = {step.store: step.count for step in receipt.steps}
    assert (counts[Store.PROVIDER], counts[Store.ASKS], counts[Store.TRANSCRIPT]) == (2, 1, 2)
    assert conversation not in chatting.provider.conversations
    assert await chatting.closing.keys(mine) == []
    assert [await is_there(chatting, each) for each in (talk, other)] == [False, True]
    assert await chatting.asks.of_session(talk.id) == []
    assert chatting.closing.instances.script.calls == []

    again = await chatting.begin(name="1")
    async with chatting.answering():
        await chatting.said(again, "And now?")
    assert len(chatting.texts(await chatting.conversation(again.key))) == 2


async def test_what_waits_in_it_is_gone(chatting: Chatting) -> None:
    talk = await chatting.begin()
    asked = await chatting.desk.ask(talk, ADA, Wish("1", "Is it far?"))
    receipt = await erase(chatting, talk)
    assert [step.count for step in receipt.steps if step.store is Store.ASKS] == [1]
    assert await chatting.asks.ask(asked.id) is None
    async with chatting.answering():
        await asyncio.sleep(10)
    assert chatting.provider.asked == []


async def test_killed_anywhere_it_goes_on_to_the_same_end(chatting: Chatting) -> None:
    closing, at = chatting.closing, 0
    (bystander,) = await spoken(chatting, "bystander")
    while True:
        at += 1
        (talk,) = await spoken(chatting, f"{at}")
        conversation = await chatting.conversation(talk.key)
        whole, dying = closing.ports, Dying(at)
        closing.ports = dying.watch(whole)
        await closing.rest()
        try:
            await closing.eraser.erase(subject(talk))
            break
        except Killed:
            where = f"died at {dying.places[-1]}"
        finally:
            closing.ports = whole
        await closing.core.redis.delete(*await closing.keys(":hold"), "nothing")
        if not await closing.resume():
            await erase(chatting, talk)
        assert conversation not in chatting.provider.conversations, where
        assert not await is_there(chatting, talk), where
        assert await closing.orders.open_orders() == [], where
    assert at > 10
    assert await is_there(chatting, bystander)


# By age


async def test_it_goes_when_its_last_message_is_old_enough(chatting: Chatting) -> None:
    old, talked, empty = *await spoken(chatting, "1", "2"), await chatting.begin(name="3")
    await asyncio.sleep(9 * DAY)
    async with chatting.answering():
        await chatting.said(talked, "And back?")
    await asyncio.sleep(1.5 * DAY)
    looked = await chatting.closing.sweep(chats=10, dry_run=True)
    assert [await is_there(chatting, each) for each in (old, talked, empty)] == [True] * 3
    done = await chatting.closing.sweep(chats=10)

    assert {each.chat for each in done.chats} == {each.chat for each in looked.chats}
    assert {each.chat for each in done.chats} == {subject(old).chat, subject(empty).chat}
    assert [await is_there(chatting, each) for each in (old, talked, empty)] == [False, True, False]
    assert len(chatting.provider.conversations) == 1
    assert len(json.dumps(done.summary()["chats"])) > 0


async def test_it_is_kept_for_ever_if_that_is_said_and_while_something_waits_in_it(chatting: Chatting) -> None:
    (talk,) = await spoken(chatting, "1")
    await asyncio.sleep(100 * DAY)
    assert (await chatting.closing.sweep(chats=None)).chats == []
    asked = await chatting.desk.ask(talk, ADA, Wish("2", "And back?"))
    assert (await chatting.closing.sweep(chats=10)).chats == []
    assert (await chatting.now(asked)).state is State.QUEUED


async def test_the_end_of_processes_takes_no_persons_conversation_along_nor_the_reverse(chatting: Chatting) -> None:
    (talk,) = await spoken(chatting, "1")
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
    await asyncio.sleep(3 * DAY)
    for _ in range(2):
        await chatting.closing.sweep(threads=0, record=0, kind="remove")
        await asyncio.sleep(2 * DAY)
    assert await is_there(chatting, talk)
    assert len(chatting.provider.conversations) == 2
    assert await chatting.closing.orders.missing() == {}, "nobody asks the engine whether it is over"
    chatting.closing.instances.script.next("running", EngineDown("away"))
    with pytest.raises(EngineDown):
        await chatting.closing.sweep(chats=0)
    assert not await is_there(chatting, talk), "it goes while the engine is away, too"
    assert len(await chatting.closing.texts("a")) == 2


async def test_an_older_worker_leaves_its_order_alone_and_one_for_a_process_stays_as_it_was(
    chatting: Chatting,
) -> None:
    (talk,) = await spoken(chatting, "1")
    chatting.provider.script.next("erase_thread", EngineDown("away"))
    receipt = await erase(chatting, talk)
    assert receipt.completed_at is None
    assert json.loads(await kept(chatting, receipt))["schema"] == 2
    await chatting.closing.ran("b")
    chatting.provider.script.next("erase_thread", EngineDown("away"))
    other = await chatting.closing.erase("b")
    assert json.loads(await kept(chatting, other))["schema"] == 1
    assert {each.id for each in await chatting.closing.resume() if each.completed_at} == {receipt.id, other.id}


async def test_what_is_marys_stays_when_ada_ends_hers_under_the_same_name(chatting: Chatting) -> None:
    mine, hers = await chatting.begin(ADA), await chatting.begin(MARY)
    await erase(chatting, mine)
    assert [await is_there(chatting, each) for each in (mine, hers)] == [False, True]
