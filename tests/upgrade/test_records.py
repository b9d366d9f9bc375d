"""A worker from before decision records beside this one, on definitions that make them."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.flow import command
from tests.flow.command import Command
from tests.flow.rig import Rig
from tests.flow.test_decision_record import part, stage
from tests.models import Model, unique
from tests.unit.decisions.examples import parts, scores
from tests.upgrade.test_side_by_side import before
from tests.waiting import wait_until

BESIDE = 8
PARTS = {**{name: parts()[name] for name in ("frame", "objectives", "alternatives", "weights")}, "scores": scores()}


async def deployed(rig: Rig) -> Model:
    """Tasks of an assistant, a record on a topic of its own, and one more task of the assistant."""
    tasks = [part(rig, name, value) for name, value in PARTS.items()]
    return await rig.deploy(*tasks, stage(unique("records"), "compute"), rig.step("tell", data_input="-"))


async def leader(rig: Rig, instance: str) -> Any:
    await rig.rest.wait_for_end(instance, 60)
    return json.loads((await rig.rest.variables(instance))["decision"])["leader"]


def turns(worker: Command) -> list[tuple[str, str]]:
    """Activity and verdict of each turn."""
    return [(line["activity"], line["verdict"]) for line in worker.lines("turn")]


@pytest.mark.parametrize("flow_kept", ["postgresql"], indirect=True)
async def test_a_worker_from_before_records_goes_on_with_assistants_tasks_beside_a_record_of_this_one(
    kept: Rig, tmp_path: Path
) -> None:
    kept.settings |= {"max_tasks": 2, "topics": ""}
    model = await deployed(kept)
    async with before(kept, tmp_path / "earlier") as earlier:
        first = await kept.rest.start(model)
        reached = await kept.until_open(first, "compute")
        assert (reached["workerId"], reached["retries"]) == (None, None), "the older worker leaves it alone"
        async with command.started(kept) as now:
            assert await leader(kept, first) == "Y"
            beside = [await kept.rest.start(model) for _ in range(BESIDE)]
            assert {await leader(kept, each) for each in beside} == {"Y"}
            tasks = (len(PARTS) + 2) * (1 + BESIDE)
            await wait_until(lambda: len(turns(now) + turns(earlier)) >= tasks, what="the lines of all turns")
            mine, others = turns(now), turns(earlier)

    assert [each for each in mine if each[0] == "compute"] == [("compute", "complete")] * (1 + BESIDE)
    assert {verdict for _, verdict in others} == {"complete"}
    names = [name for name, _ in others]
    assert "compute" not in names
    assert len(names) > len(PARTS), "it goes on while this one is there, too"
