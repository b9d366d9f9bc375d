"""What the engine lets a user see, held for a minute, and what that leaves of a grant."""

import asyncio
from dataclasses import dataclass, field

import pytest

from worker.domain.conversations import Definitions, Limits
from worker.errors import EngineDown
from worker.ports.rights import DefinitionRight
from worker.web.api import EngineSight, Grant

ANN = Grant("token", frozenset({"read"}), engine_user="ann")


@dataclass(slots=True)
class Engine:
    """Rights by user: `running` and `ended` are keys of processes. It may be away."""

    running: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    every: bool = False
    single: frozenset[str] = frozenset()
    members: frozenset[str] = frozenset()
    away: bool = False
    asked: list[str] = field(default_factory=list)

    async def on_definition(self, user: str, right: DefinitionRight, key: str) -> bool:
        await self._answer(user)
        return key in (self.running if right == "READ_INSTANCE" else self.ended)

    async def on_every_instance(self, user: str) -> bool:
        await self._answer(user)
        return self.every

    async def on_instances(self, user: str) -> frozenset[str]:
        await self._answer(user)
        return self.single

    async def tenants(self, user: str) -> frozenset[str]:
        await self._answer(user)
        return self.members

    async def _answer(self, user: str) -> None:
        self.asked.append(user)
        await asyncio.sleep(0.016)
        if self.away:
            raise EngineDown("away")


async def keys() -> list[str]:
    return ["drones", "heat", "loans"]


async def test_a_user_sees_what_runs_and_what_is_over_by_the_engines_rights() -> None:
    engine = Engine({"drones"}, {"heat", "unknown"}, single=frozenset({"7"}))
    async with EngineSight(engine, keys) as sight:
        seen = (await sight.narrowed(ANN)).limits
    assert seen == Limits(
        tenants=frozenset({None}),
        definitions=Definitions(frozenset({"drones"}), frozenset({"heat"}), frozenset({"7"})),
    )


async def test_the_right_to_every_instance_opens_each_process_that_runs_and_no_history() -> None:
    async with EngineSight(Engine(every=True), keys) as sight:
        seen = (await sight.narrowed(ANN)).limits
    assert seen.definitions == Definitions(running=frozenset({"drones", "heat", "loans"}))


@pytest.mark.parametrize(
    ("own", "members", "seen"),
    [
        (None, {"north"}, {None, "north"}),
        (None, set(), {None}),
        ({"north", "south"}, {"north"}, {"north"}),
        ({"south", None}, {"north"}, {None}),
        ({"south"}, {"north"}, set()),
    ],
)
async def test_tenants_are_those_of_the_token_that_the_user_is_a_member_of(
    own: set[str | None] | None, members: set[str], seen: set[str | None]
) -> None:
    limits = Limits(None if own is None else frozenset(own), frozenset({"7"}))
    grant = Grant("token", frozenset({"read"}), limits, engine_user="ann")
    async with EngineSight(Engine(members=frozenset(members)), keys) as sight:
        narrowed = (await sight.narrowed(grant)).limits
    assert narrowed.tenants == frozenset(seen)
    assert narrowed.instances == frozenset({"7"}), "what the token is limited to stays"


async def test_who_is_no_user_of_the_engine_sees_nothing_and_the_engine_is_not_asked() -> None:
    engine = Engine({"drones"}, {"drones"}, every=True)
    async with EngineSight(engine, keys) as sight:
        seen = (await sight.narrowed(Grant("token", frozenset({"read"})))).limits
    assert seen.definitions == Definitions()
    assert engine.asked == []


async def test_many_requests_share_an_answer_which_is_good_for_a_minute() -> None:
    engine = Engine({"drones"})
    async with EngineSight(engine, keys) as sight:
        await asyncio.gather(*(sight.narrowed(ANN) for _ in range(10)))
        once = len(engine.asked)
        await asyncio.sleep(59)
        engine.running.clear()
        assert (await sight.narrowed(ANN)).limits.definitions == Definitions(running=frozenset({"drones"}))
        assert len(engine.asked) == once
        await asyncio.sleep(2)
        assert (await sight.narrowed(ANN)).limits.definitions == Definitions()
        assert len(engine.asked) == 2 * once


async def test_an_engine_that_is_away_is_asked_again_by_the_next_request() -> None:
    engine = Engine({"drones"}, away=True)
    async with EngineSight(engine, keys) as sight:
        with pytest.raises(EngineDown):
            await sight.narrowed(ANN)
        engine.away = False
        assert (await sight.narrowed(ANN)).limits.definitions == Definitions(running=frozenset({"drones"}))


async def test_who_gives_up_takes_nothing_from_others_that_wait() -> None:
    engine = Engine({"drones"})
    async with EngineSight(engine, keys) as sight:
        first, second = (asyncio.create_task(sight.narrowed(ANN)) for _ in range(2))
        await asyncio.sleep(0.01)
        first.cancel()
        assert (await second).limits.definitions == Definitions(running=frozenset({"drones"}))


async def test_the_end_of_a_worker_ends_the_asking() -> None:
    engine = Engine({"drones"})
    async with EngineSight(engine, keys) as sight:
        waiting = asyncio.create_task(sight.narrowed(ANN))
        await asyncio.sleep(0.01)
    with pytest.raises(asyncio.CancelledError):
        await waiting
