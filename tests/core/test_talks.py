"""Conversations that persons have with an assistant beside all processes: whose they are, and what they know."""

import asyncio
from dataclasses import replace

import pytest

from tests.asks import ADA, MARY
from tests.core.chatting import Chatting
from worker.chat.desk import Erased, Wish
from worker.domain.asks import State
from worker.domain.budgets import Budgets, Limit
from worker.domain.conversations import EVERYTHING, Filter, Limits, MessageFilter, Session, owner
from worker.domain.endings import Receipt, order_id
from worker.domain.people import Person
from worker.errors import TranscriptDown, UnknownAssistant


def own(person: Person) -> Limits:
    return Limits(persons=frozenset([person.id]))


def whole(text: str) -> str:
    return text.splitlines()[0]


async def test_a_person_talks_with_an_assistant_and_no_engine_is_asked(chatting: Chatting) -> None:
    talk = await chatting.begin()
    async with chatting.answering() as worker:
        first = await chatting.said(talk, "Is it far?")
        await chatting.said(talk, "And back?")
        assert {name for name, _ in worker.engine.script.calls} <= {"ping"}

    assert chatting.closing.instances.script.calls == []
    told = chatting.texts(await chatting.conversation(talk.key))
    assert [whole(text) for text in told[::2]] == ["Is it far?", "And back?"]
    assert (first.target, first.instance) == (talk.key, "")
    question, answer, *_ = await chatting.messages(talk.id)
    assert (question.user, answer.id, answer.is_answer) == ("Ada", first.answer, True)
    assert {question.process_instance_id, question.definition_id, question.activity_id} == {""}
    now = await chatting.closing.conversations.session(talk.id, within=own(ADA))
    assert now is not None
    assert (now.kind, now.user, now.process_instance_id, now.messages) == ("chat", "Ada", None, 4)
    assert (now.is_active, now.ended_at) == (True, None)


async def test_what_is_begun_again_is_the_same_conversation(chatting: Chatting) -> None:
    first = await chatting.begin()
    async with chatting.answering():
        await chatting.said(first, "Is it far?")

    again = await chatting.begin()
    assert (again.id, again.started_at, again.messages) == (first.id, first.started_at, 2)
    others = [await chatting.begin(name="2"), await chatting.begin(tenant="north"), await chatting.begin(MARY)]
    assert len({first.id, *(each.id for each in others)}) == 4


async def test_two_persons_with_the_same_ids_never_mix(chatting: Chatting) -> None:
    talks = {person: await chatting.begin(person, "1") for person in (ADA, MARY)}
    async with chatting.answering():
        for person, talk in talks.items():
            await chatting.said(talk, f"I am {person.name}.", person, client_id="1")

    conversations = chatting.closing.conversations
    for person, talk in talks.items():
        other = talks[MARY if person is ADA else ADA]
        told = chatting.texts(await chatting.conversation(talk.key))
        assert [whole(text) for text in told[::2]] == [f"I am {person.name}."]
        assert await conversations.session(other.id, within=own(person)) is None
        assert [each.id for each in (await conversations.sessions(Filter(), within=own(person))).items] == [talk.id]
        seen = await conversations.messages(MessageFilter(), within=own(person))
        assert {each.session_id for each in seen.items} == {talk.id}
        found = await conversations.search("I am", Filter(), within=own(person))
        assert {each.session_id for each in found.items} == {talk.id}
        assert (await conversations.counts(Filter(), within=own(person))).sessions == 1


async def test_who_may_read_every_process_reads_no_conversation_of_a_person(chatting: Chatting) -> None:
    talk = await chatting.begin()
    async with chatting.answering(tasks=True):
        await chatting.said(talk, "Is it far?")
        await chatting.step("one", "a")

    conversations, seen = chatting.closing.conversations, Limits()
    assert talk.id not in {each.id for each in (await conversations.sessions(Filter(), within=seen)).items}
    assert {each.content for each in (await conversations.messages(MessageFilter(), within=seen)).items}.isdisjoint(
        {"Is it far?"}
    )
    assert [each.id for each in (await conversations.instances(Filter(), within=EVERYTHING)).items] == ["a"]
    assert (await conversations.counts(Filter(), within=EVERYTHING)).instances == 1
    assert await conversations.definition_keys() == {"decision"}
    free = await conversations.sessions(Filter(free=True), within=EVERYTHING)
    assert [each.id for each in free.items] == [talk.id]
    assert len((await conversations.sessions(Filter(free=False), within=EVERYTHING)).items) == 1


