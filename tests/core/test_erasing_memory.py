"""What is forgotten: what an instance has left with the instance, and a subject as a whole, each with a receipt."""

from dataclasses import replace
from typing import Any

import pytest

from tests.core.closing import Closing, open_in
from tests.core.remembering import FakeMemory
from tests.core.test_ending_crashes import Killed
from tests.fakes.clock import now
from tests.records import exchange, key
from worker.domain.conversations import Subject
from worker.domain.endings import Status, Store, order_id
from worker.domain.memory import Forgotten, MemorySubject, ToRemember
from worker.ending.stores import ON_ITS_WAY
from worker.errors import MemoryDown
from worker.redis.receipts import dump_receipt

ADA = "a" * 32
SUBJECT = Subject("default", memory=ADA)


class SlowMemory(FakeMemory):
    """A vendor's, which takes its time, or keeps something."""

    def __init__(self) -> None:
        super().__init__("zep")
        self.done = [Forgotten(0)]
        self.asked: list[tuple[MemorySubject, str | None]] = []

    async def forget(self, subject: MemorySubject) -> Forgotten:
        await self.script.reach("forget", subject)
        self.asked.append((subject, None))
        return self.done.pop(0) if len(self.done) > 1 else self.done[0]

    async def forget_instance(self, subject: MemorySubject, instance: str) -> Forgotten:
        await self.script.reach("forget_instance", subject, instance)
        self.asked.append((subject, instance))
        return self.done.pop(0) if len(self.done) > 1 else self.done[0]


@pytest.fixture
async def memory(closing: Closing) -> SlowMemory:
    """A memory, and two instances that have left something for it."""
    for number in (1, 2):
        wish = ToRemember(ADA, "variable:customer", "q")
        nowhere = {"thread_id": None, "response_id": None}
        await closing.transcript.record(exchange(number, key(f"instance-{number}"), remember=wish, **nowhere))
        for each in await closing.memos.claim(5):
            await closing.memos.settle(each, each.question, each.answer)
        closing.begin(f"instance-{number}")
        closing.finish(f"instance-{number}")
    memory = SlowMemory()
    closing.ports = replace(closing.ports, memory=memory)
    return memory


async def left(closing: Closing) -> list[str]:
    return [each.instance for each in await closing.facts.facts(ADA)]


async def test_what_an_erased_instance_has_left_goes_with_it(closing: Closing, memory: SlowMemory) -> None:
    memory.done = [Forgotten(2), Forgotten(0)]
    receipt = await closing.erase("instance-1")
    assert set(open_in(receipt).values()) == {ON_ITS_WAY}
    [receipt] = await closing.resume()
    step = receipt.named[Store.MEMORY, f"facts of {ADA}, generation 0 from instance-1"]
    assert (step.status, step.count, receipt.completed_at is not None) == (Status.REMOVED, 3, True)
    assert await left(closing) == ["instance-2"]
    assert memory.asked == [(MemorySubject(ADA, None), "instance-1")] * 2


async def test_a_memory_that_is_away_leaves_the_order_open_until_it_has_forgotten(
    closing: Closing, memory: SlowMemory
) -> None:
    memory.script.next("forget_instance", MemoryDown("away"))
    receipt = await closing.erase("instance-1")
    assert open_in(receipt) == {(Store.MEMORY, f"facts of {ADA}, generation 0 from instance-1"): "away"}
    assert await left(closing) == ["instance-2"]
    memory.done = [Forgotten(0, open=True), Forgotten(4)]
    [still] = await closing.resume()
    assert "still at it" in str(open_in(still))
    [final] = await closing.resume()
    assert final.completed_at is not None
    assert final.named[Store.MEMORY, f"facts of {ADA}, generation 0 from instance-1"].count == 5


def die() -> None:
    raise Killed("forgetting")


