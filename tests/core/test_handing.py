"""What persons hand to a process: with its marker or not at all, once, and what is said where nobody can tell."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.asks import ADA, MARY
from tests.core.chatting import Chatting, key
from tests.fakes.clock import now
from tests.fakes.life import Life
from tests.fakes.receivers import FakeReceivers, Waiting
from worker.chat.desk import Erased
from worker.chat.handing import (
    LEASE,
    Ended,
    HandedOtherwise,
    Handing,
    NotAnswered,
    NothingToDecide,
    NotRecorded,
    NotTaken,
    NotTheirs,
    Wanted,
)
from worker.domain.asks import Ask, State
from worker.domain.conversations import session_id
from worker.domain.handovers import Handover, Standing, marker_name, text_hash
from worker.domain.people import Person
from worker.errors import Conflict, EngineDown, Forbidden, Refused, StoreDown, TranscriptDown, Unanswered
from worker.transcript import SqlHandovers

WANTED = Wanted("note", message="approved", text="Take the first.")
SIGNED = Wanted("note", task="sign", text="Take the first.", user="ada")


class Hands:
    """One answered ask of the running instance `a`, which waits for the message `approved`, and who hands over."""

    def __init__(self, chatting: Chatting, ask: Ask) -> None:
        self.chatting = chatting
        self.ask = ask
        self.marker = marker_name(ask.id)
        self.receivers = FakeReceivers()
        self.process = self.receivers.instances["a"] = Waiting({"execution-1": "approved"})
        self.book = SqlHandovers(chatting.closing.database, now=now)
        self.handing = self.living(Life())

    def living(self, life: Life) -> Handing:
        """A worker with this life."""
        return Handing(
            self.chatting.ports, life.lives("book", self.book), life.lives("receivers", self.receivers), self.has_spin
        )

    async def has_spin(self) -> bool:
        return True

    async def hand(self, wanted: Wanted = WANTED, person: Person = ADA, ask: Ask | None = None) -> Handover:
        return await self.handing.hand_over(ask or self.ask, person, wanted)

    async def kept(self) -> Handover | None:
        return await self.book.handover(self.ask.id)

    @property
    def taken(self) -> list[str]:
        return [what for what, _ in self.process.received]


@pytest.fixture
async def hands(chatting: Chatting) -> Hands:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        asked = await chatting.answered("a", "Which one?")
    return Hands(chatting, asked)


async def after_its_lease() -> None:
    await asyncio.sleep(LEASE.total_seconds() + 1)


@pytest.mark.parametrize("wanted", [WANTED, SIGNED], ids=["message", "task"])
async def test_what_is_handed_over_comes_with_its_marker_in_the_same_request(hands: Hands, wanted: Wanted) -> None:
    hands.process.task()
    handed = await hands.hand(wanted)

    assert handed.state is Standing.HANDED_OVER
    [(what, variables)] = hands.process.received
    assert what == (wanted.message or wanted.task)
    assert variables["note"].value == "Take the first."
    assert json.loads(variables[hands.marker].value) == {
        "person": "Ada",
        "issuer": "token",
        "subject": "ada",
        "variable": "note",
        "hash": text_hash("Take the first."),
    }
    assert variables.keys() == {"note", hands.marker}
    assert hands.marker == f"handover_{hands.ask.id}"


async def test_without_a_text_it_is_the_answer_of_whatever_length(hands: Hands) -> None:
    hands.process.messages |= {"execution-2": "again"}
    await hands.hand(replace(WANTED, text=None))
    [answer] = [each for each in await hands.chatting.messages() if each.id == hands.ask.answer]
    [(_, variables)] = hands.process.received
    assert variables["note"].value == answer.content
    assert (await hands.kept()) is not None

    other = await other_ask(hands)
    await hands.hand(Wanted("note", message="again", text="x" * 5000), ask=other)
    assert hands.process.received[1][1]["note"].type == "Object"


async def other_ask(hands: Hands) -> Ask:
    async with hands.chatting.answering():
        return await hands.chatting.answered("a", "And else?")


async def test_the_same_again_says_what_became_of_the_first(hands: Hands) -> None:
    first, again = await hands.hand(), await hands.hand()
    assert again == first
    assert hands.taken == ["approved"]


async def test_many_that_hand_over_the_same_at_once_hand_it_over_once(hands: Hands) -> None:
    hands.receivers.script.always("correlate", 1.0)
    handed = await asyncio.gather(*(hands.hand() for _ in range(5)))
    assert hands.taken == ["approved"]
    assert {each.holder for each in handed} == {handed[0].holder}
    assert (await hands.hand()).state is Standing.HANDED_OVER


@pytest.mark.parametrize(
    "other",
    [
        replace(WANTED, text="Take the second."),
        replace(WANTED, message="refused"),
        replace(WANTED, variable="other"),
        SIGNED,
    ],
    ids=["text", "message", "variable", "task"],
)
async def test_an_ask_is_handed_over_once_and_in_one_way(hands: Hands, other: Wanted) -> None:
    await hands.hand()
    with pytest.raises(HandedOtherwise):
        await hands.hand(other)
    assert hands.taken == ["approved"]


async def test_a_second_person_hears_who_has_handed_it_over(hands: Hands) -> None:
    await hands.hand()
    with pytest.raises(HandedOtherwise, match=r"Ada \(ada\)"):
        await hands.hand(person=MARY)


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING, State.FAILED, State.WITHDRAWN, State.GONE])
async def test_what_has_no_answer_is_not_handed_over(hands: Hands, state: State) -> None:
    with pytest.raises(NotAnswered, match=state.value):
        await hands.hand(ask=replace(hands.ask, state=state))
    assert await hands.kept() is None


async def test_what_a_person_has_beside_all_processes_is_handed_to_none(hands: Hands) -> None:
    hands.receivers.instances[""] = Waiting({"execution-1": "approved"})
    with pytest.raises(NotTaken, match="of no process"):
        await hands.hand(ask=replace(hands.ask, instance=""))
    assert (hands.receivers.script.calls, await hands.kept()) == ([], None)


async def test_what_a_person_has_beside_all_processes_has_nothing_to_hand_it_to(hands: Hands) -> None:
    offer = await hands.handing.offer(replace(hands.ask, instance=""), "ada")
    assert (offer.messages, offer.tasks, hands.receivers.script.calls) == ([], [], [])


async def test_an_answer_that_is_not_recorded_yet_is_waited_for(hands: Hands) -> None:
    with pytest.raises(NotRecorded):
        await hands.hand(replace(WANTED, text=None), ask=replace(hands.ask, answer="0" * 32))
    assert await hands.kept() is None


async def test_what_is_erased_is_not_handed_over(hands: Hands) -> None:
    receipt = await hands.chatting.closing.erase("a", force=True)
    assert receipt.completed_at is not None
    with pytest.raises(Erased):
        await hands.hand()
    assert hands.taken == []


@pytest.mark.parametrize("history", [True, False])
async def test_an_instance_that_is_over_takes_nothing(hands: Hands, history: bool) -> None:
    hands.process.runs, hands.process.has_history = False, history
    with pytest.raises(Ended):
        await hands.hand()
    assert await hands.kept() is None


@pytest.mark.parametrize("call", ["look", "waiting"])
async def test_while_the_engine_is_away_nothing_is_kept(hands: Hands, call: str) -> None:
    hands.receivers.script.next(call, EngineDown("away"))
    with pytest.raises(EngineDown):
        await hands.hand()
    assert await hands.kept() is None
    assert (await hands.hand()).state is Standing.HANDED_OVER


async def test_a_message_that_nothing_waits_for_or_several_do_is_not_sent(hands: Hands) -> None:
    with pytest.raises(NotTaken, match="nothing in this process instance"):
        await hands.hand(replace(WANTED, message="other"))
    hands.process.messages["execution-2"] = "approved"
    with pytest.raises(NotTaken, match="more than one place"):
        await hands.hand()
    assert await hands.kept() is None
    assert hands.taken == []


@pytest.mark.parametrize(
    ("task", "error"),
    [
        ({"assignee": "ada"}, None),
        ({"assignee": "mary"}, NotTheirs),
        ({"assignee": "mary", "users": frozenset({"ada"})}, NotTheirs),
        ({"users": frozenset({"ada"})}, None),
        ({"users": frozenset({"mary"})}, NotTheirs),
        ({"groups": frozenset({"clerks"})}, None),
        ({"groups": frozenset({"heads"})}, NotTheirs),
        ({}, None),
        ({"is_suspended": True}, NotTaken),
        ({"is_delegated": True, "assignee": "ada"}, NotTaken),
        ({"instance": "b"}, NotTaken),
    ],
    ids=str,
)
async def test_a_user_task_is_completed_by_whose_it_is_alone(
    hands: Hands, task: dict[str, object], error: type[Exception] | None
) -> None:
    hands.receivers.members["ada"] = frozenset({"clerks"})
    hands.process.task(**task)  # type: ignore[arg-type]  # fields by name
    if error is None:
        assert (await hands.hand(SIGNED)).state is Standing.HANDED_OVER
        return
    with pytest.raises(error):
        await hands.hand(SIGNED)
    assert await hands.kept() is None
    assert hands.taken == []


@pytest.mark.parametrize(
    "refusal",
    [Refused("500 a script behind it fails"), Forbidden("grant it"), Conflict("500 code 1"), Unanswered("no")],
    ids=lambda each: type(each).__name__,
)
async def test_what_the_engine_refuses_was_not_handed_over_and_may_be_anew(hands: Hands, refusal: Exception) -> None:
    hands.receivers.script.next("correlate", refusal)
    with pytest.raises(NotTaken):
        await hands.hand()
    assert await hands.kept() is None
    assert (await hands.hand(replace(WANTED, text="Another."))).state is Standing.HANDED_OVER


# Replies that are lost


async def test_after_a_lost_reply_it_is_found_in_the_process(hands: Hands) -> None:
    hands.receivers.script.next("correlated", EngineDown("no answer"))
    assert (await hands.hand()).state is Standing.HANDED_OVER
    assert (await hands.hand()).state is Standing.HANDED_OVER
    assert hands.taken == ["approved"]


async def test_after_a_lost_reply_and_an_outage_it_is_found_when_it_is_sent_again(hands: Hands) -> None:
    hands.receivers.script.next("correlated", EngineDown("no answer"))
    hands.receivers.script.next("look", None, EngineDown("away"), EngineDown("away"))
    assert (await hands.hand()).state is Standing.RUNNING
    with pytest.raises(EngineDown):
        await hands.hand()
    assert (await hands.hand()).state is Standing.HANDED_OVER
    assert hands.taken == ["approved"]


async def test_after_the_end_that_it_brought_about_it_is_found_in_the_history(hands: Hands) -> None:
    hands.process.ends_with = frozenset({"approved"})
    hands.receivers.script.next("correlated", EngineDown("no answer"))
    assert (await hands.hand()).state is Standing.HANDED_OVER


async def test_what_the_engine_may_still_be_doing_is_not_repeated(hands: Hands) -> None:
    hands.receivers.script.next("correlate", EngineDown("no answer"))
    assert (await hands.hand()).state is Standing.RUNNING
    assert (await hands.hand()).state is Standing.RUNNING
    assert len(hands.receivers.script.named("correlate")) == 1
    await after_its_lease()
    assert (await hands.hand()).state is Standing.HANDED_OVER
    assert hands.taken == ["approved"]


async def test_what_certainly_did_not_happen_leaves_room_for_another_text_and_person(hands: Hands) -> None:
    hands.receivers.script.next("correlate", EngineDown("no answer"))
    await hands.hand()
    with pytest.raises(HandedOtherwise):
        await hands.hand(person=MARY)
    await after_its_lease()
    handed = await hands.hand(replace(WANTED, text="Another."), MARY)
    assert (handed.state, handed.person) == (Standing.HANDED_OVER, MARY)


async def test_where_nobody_can_tell_that_is_said_and_nothing_is_repeated(hands: Hands) -> None:
    hands.process.ends_with, hands.process.has_history = frozenset({"approved"}), False
    hands.receivers.script.next("correlated", EngineDown("no answer"))
    assert (await hands.hand()).state is Standing.UNKNOWN
    await after_its_lease()
    assert (await hands.hand()).state is Standing.UNKNOWN
    assert hands.taken == ["approved"]
    hands.process.has_history = True
    assert (await hands.hand()).state is Standing.HANDED_OVER, "somebody lets us look again"


async def test_of_what_nobody_can_tell_a_person_decides(hands: Hands) -> None:
    hands.process.ends_with, hands.process.has_history = frozenset({"approved"}), False
    hands.receivers.script.next("correlated", EngineDown("no answer"))
    await hands.hand()
    decided = await hands.handing.decide(hands.ask, MARY, happened=True)
    assert (decided.state, decided.person, decided.decided_by) == (Standing.HANDED_OVER, ADA, "Mary (mary)")
    assert (await hands.hand()).state is Standing.HANDED_OVER
    with pytest.raises(NothingToDecide, match="handed_over"):
        await hands.handing.decide(hands.ask, MARY, happened=False)


async def test_what_was_not_by_a_persons_word_may_be_handed_over_anew(hands: Hands) -> None:
    hands.receivers.script.next("correlate", EngineDown("no answer"))
    hands.process.runs = True
    await hands.hand()
    hands.process.runs, hands.process.has_history = False, False
    await after_its_lease()
    assert (await hands.hand()).state is Standing.UNKNOWN
    decided = await hands.handing.decide(hands.ask, MARY, happened=False)
    assert decided.state is Standing.NOT_HANDED_OVER
    hands.process.runs = True
    assert (await hands.hand(replace(WANTED, text="Another."))).state is Standing.HANDED_OVER


async def test_there_is_nothing_to_decide_while_it_is_known(hands: Hands) -> None:
    with pytest.raises(NothingToDecide, match="nothing was handed over"):
        await hands.handing.decide(hands.ask, MARY, happened=True)
    hands.receivers.script.next("correlate", EngineDown("no answer"))
    await hands.hand()
    with pytest.raises(NothingToDecide, match="running"):
        await hands.handing.decide(hands.ask, MARY, happened=False)


async def test_a_record_that_is_restored_to_before_it_hands_nothing_over_again(hands: Hands) -> None:
    handed = await hands.hand()
    await hands.book.drop(handed)
    hands.process.messages["execution-2"] = "approved"
    with pytest.raises(HandedOtherwise):
        await hands.hand(replace(WANTED, text="Another."))
    with pytest.raises(HandedOtherwise):
        await hands.hand(person=MARY)
    assert (await hands.hand()).state is Standing.HANDED_OVER
    assert hands.taken == ["approved"]


async def test_while_the_record_is_away_nothing_is_told_to_the_engine(
    hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise TranscriptDown("away")

    with monkeypatch.context() as patched:
        patched.setattr(hands.book, "begin", away)
        with pytest.raises(TranscriptDown):
            await hands.hand()
        assert hands.taken == []
        patched.undo()
    with monkeypatch.context() as patched:
        patched.setattr(hands.book, "settle", away)
        with pytest.raises(TranscriptDown):
            await hands.hand()
    assert (await hands.hand()).state is Standing.HANDED_OVER
    assert hands.taken == ["approved"]


async def test_while_nobody_can_tell_whether_it_is_erased_nothing_is_handed_over(
    hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise StoreDown("away")

    monkeypatch.setattr(hands.chatting.ports.orders, "open_orders", away)
    with pytest.raises(StoreDown):
        await hands.hand()
    assert hands.taken == []


async def test_what_was_handed_over_goes_with_its_ask(hands: Hands) -> None:
    await hands.hand()
    assert await hands.book.handover(hands.ask.id) is not None
    await hands.chatting.asks.drop([session_id(key("a"))])
    assert await hands.book.handover(hands.ask.id) is None


# Workers that die


def crashes() -> Iterator[str]:
    for call in (
        "book.handover",
        "receivers.look",
        "receivers.waiting",
        "book.begin",
        "receivers.correlate",
        "book.settle",
    ):
        yield from (f"{when}:{call}" for when in ("before", "after"))


@pytest.mark.parametrize("point", [*crashes()])
@pytest.mark.parametrize("history", ["runs", "ends", "hidden"])
async def test_whoever_dies_where_nothing_is_handed_over_twice(hands: Hands, point: str, history: str) -> None:
    if history != "runs":
        hands.process.ends_with = frozenset({"approved"})
        hands.process.has_history = history == "ends"
    life = Life(point)
    dying = asyncio.create_task(hands.living(life).hand_over(hands.ask, ADA, WANTED))
    await hands.chatting.core.until(lambda: life.is_over)
    life.buried.set()
    await asyncio.gather(dying, return_exceptions=True)
    await after_its_lease()
    handed = await hands.hand()

    assert hands.taken == ["approved"]
    told = {"before:book.settle", "after:receivers.correlate"}
    assert handed.state is (Standing.UNKNOWN if history == "hidden" and point in told else Standing.HANDED_OVER)
