"""What time it is, before anything ends by its age."""

from datetime import datetime, timedelta

from worker.ending.ports import EndingPorts
from worker.errors import ClocksDiffer

MAY_DIFFER = timedelta(minutes=5)


async def agreed(ports: EndingPorts) -> datetime:
    """Return the time by Redis' clock. Raises ClocksDiffer unless ours is the same; StoreDown.

    A clock that is years ahead would end all that ever ended, and what is erased does not come back.
    """
    now = await ports.index.now()
    _check("this worker", ports.now(), now)
    return now


async def check_engine(ports: EndingPorts, now: datetime) -> None:
    """Raise ClocksDiffer if the engine's clock, which says when processes ended, is another; EngineDown."""
    if (told := await ports.instances.now()) is not None:
        _check("the engine", told, now)


def _check(whose: str, told: datetime, now: datetime) -> None:
    if abs(told - now) > MAY_DIFFER:
        minutes = MAY_DIFFER // timedelta(minutes=1)
        raise ClocksDiffer(
            f"the clocks of {whose} ({told:%Y-%m-%d %H:%M} UTC) and of Redis ({now:%Y-%m-%d %H:%M} UTC) differ by more "
            f"than {minutes} minutes, so nothing ends by its age. Set the one that is wrong"
        )
