"""Whether instances run, by the engine's word: asked rarely, briefly, and missed without harm."""

import asyncio
from collections.abc import Collection, Mapping

import pytest

from worker.errors import EngineDenied, EngineDown
from worker.web.page import standing
from worker.web.page.standing import Standing, Told


class Engine:
    """Says what it is told to, and counts."""

    def __init__(self, **runs: bool) -> None:
        self.runs = runs
        self.error: Exception | None = None
        self.pause = 0.0
        self.asked: list[set[str]] = []
        self.wrong: frozenset[str] = frozenset()

    async def running(self, ids: Collection[str]) -> Mapping[str, bool]:
        self.asked.append(set(ids))
        await asyncio.sleep(self.pause)
        if self.error:
            raise self.error
        return {each: self.runs[each] for each in ids if each in self.runs}

    async def failing(self, ids: Collection[str]) -> frozenset[str]:
        assert all(self.runs[each] for each in ids), "what is over has no incidents"
        return self.wrong & set(ids)


async def test_an_answer_is_good_for_seconds_also_that_nobody_knows_an_instance() -> None:
    engine = Engine(a=True, b=False)
    known = Standing(engine)
    assert await known.of(["a", "b", "c"]) == Told({"a": True, "b": False})
    engine.runs["a"] = False
    assert await known.of(["a", "c"]) == Told({"a": True})
    assert await known.of(["d"]) == Told()
    await asyncio.sleep(standing.FRESH_SECONDS)
    assert await known.of(["a", "c"]) == Told({"a": False})
    assert engine.asked == [{"a", "b", "c"}, {"d"}, {"a", "c"}]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (EngineDown("engine.internal"), "The engine cannot be asked now."),
        (EngineDenied("403"), "The engine does not let this worker see it"),
    ],
)
async def test_an_engine_that_does_not_tell_is_named_and_left_alone_for_seconds(error: Exception, said: str) -> None:
    engine = Engine(a=True)
    engine.error = error
    known = Standing(engine)
    for _ in range(3):
        told = await known.of(["a"])
        assert (told.runs, told.problem.startswith(said)) == ({}, True)
    assert len(engine.asked) == 1

    engine.error = None
    await asyncio.sleep(standing.FRESH_SECONDS)
    assert await known.of(["a"]) == Told({"a": True})


async def test_what_was_told_before_the_engine_went_away_is_still_told() -> None:
    engine = Engine(a=True)
    known = Standing(engine)
    await known.of(["a"])
    engine.error = EngineDown("away")
    assert await known.of(["a", "b"]) == Told({"a": True}, problem="The engine cannot be asked now.")


async def test_an_engine_that_hangs_is_waited_for_briefly() -> None:
    engine = Engine(a=True)
    engine.pause = 3600
    started = asyncio.get_running_loop().time()
    assert (await Standing(engine).of(["a"])).problem
    assert asyncio.get_running_loop().time() - started == standing.PATIENCE_SECONDS


async def test_no_more_is_kept_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "MOST_KNOWN", 3)
    engine = Engine(**{f"i{number}": True for number in range(9)})
    known = Standing(engine)
    for name in engine.runs:
        assert await known.of([name]) == Told({name: True})
    assert len(known._known) <= 3


async def test_which_of_those_that_run_have_incidents_is_told_too() -> None:
    engine = Engine(a=True, b=False, c=True)
    engine.wrong = frozenset("a")
    assert await Standing(engine).of(["a", "b", "c"]) == Told({"a": True, "b": False, "c": True}, ("a",))