@pytest.mark.parametrize("subject", [SUBJECT, Subject("default", instance="instance-1")], ids=["subject", "instance"])
async def test_whoever_goes_on_for_one_that_died_looks_for_what_was_on_its_way_too(
    closing: Closing, memory: SlowMemory, subject: Subject
) -> None:
    call = "forget" if subject == SUBJECT else "forget_instance"
    memory.script.next(call, die, MemoryDown("away"))
    with pytest.raises(Killed):
        await closing.eraser.erase(subject)
    assert await left(closing) == ([] if subject == SUBJECT else ["instance-2"]), "nothing of ours tells of it now"
    for why in ("away", ON_ITS_WAY):
        [receipt] = await closing.resume()
        assert set(open_in(receipt).values()) == {why}
    [receipt] = await closing.resume()
    assert receipt.completed_at is not None
    assert len(memory.asked) == 2


async def test_what_a_vendor_keeps_is_said_to_stay(closing: Closing, memory: SlowMemory) -> None:
    memory.done = [Forgotten(1, stays="derived facts")]
    await closing.erase("instance-1")
    [receipt] = await closing.resume()
    step = receipt.named[Store.MEMORY, f"facts of {ADA}, generation 0 from instance-1"]
    assert (step.status, step.why, receipt.completed_at is not None) == (Status.STAYS, "derived facts", True)


async def test_what_has_come_since_a_subject_was_forgotten_is_asked_for_as_of_then(
    closing: Closing, memory: SlowMemory
) -> None:
    await closing.eraser.erase(SUBJECT)
    later = now()
    wish = ToRemember(ADA, "variable:customer", "q", generation=1)
    await closing.transcript.record(
        exchange(
            3, key("instance-2"), remember=wish, asked_at=later, answered_at=later, thread_id=None, response_id=None
        )
    )
    memory.asked.clear()
    await closing.erase("instance-2")
    assert memory.asked == [(MemorySubject(ADA, None, 1), "instance-2")]


async def test_a_subject_is_forgotten_as_a_whole_and_begins_anew(closing: Closing, memory: SlowMemory) -> None:
    await closing.eraser.erase(SUBJECT)
    [receipt] = await closing.resume()
    assert [(each.what, each.status, each.count) for each in receipt.steps] == [
        (f"facts of {ADA}, generation 0", Status.REMOVED, 2)
    ]
    assert memory.asked == [(MemorySubject(ADA, None), None)] * 2
    assert await left(closing) == []
    assert await closing.texts("instance-1") != []  # the transcript is not concerned
    again = await closing.eraser.erase(SUBJECT)
    assert again.completed_at is not None
    known = await closing.facts.known(MemorySubject(ADA, None))
    assert known == MemorySubject(ADA, None, 2), "a turn that is under way is not remembered any more"


async def test_what_comes_while_a_vendor_forgets_is_of_the_next_generation_and_stays(
    closing: Closing, memory: SlowMemory
) -> None:
    memory.done = [Forgotten(0, open=True), Forgotten(0)]
    receipt = await closing.eraser.erase(SUBJECT)
    assert receipt.completed_at is None
    later = exchange(10_000_000, key("instance-3"), remember=ToRemember(ADA, "variable:customer", "q"))
    await closing.transcript.record(later)
    for each in await closing.memos.claim(5):
        assert each.subject.generation == 1
        assert await closing.memos.settle(each, each.question, each.answer) == "kept"
    [final] = await closing.resume()
    assert final.completed_at is not None
    assert await left(closing) == ["instance-3"]
    assert {each.generation for each, _ in memory.asked} == {0}


async def test_of_a_subject_that_nobody_knows_there_is_nothing_to_forget(closing: Closing) -> None:
    receipt = await closing.eraser.erase(Subject("default", memory="b" * 32))
    assert (receipt.steps, receipt.completed_at is not None) == ((), True)


async def test_an_order_to_forget_is_left_alone_by_older_workers(closing: Closing) -> None:
    receipt = await closing.eraser.erase(SUBJECT)
    assert dump_receipt(receipt).startswith('{"schema":3')
    assert (await closing.orders.receipt(order_id(SUBJECT))) == receipt


def test_a_subject_is_one_of_four() -> None:
    both: dict[str, Any] = {"memory": ADA, "instance": "i"}
    for wrong in ({}, both):
        with pytest.raises(ValueError, match="memory"):
            Subject("default", **wrong)
