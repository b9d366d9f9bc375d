"""What goes on at the engine, for all who look at once: asked rarely, briefly, and missed without harm."""

import asyncio
from collections.abc import Collection

import pytest

from tests.page.site import Deployed, definitions, process
from worker.domain.processes import Incident, Step
from worker.errors import EngineDenied, EngineDown
from worker.web.page import watching
from worker.web.page.watching import GoingOn, Seen, Watching, name_of

HERE = process("instance-a")
AWAY = "The engine cannot be asked now."


async def nothing() -> Collection[str]:
    return ()


async def test_those_who_look_at_once_share_one_look_and_a_new_one_follows_seconds_later() -> None:
    engine = Deployed(states={"frame": "running"}, tasks=[Step("frame", "asking")])
    known = Watching(engine, definitions)
    seen = await asyncio.gather(*(known.instance("instance-a") for _ in range(20)))
    assert (seen, engine.looked) == ([Seen(HERE, {"frame": "running"}, engine.tasks)] * 20, 1)

    engine.tasks = []
    await asyncio.sleep(watching.FRESH_SECONDS)
    assert (await known.instance("instance-a")).steps == []
    assert (await known.instance("nobody"), engine.looked) == (Seen(), 3)


async def test_what_is_over_waits_for_nothing() -> None:
    engine = Deployed(states={}, runs={"instance-a": False}, tasks=[Step("frame", "asking")])
    assert (await Watching(engine, definitions).instance("instance-a")).steps == ()


@pytest.mark.parametrize("error", [EngineDown("no"), EngineDenied("403"), TimeoutError()])
async def test_what_was_told_before_the_engine_went_away_stays(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def states(_: object, __: str) -> None:
        raise error

    monkeypatch.setattr(Deployed, "activity_states", states)
    seen = await Watching(Deployed(), definitions).instance("instance-a")
    assert (seen.process, seen.states, bool(seen.problem)) == (HERE, {}, True)


async def test_an_engine_that_does_not_answer_is_waited_for_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> None:
        await asyncio.sleep(3600)

    for name in ("processes", "going_on", "names"):
        monkeypatch.setattr(Deployed, name, never)
    known = Watching(Deployed(), definitions)
    async with asyncio.timeout(3 * watching.PATIENCE_SECONDS + 1):
        assert await known.instance("instance-a") == Seen(problem=AWAY)
        assert await known.going_on() == GoingOn(problem=AWAY)
        assert await known.names() == {}


async def test_what_is_wrong_is_told_with_its_instance_however_old_it_is() -> None:
    wrong = [Incident("instance-old", "frame", "no")]
    engine = Deployed(started=[HERE], wrong=wrong)
    told = await Watching(engine, definitions).going_on()
    assert ([each.id for each in told.processes], told.incidents) == (["instance-a", "instance-old"], wrong)
    assert await Watching(engine, nothing).going_on() == GoingOn()


def test_a_tenants_own_name_goes_before_the_one_of_all() -> None:
    names = {("a", None): "of all", ("a", "north"): "of north"}
    assert [name_of(names, "a", each) for each in ("north", "south", None)] == ["of north", "of all", "of all"]
    assert name_of(names, "b", None) == ""


async def test_no_more_is_kept_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "MOST_KNOWN", 2)
    engine = Deployed(states={})
    known = Watching(engine, definitions)
    for name in ("instance-a", "instance-b", "instance-c"):
        await known.instance(name)
    await known.instance("instance-a")
    assert engine.looked == 4
