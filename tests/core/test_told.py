"""Answers that are told through Redis while they are written: to whoever watches, and at no cost if nobody does."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from tests.core.rig import Core
from worker.domain.threads import ThreadKey
from worker.domain.watching import Look, Speaker, TurnSeen
from worker.redis import RedisThreadIndex, RedisWatchers, RedisWindows
from worker.redis import watching as told
from worker.redis.failures import ERRORS
from worker.redis.keys import Keys
from worker.redis.store import ANSWERED_FOR

KEY = ThreadKey("default", "a", "analyst")


@pytest.fixture
async def watchers(core: Core) -> AsyncIterator[RedisWatchers]:
    async with RedisWatchers(core.redis, prefix="aw") as watchers:
        yield watchers


@pytest.fixture
def windows(core: Core) -> RedisWindows:
    return RedisWindows(core.redis, prefix="aw")


async def all_told(windows: RedisWindows) -> Look:
    return await windows.look(KEY, Look())


def text_of(pieces: Any) -> str:
    """The text of the newest run, put together by the places of its pieces."""
    text = ""
    for piece in pieces:
        if piece.run == pieces[-1].run:
            text = text[: piece.offset] + piece.text
    return text


async def test_a_call_is_told_to_whoever_watches_its_thread(
    core: Core, watchers: RedisWatchers, windows: RedisWindows
) -> None:
    core.watchers = watchers
    await windows.look(KEY, Look())
    async with core.working():
        job = core.world.start("frame", instance="a")
        await core.until_over([job])
        await asyncio.sleep(1)

    look = await all_told(windows)
    assert text_of(look.pieces) == job.results["frame"].value
    assert {(piece.task_id, piece.attempt) for piece in look.pieces} == {(job.task.id, 1)}
    assert look.pieces[-1].is_last
    turn = TurnSeen(job.task.id, "", 1, is_held=True, is_repair=False)
    seen = (await windows.look(KEY, Look(turn=turn))).turn
    assert seen is not None
    assert seen.whose == Speaker(job.task.process_definition_key, "a")


async def test_a_turn_that_nobody_watches_costs_redis_nothing_more(core: Core, watchers: RedisWatchers) -> None:
    commands: list[Any] = []
    run: Any = core.redis.execute_command

    async def counted(*args: Any, **options: Any) -> Any:
        commands.append(args[0])
        return await run(*args, **options)

    core.redis.execute_command = counted  # type: ignore[method-assign]  # to count

    async def of_one_turn() -> list[Any]:
        job = core.world.start("frame")
        commands.clear()
        await core.until_over([job])
        await asyncio.sleep(1)
        return list(commands)

    async with core.working():
        await of_one_turn()
        alone = await of_one_turn()
    core.watchers = watchers
    async with core.working():
        await of_one_turn()
        assert await of_one_turn() == alone
    assert not await core.redis.keys("*:live")


async def test_watching_ends_by_itself(core: Core, watchers: RedisWatchers, windows: RedisWindows) -> None:
    core.watchers = watchers
    await windows.look(KEY, Look())
    await asyncio.sleep(told.WATCHED_FOR.total_seconds() + 1)
    async with core.working():
        await core.until_over([core.world.start("frame", instance="a")])
        await asyncio.sleep(1)

    assert (await all_told(windows)).pieces == ()


async def test_who_looks_again_reads_only_what_is_new(watchers: RedisWatchers, windows: RedisWindows) -> None:
    watcher = watchers.watcher(KEY, "task-1", 1, watched=True)
    assert watcher is not None
    watcher.began()
    watcher.said("Take ")
    await asyncio.sleep(1)
    first = await all_told(windows)
    watcher.said("the cheap one")
    watcher.said(".")
    await asyncio.sleep(1)
    second = await windows.look(KEY, first)

    assert text_of(first.pieces) == "Take "
    assert [(each.offset, each.text) for each in second.pieces] == [(5, "the cheap one.")]
    assert (await windows.look(KEY, second)).pieces == ()
    assert (await all_told(windows)).place == second.place


async def test_words_are_gathered_and_not_written_one_by_one(watchers: RedisWatchers, windows: RedisWindows) -> None:
    watcher = watchers.watcher(KEY, "task-1", 1, watched=True)
    assert watcher is not None
    watcher.began()
    for _ in range(200):
        watcher.said("word ")
        await asyncio.sleep(0.01)
    watcher.ended()
    await asyncio.sleep(1)

    pieces = (await all_told(windows)).pieces
    assert text_of(pieces) == "word " * 200
    assert len(pieces) <= 2 / told.GATHER_SECONDS + 2


async def test_what_another_request_was_told_is_void_and_gone(watchers: RedisWatchers, windows: RedisWindows) -> None:
    watcher = watchers.watcher(KEY, "task-1", 1, watched=True)
    assert watcher is not None
    watcher.began()
    watcher.said("Take the dear one")
    await asyncio.sleep(1)
    before = await all_told(windows)
    watcher.began()
    watcher.said("Take neither")
    await asyncio.sleep(1)

    after = await windows.look(KEY, before)
    assert text_of(after.pieces) == "Take neither"
    assert len({piece.run for piece in after.pieces} | {before.pieces[0].run}) == 2
    assert (await all_told(windows)).pieces == after.pieces


async def test_a_call_that_says_nothing_is_shown_to_go_on_until_it_is_over(
    watchers: RedisWatchers, windows: RedisWindows
) -> None:
    watcher = watchers.watcher(KEY, "task-1", 1, watched=True)
    assert watcher is not None
    watcher.began()
    watcher.said("Well")
    await asyncio.sleep(60)
    silent_for = (await all_told(windows)).silent_for
    assert silent_for is not None
    assert silent_for <= timedelta(seconds=told.ALIVE_SECONDS + 1)
    watcher.ended()
    await asyncio.sleep(60)
    look = await all_told(windows)
    assert look.silent_for is not None
    assert look.silent_for > timedelta(seconds=50)
    assert text_of(look.pieces) == "Well"
    await asyncio.sleep(told.KEPT_FOR.total_seconds())
    assert (await all_told(windows)).silent_for is None, "nothing is kept for longer than it is of use"


async def test_a_long_answer_is_told_up_to_its_bound(watchers: RedisWatchers, windows: RedisWindows) -> None:
    watcher = watchers.watcher(KEY, "task-1", 1, watched=True)
    assert watcher is not None
    watcher.began()
    for _ in range(5):
        watcher.said("x" * (told.LONGEST // 2 - 10))
        await asyncio.sleep(1)

    assert len(text_of((await all_told(windows)).pieces)) == told.LONGEST


async def test_what_redis_did_not_take_goes_with_the_next_write(
    core: Core, watchers: RedisWatchers, windows: RedisWindows
) -> None:
    watcher = watchers.watcher(KEY, "task-1", 1, watched=True)
    assert watcher is not None
    watcher.began()
    watcher.said("Take ")
    await asyncio.sleep(0.05)
    core.redis.trouble = [ERRORS[0]("away")] * 2
    watcher.said("the ")
    await core.until(lambda: not core.redis.trouble)
    watcher.said("cheap one.")
    watcher.ended()
    await asyncio.sleep(10)

    pieces = (await all_told(windows)).pieces
    assert text_of(pieces) == "Take the cheap one."
    assert pieces[-1].is_last


async def test_the_turn_that_has_the_thread_is_seen_on_its_way(
    core: Core, windows: RedisWindows, watchers: RedisWatchers
) -> None:
    core.watchers = watchers
    core.provider.script.next("ask", 50)
    look, states = Look(), list[tuple[str, bool]]()
    async with core.working():
        job = core.world.start("frame", instance="a")
        while not (look.turn and look.turn.state == "done"):
            look = await windows.look(KEY, look)
            if look.turn is not None and (look.turn.state, look.turn.is_held) not in states:
                states.append((look.turn.state, look.turn.is_held))
            await asyncio.sleep(0.01)

    assert look.turn.task_id == job.task.id
    assert ("intent", True) in states
    assert states[-1] == ("done", False)
    await asyncio.sleep(2 * ANSWERED_FOR.total_seconds())
    assert (await windows.look(KEY, look)).turn is None, "nobody knows any more how it was"


async def test_what_was_told_goes_when_its_thread_is_erased(
    core: Core, watchers: RedisWatchers, windows: RedisWindows
) -> None:
    watcher = watchers.watcher(KEY, "task-1", 1, watched=True)
    assert watcher is not None
    watcher.began()
    watcher.said("secret")
    await windows.look(KEY, Look())
    await asyncio.sleep(1)
    index = RedisThreadIndex(core.redis, prefix="aw", engine="default", lease=timedelta(1), keep=timedelta(30))
    [kept] = await index.threads()
    hold = await index.reserve(KEY)
    assert hold is not None
    await index.forget(hold, kept, unrecorded=True)

    assert not await core.redis.exists(Keys.of("aw", KEY).live)
    assert await index.threads() == [], "that somebody watches leaves nothing of a thread"