async def test_a_worker_that_starts_anew_finds_the_conversation_by_the_record(chatting: Chatting) -> None:
    talk = await chatting.begin()
    async with chatting.answering():
        await chatting.said(talk, "Is it far?")
    before = await chatting.conversation(talk.key)
    await chatting.core.redis.delete(*await chatting.closing.keys("person"))
    async with chatting.answering():
        await chatting.said(talk, "And back?")

    assert await chatting.conversation(talk.key) == before
    assert [whole(text) for text in chatting.texts(before)[::2]] == ["Is it far?", "And back?"]


async def test_a_thread_that_is_somebody_elses_is_not_gone_on_with(chatting: Chatting) -> None:
    talk = await chatting.begin()
    async with chatting.answering():
        await chatting.said(talk, "Is it far?")
        named = chatting.provider.conversations[before := await chatting.conversation(talk.key)]
        named.metadata["scope"] = (await chatting.begin(MARY)).scope
        await chatting.core.redis.delete(*await chatting.closing.keys("person"))
        await chatting.said(talk, "And back?")

    assert ["And back?" in text for text in chatting.texts(before)] == [False, False]
    told = chatting.texts(await chatting.conversation(talk.key))
    assert [whole(text) for text in told[::2]] == ["Is it far?", "And back?"]


@pytest.mark.parametrize("provider", ["openai", "local"])
async def test_a_thread_that_is_lost_is_made_anew_with_all_that_was_said(chatting: Chatting, provider: str) -> None:
    core = chatting.core
    core.several = True
    core.assistants.add("analyst", provider=provider)
    talk = await chatting.begin()
    async with chatting.answering():
        await chatting.said(talk, "Is it far?")
        chatting.provider.conversations.clear()
        await core.redis.delete(*await chatting.closing.keys("person"))
        await chatting.said(talk, "And back?")

    if provider == "local":
        told = [each.text for each in core.model.told[-1][0]]
    else:
        told = chatting.texts(await chatting.conversation(talk.key))
    assert whole(told[0]) == "Is it far?"


async def test_nothing_is_answered_without_knowing_what_was_said(
    chatting: Chatting, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise TranscriptDown("away")

    talk = await chatting.begin()
    async with chatting.answering():
        await chatting.said(talk, "Is it far?")
        await chatting.core.redis.delete(*await chatting.closing.keys("person"))
        asked = await chatting.desk.ask(talk, ADA, Wish("next", "And back?"))
        with monkeypatch.context() as patched:
            for name in ("messages", "stored"):
                patched.setattr(chatting.closing.conversations, name, away)
            await asyncio.sleep(100)
        assert len(chatting.provider.asked) == 1
        assert (await chatting.over(asked)).state is State.ANSWERED

    told = chatting.texts(await chatting.conversation(talk.key))
    assert whole(told[0]) == "Is it far?"


async def test_each_conversation_counts_as_an_instance_of_its_own(chatting: Chatting) -> None:
    core = chatting.core
    core.assistants.add("analyst", max_output_tokens=100)
    core.budgets = Budgets({"instance": Limit(2500), "root": Limit(10**6)})
    full, other = await chatting.begin(), await chatting.begin(name="2")
    async with chatting.answering() as worker:
        over = await chatting.over(await chatting.desk.ask(full, ADA, Wish("1", "x" * 8000)))
        await chatting.said(other, "Is it far?")
        assert {name for name, _ in worker.engine.script.calls} <= {"ping"}
    assert over.state is State.FAILED
    assert "budget of instance" in over.failure


async def test_an_assistant_that_is_not_there_is_not_talked_to(chatting: Chatting) -> None:
    with pytest.raises(UnknownAssistant):
        await chatting.desk.begin(ADA, "nobody", None, "1")


async def test_what_is_about_to_be_erased_is_not_talked_in(chatting: Chatting) -> None:
    talk = await chatting.begin()
    await order(chatting, talk)
    with pytest.raises(Erased):
        await chatting.begin()
    with pytest.raises(Erased):
        await chatting.desk.ask(talk, ADA, Wish("1", "Is it far?"))
    await chatting.begin(name="2")


async def order(chatting: Chatting, talk: Session) -> None:
    """Have an order to erase it that is not carried out yet."""
    subject = owner(talk.key, None)
    assert subject is not None
    receipt = Receipt(order_id(subject), "default", None, None, talk.started_at)
    await chatting.closing.orders.keep(replace(receipt, person=subject.person, chat=subject.chat))
