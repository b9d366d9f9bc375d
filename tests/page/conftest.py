"""The page with a record of a few instances."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.page.site import DECISION, Deployed, Site, Watched, browsing, site, watch
from tests.records import exchange, key

STEPS = (("frame", "Frame the decision"), ("alternatives", "Find alternatives"))
DATA = '{"choice": "B", "cost": 31000.50, "options": [{"name": "A", "fits": true}, {"name": "B", "fits": null}]}'


@pytest.fixture
def processes() -> Deployed:
    """An engine that has the model of all instances and knows how far they are."""
    return Deployed(DECISION.read_text("utf-8"), {"frame": "done", "alternatives": "failed", "evaluate": "running"})


@pytest.fixture
async def served(tmp_path: Path, processes: Deployed) -> AsyncIterator[Site]:
    """Two instances with two turns each; the second step answers with data, the second time."""
    async with site(tmp_path, processes, can_erase=True) as served:
        number = 0
        for name in ("instance-a", "instance-b"):
            for place, (activity, title) in enumerate(STEPS):
                number += 1
                said = exchange(
                    number,
                    key(name),
                    activity_id=activity,
                    activity_name=title,
                    business_key=f"order-{name[-1]}",
                    definition_key="decision",
                    answer=DATA if place else f"## Frame\n\nThe **goal** of {name} is *clear*.\n\n- range\n- cost",
                    attempt=1 + place,
                )
                await served.transcript.record(said)
        yield served
        assert served.errors == []


@pytest.fixture
async def browser(served: Site) -> AsyncIterator[Watched]:
    """A browser's page that has been nowhere yet; it must not complain, nor ask anybody else."""
    async with browsing(viewport={"width": 1280, "height": 900}) as context:
        watched = await watch(context)
        yield watched
        assert watched.foreign(served.url) == []
        assert watched.complaints == []
        assert watched.dialogs == []
