"""Who is at a conversation, over workers: none ends another's visits while that lives, and after kill -9 one does."""

from typing import Any

import aiohttp
import pytest

from tests.api.reading import event_stream
from tests.flow.command import started
from tests.flow.rig import Rig
from tests.flow.test_asks import session
from tests.flow.test_reading_along import reader_of
from tests.waiting import wait_until
from worker.demo.processes import free_port

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("kept", ["postgresql"], indirect=True)
async def test_visits_of_a_worker_that_is_killed_are_closed_by_another_one_which_keeps_its_own(kept: Rig) -> None:
    model, port = await kept.deploy(kept.step("one")), free_port()
    async with reader_of(kept) as living, aiohttp.ClientSession() as http, started(kept, api_port=port) as dying:
        path = f"/api/sessions/{session(await kept.run(model))}"

        async def told(what: str = "/visits") -> Any:
            async with http.get(f"{living.base}{path}{what}") as reply:
                return await reply.json() if reply.status == 200 else None

        async def here() -> set[str]:
            return {each["id"] for each in await told("/visits?open=true")}

        async def are_two() -> set[str]:
            return found if len(found := await here()) == 2 else set()

        await wait_until(lambda: told(""), what="the record")
        async with event_stream(http, f"{living.base}{path}/feed"):
            [mine] = await wait_until(here, what="the first visit")
            async with event_stream(http, f"http://127.0.0.1:{port}{path}/feed"):
                [other] = await wait_until(are_two, what="the second visit") - {mine}
                dying.kill()

                async def is_alone() -> bool:
                    return await here() == {mine}

                await wait_until(is_alone, 120, "the end of what the dead worker kept")
            [over] = [each for each in await told() if each["id"] == other]
            assert (over["is_open"], over["ended_at"] == over["last_seen_at"]) == (False, True)

        async def is_empty() -> bool:
            return await here() == set()

        await wait_until(is_empty, what="the end of the feed")
