"""Whatever dies where: nothing stands in Zep twice, and nothing is missing, once it was tried again."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.contract.zep.rig import ANN, Rig, memo
from tests.fakes.known_ids import KnownIds
from tests.zep.stand_in import Fault
from worker.errors import MemoryDown
from worker.zep import ZepMemory

LONG = " ".join(f"word{each}" for each in range(20_000))


async def killed_at(rig: Rig, number: int, where: str, work: Callable[[ZepMemory], Awaitable[object]]) -> bool:
    """Begin the work, and kill the worker at its request of this number; False if it makes fewer.

    `where`: before the request has had its effect, or after it, when no answer has come back.
    """
    dying, reached, left = await rig.another(), asyncio.Event(), number

    async def step(_: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            reached.set()
            await asyncio.Event().wait()

    setattr(rig.zep, where, step)
    working = asyncio.ensure_future(work(dying))
    waiting = asyncio.ensure_future(reached.wait())
    await asyncio.wait([working, waiting], return_when=asyncio.FIRST_COMPLETED)
    rig.zep.before = rig.zep.after = None
    for task in (working, waiting):
        task.cancel()
    await asyncio.gather(working, waiting, return_exceptions=True)
    return reached.is_set()


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("ids", ["kept", "lost"])
async def test_a_worker_that_dies_at_any_request_leaves_nothing_twice_and_nothing_out(
    rig: Rig, where: str, ids: str
) -> None:
    wanted = memo("1" * 12, question="Which words?", answer=LONG)
    for number in range(1, 30):
        rig.zep.store.users, rig.zep.store.threads = [], []
        rig.zep.forget_keys()
        rig.known.known.clear()
        died = await killed_at(rig, number, where, lambda each: each.remember(wanted))
        await (await rig.another(rig.known if ids == "kept" else KnownIds())).remember(wanted)

        assert (len(rig.zep.users), len(rig.zep.threads)) == (1, 1), number
        assert "".join(rig.zep.contents) == f"Which words?{LONG}", number
        if not died:
            break
    assert number > 6


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("what", ["subject", "instance"])
async def test_a_worker_that_dies_while_it_forgets_leaves_it_to_the_next(rig: Rig, where: str, what: str) -> None:
    async def forget(memory: ZepMemory) -> object:
        return await (memory.forget(ANN) if what == "subject" else memory.forget_instance(ANN, "i-1"))

    for number in range(1, 40):
        rig.zep.store.users, rig.zep.store.threads = [], []
        rig.zep.forget_keys()
        rig.known.known.clear()
        await rig.memory.remember(memo("1" * 12))
        await rig.memory.remember(memo("2" * 12, instance="i-2"))
        died = await killed_at(rig, number, where, forget)
        await forget(await rig.another())

        left = {each.metadata["instance"] for each in rig.zep.messages}
        episodes = {each.message.metadata["instance"] for user in rig.zep.users for each in user.episodes}
        assert left == episodes == (set() if what == "subject" else {"i-2"}), number
        if not died:
            break
    assert number > 2


@pytest.mark.parametrize("status", [500, 429, None])
async def test_a_write_of_which_nobody_knows_is_looked_for_before_it_is_repeated(rig: Rig, status: int | None) -> None:
    rig.zep.faults.append(Fault("POST .*/messages", status, {"message": "?"}, lands=True))
    with pytest.raises(MemoryDown):
        await rig.memory.remember(memo())
    assert len(rig.zep.messages) == 2
    await rig.memory.remember(memo())

    assert len(rig.zep.messages) == 2
    assert len([each for each in rig.asked("POST") if "/messages" in each]) == 1


async def test_a_page_in_place_of_zeps_word_is_no_word_that_something_was_written(rig: Rig) -> None:
    rig.zep.faults.append(Fault("POST .*/messages", 200, "<html>Sign in to continue</html>"))
    with pytest.raises(MemoryDown, match="not Zep"):
        await rig.memory.remember(memo())
    await rig.memory.remember(memo())

    assert len(rig.zep.messages) == 2


async def test_an_exchange_of_which_half_was_written_gets_its_other_half(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = memo(question="Which words?", answer=LONG)
    monkeypatch.setattr("worker.zep.memory.LOOK", 5)

    async def second(what: str) -> None:
        if rig.zep.messages and what.startswith("POST") and "/messages" in what:
            rig.zep.before = None
            rig.zep.faults.append(Fault("POST .*/messages", 503, {"message": "?"}))

    rig.zep.before = second
    with pytest.raises(MemoryDown):
        await rig.memory.remember(wanted)
    assert len(rig.zep.messages) == 30
    await rig.memory.remember(wanted)

    assert "".join(rig.zep.contents) == f"Which words?{LONG}"


async def test_what_was_taken_and_is_not_listed_yet_comes_twice_at_most_and_is_recalled_once(rig: Rig) -> None:
    rig.zep.store.slow = rig.zep.store.blind = True
    await rig.memory.remember(memo("1" * 12))
    await rig.memory.remember(memo("1" * 12))
    assert await rig.memory.recall(ANN, "Which pump?", 5) == []
    rig.zep.ingest()

    assert len(rig.zep.messages) == (4 if rig.dialect == "v2" else 2), "v4 knows the request by its key"
    assert [each.ref for each in await rig.memory.recall(ANN, "Which pump?", 5)] == ["1" * 12]
    rig.zep.store.slow = rig.zep.store.blind = False
    await rig.memory.remember(memo("1" * 12))
    assert len(rig.zep.messages) == (4 if rig.dialect == "v2" else 2)
