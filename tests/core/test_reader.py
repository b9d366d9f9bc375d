"""Who reads along for hours: what they may see is asked again when it may have changed, and not more often."""

from dataclasses import dataclass, field, replace
from typing import cast

import pytest

from tests.records import key
from worker.domain.conversations import Definitions, Limits, MessageFilter, Newest, session_id
from worker.errors import EngineDown, TranscriptDown
from worker.web.api import Access, Grant
from worker.web.feeds import Feeds
from worker.web.feeds.feed import HIDDEN, REVOKED
from worker.web.feeds.reader import Reader

WANTED = MessageFilter(session_id=session_id(key()))
FIRST: dict[str, Newest] = {}
SECOND = {"": Newest("", key(), "instance-1", 2, None)}


def seeing(*keys: str) -> Limits:
    return Limits(definitions=Definitions(frozenset(keys)))


@dataclass(slots=True)
class World:
    """Who is looked at, and those who tell: what they say, or what is wrong. `asked` is of whom the record was."""

    is_good: bool = True
    rights: Limits | Exception = field(default_factory=lambda: seeing("drones"))
    sees_it: bool | Exception = True
    asked: list[Limits] = field(default_factory=list)

    def still_grants(self, _: Grant) -> bool:
        return self.is_good

    async def narrowed(self, grant: Grant) -> Grant:
        if isinstance(self.rights, Exception):
            raise self.rights
        return replace(grant, limits=self.rights)

    async def sees(self, _: MessageFilter, within: Limits) -> bool:
        self.asked.append(within)
        if isinstance(self.sees_it, Exception):
            raise self.sees_it
        return self.sees_it


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def reader(world: World) -> Reader:
    return Reader(cast("Access", world), Grant("token", frozenset({"read"})), seeing("drones"), world)


async def allowed(reader: Reader, world: World, record: dict[str, Newest] = FIRST) -> Limits | str:
    return await reader.allowed(WANTED, cast("Feeds", world), record)


async def test_the_record_is_asked_again_when_it_has_changed_or_rights_have(reader: Reader, world: World) -> None:
    for record in (FIRST, FIRST, SECOND, SECOND):
        assert await allowed(reader, world, record) == seeing("drones")
    assert len(world.asked) == 2
    world.rights = seeing("drones", "heat")
    assert [await allowed(reader, world, SECOND) for _ in range(2)] == [world.rights] * 2
    assert world.asked[2:] == [world.rights]
    world.sees_it = False
    assert await allowed(reader, world, FIRST) == HIDDEN


async def test_while_the_record_cannot_tell_it_is_asked_again_and_nothing_is_taken_for_seen(
    reader: Reader, world: World
) -> None:
    world.sees_it = TranscriptDown("away")
    assert [await allowed(reader, world) for _ in range(2)] == [seeing("drones")] * 2
    world.sees_it = False
    assert (await allowed(reader, world), len(world.asked)) == (HIDDEN, 3)


async def test_without_a_token_or_the_engines_word_nothing_is_allowed(reader: Reader, world: World) -> None:
    world.rights = EngineDown("away")
    assert await allowed(reader, world) == REVOKED
    world.rights, world.is_good = seeing("drones"), False
    assert await allowed(reader, world) == REVOKED


async def test_limits_of_a_token_are_asked_about_once(world: World) -> None:
    limits = Limits(instances=frozenset({"instance-1"}))
    reader = Reader(cast("Access", world), Grant("token", frozenset({"read"}), limits), limits, None)
    for record in (FIRST, SECOND):
        assert await allowed(reader, world, record) == limits
    assert world.asked == []
