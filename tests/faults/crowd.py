"""Tests that spend their time waiting, for a lock or a pause to run out, run side by side, each in a world of its own.

`@together` makes an ordinary looking test one of the crowd: all of the crowd that pytest selected run when the first of
them comes up; each test then passes or fails by itself. They share engine and nursery, and no topic and no process.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from inspect import Signature, signature
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.faults.world import databases, open_world
from tests.nursery import Nursery
from tests.rest import connect
from worker.demo.engine import Engine
from worker.demo.processes import running
from worker.demo.servers import Valkey

AT_ONCE = 16
SECONDS = 150.0
"""Of one test: generous, as many share two processors."""

Play = Callable[..., Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Member:
    """A test of the crowd.

    own_valkey: its Redis may be stopped and reconfigured. first: it takes long, so that it should not begin last, and
    has twice the time.
    """

    play: Play
    own_valkey: bool
    first: bool


def together(*, own_valkey: bool = False, first: bool = False) -> Callable[[Play], Callable[..., None]]:
    """Let this test, whose first argument is `world`, run beside the others. It may be parametrised below this."""

    def decorate(play: Play) -> Callable[..., None]:
        def test(crowd: "Crowd", request: pytest.FixtureRequest, **_: Any) -> None:
            crowd.tell(request.node.nodeid)

        own = [each for each in signature(test).parameters.values() if each.kind is not each.VAR_KEYWORD]
        given = [each.replace(kind=each.KEYWORD_ONLY) for each in [*signature(play).parameters.values()][1:]]
        test.__signature__ = Signature([*own, *given])  # type: ignore[attr-defined]  # what pytest goes by
        for name in ("__name__", "__doc__", "__module__", "__qualname__"):
            setattr(test, name, getattr(play, name))
        test.member = Member(play, own_valkey, first)  # type: ignore[attr-defined]  # found again by the fixture
        return test

    return decorate


def member_of(item: pytest.Item) -> Member:
    """Find what `together` noted; only such items come here."""
    member: Member = item.function.member  # type: ignore[attr-defined]  # a pytest.Function, as every test
    return member


class Crowd:
    """What became of each test, by its node id."""

    def __init__(self, engine: Engine, nursery: Nursery, valkey: Valkey, folder: Path) -> None:
        self._parts = engine, nursery, valkey, folder
        self._ended: dict[str, BaseException | None] = {}
        self._places = asyncio.Semaphore(AT_ONCE)

    def tell(self, name: str) -> None:
        """Pass or fail as the test did."""
        failure = self._ended[name]
        if failure is not None:
            raise failure

    async def run(self, items: Sequence[pytest.Item]) -> None:
        """Run all of them, as many at once as there are places."""
        await asyncio.gather(*map(self._run, sorted(items, key=lambda item: not member_of(item).first)))

    async def _run(self, item: pytest.Item) -> None:
        values = item.callspec.params if hasattr(item, "callspec") else {}
        self._ended[item.nodeid] = None
        try:
            member = member_of(item)
            async with self._places, asyncio.timeout(2 * SECONDS if member.first else SECONDS):
                await self._play(member, values)
        except BaseException as exc:  # noqa: BLE001 - of whatever kind, it belongs to this test
            self._ended[item.nodeid] = exc

    async def _play(self, member: Member, values: Mapping[str, Any]) -> None:
        engine, nursery, valkey, folder = self._parts
        number = next(databases)
        async with AsyncExitStack() as stack:
            rest = await stack.enter_async_context(connect(engine))
            if member.own_valkey:
                valkey, number = await stack.enter_async_context(running(Valkey())), 0
            own = folder / f"{number}-{member.play.__name__}-{len(list(folder.iterdir()))}"
            own.mkdir()
            world = await stack.enter_async_context(open_world(rest, nursery, valkey, number, own))
            await member.play(world, **values)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def crowd(
    request: pytest.FixtureRequest,
    engine: Engine,
    nursery: Nursery,
    valkey: Valkey,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Crowd]:
    """The crowd after its run."""
    crowd = Crowd(engine, nursery, valkey, tmp_path_factory.mktemp("crowd"))
    await crowd.run([each for each in request.session.items if hasattr(getattr(each, "function", None), "member")])
    yield crowd
