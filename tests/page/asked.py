"""A page whose people ask back and hand over, on a conversation in which something was said."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.api.test_asks import Orders, Threads
from tests.fakes.instances import FakeInstances
from tests.fakes.receivers import FakeReceivers
from tests.page.site import Deployed, Site, site_on
from tests.records import exchange, key
from worker.chat.desk import Desk
from worker.chat.handing import Handing
from worker.chat.ports import ChatPorts
from worker.transcript import Database, SqlAsks, SqlHandovers, SqlTranscriptReader, open_database
from worker.transcript.clock import own_clock
from worker.web.api import asking, handing_over

KEY = key("instance-a")


@asynccontextmanager
async def site_with_asks(
    folder: Path,
    tokens: str,
    *,
    instances: FakeInstances | None = None,
    receivers: FakeReceivers | None = None,
    now: Callable[[], datetime] = own_clock,
    assistants: Sequence[str] = (),
    more: Callable[[Desk, Database], list[Any]] = lambda *_: [],
) -> AsyncIterator[tuple[Site, SqlAsks]]:
    """Serve it, with `more` extensions. Nobody answers what is asked; `now` is the hand-overs' clock."""
    async with open_database(f"sqlite:///{folder}/record.db") as database:
        conversations, asks = SqlTranscriptReader(database), SqlAsks(database, engine="default")
        running = FakeInstances() if instances is None else instances
        ports = ChatPorts(asks, conversations, Orders(), running, Threads())  # type: ignore[arg-type]  # the methods that are needed
        desk = Desk(ports, lambda: None, "default", lambda: list(assistants))
        waiting = FakeReceivers() if receivers is None else receivers
        handing = Handing(ports, SqlHandovers(database, now=now), waiting, _has_spin)
        extend = [asking(desk, conversations), handing_over(handing, desk, conversations), *more(desk, database)]
        async with site_on(
            database, Deployed(), tokens=tokens, has_asks=True, extend=extend, assistants=assistants
        ) as served:
            await served.transcript.record(exchange(1, KEY))
            yield served, asks
            assert served.errors == []


async def _has_spin() -> bool:
    return True
