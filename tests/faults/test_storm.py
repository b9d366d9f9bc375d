"""A short storm with every run of the tests; `python -m tests.faults.storm` makes long ones."""

import random

import pytest

from tests.faults.crowd import together
from tests.faults.storm import KINDS, Storm, schedule
from tests.faults.world import World

pytestmark = pytest.mark.timeout(600)


@together(first=True)
async def test_a_short_storm_breaks_no_promise(world: World) -> None:
    seed = random.randrange(10**6)  # noqa: S311 - of the run's own seed, which pytest prints
    await Storm(world, seed=seed, seconds=12, workers=2).blow()


@together(first=True)
async def test_a_storm_finds_a_worker_that_does_not_look_before_it_asks_again(world: World) -> None:
    world.broken = "blind"
    storm = Storm(world, seed=0, seconds=15, workers=2)
    storm.gusts = []
    world.provider.spoil("^POST /responses", times=20, cut="after")  # nobody hears of those that are poisoned

    with pytest.raises(AssertionError, match="paid_once") as caught:
        await storm.blow()
    assert "--seed 0 --seconds 15 --workers 2" in "".join(caught.value.__notes__)


def test_a_schedule_is_repeated_by_its_seed() -> None:
    assert schedule(1, 60) == schedule(1, 60) != schedule(2, 60)
    assert {gust.kind for gust in schedule(1, 300)} == set(KINDS)
    assert all(0 < gust.at < 60 for gust in schedule(3, 60))
