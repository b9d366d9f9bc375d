"""Answers and replies as no good model gives them, by the dozen, on a real engine beside healthy tasks: each ends."""

import asyncio
from functools import partial
from typing import Any

import pytest

from tests.flow.rig import Rig
from tests.flow.test_hostile_tasks import has_ended
from tests.hostile import OPENINGS, PIECES
from tests.unit.test_hostile import Maker
from tests.waiting import wait_until

HOSTILE = 24
NUMBERED = [f"answer{number}" for number in range(HOSTILE)]
FORMS = [
    {},
    {"data_output_type": "Json"},
    {"data_output_type": "Json", "data_output_fields": "a, b=a.b"},
    {"data_output_type": "File"},
    {"data_output_schema": '{"type": "object", "required": ["a"]}'},
    {"error_invalid": "NO", "data_output_type": "Json"},
]
REPLIES: list[Any] = [
    *("server_error", "context_length", "rate_limit"),
    *({"status": 200, "text": text} for text in ("", "{", "[]", "null", '{"error": "x"}', '{"output": [[]]}')),
    *({"status": status, "text": "<html>no</html>"} for status in (200, 302, 400, 404, 413, 500)),
]
WORDS = ("error", "answer", "provider", "model", "output", "reply", "question", "request", "conversation", "engine")

pytestmark = pytest.mark.timeout(180)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.sweep)])
async def test_healthy_instances_complete_beside_answers_of_any_kind_and_each_of_those_ends(
    rig: Rig, seed: int
) -> None:
    make = Maker(seed)
    rig.provider.answer("Please do healthy", "Fine.")
    healthy = await rig.deploy(rig.step("healthy", data_input="-"))
    hostile = [await reach(rig, make, name) for name in NUMBERED]
    instances = [await rig.rest.start(healthy) for _ in range(10)]
    await rig.start_worker(max_tasks=3, trouble_for_seconds=1)

    await asyncio.gather(*(rig.rest.wait_for_end(each, 120) for each in instances))
    assert [(await rig.rest.variables(each))["healthy"] for each in instances] == ["Fine."] * 10
    await asyncio.gather(*(wait_until(partial(has_ended, rig, each), 90, f"the end of {each}") for each in hostile))
    failed = [task["errorMessage"] for each in hostile for task in await rig.rest.tasks(each)]
    assert 0 < len(failed) < HOSTILE
    assert [text for text in failed if len(text) < 30 or not any(word in text.lower() for word in WORDS)] == []


async def reach(rig: Rig, make: Maker, name: str) -> str:
    """Have an instance come to a task that is answered with anything, or that the provider refuses in odd words."""
    step = rig.step(name, documentation=f"Take {name}.", data_input="-", service_retries="1", **make.choice(FORMS))
    if make.random() < 0.35:
        rig.provider.fault("responses.create", text=f"Take {name}.", times=None, reply=make.choice(REPLIES))
    else:
        rig.provider.answer(f"Take {name}.", answer(make))
    return await rig.rest.start(await rig.deploy(step))


def answer(make: Maker) -> str:
    """Pieces of what parsers stumble over, many times one of them, or data around them."""
    said = "".join(make.choices(PIECES, k=make.randint(0, 8)))
    depth = make.choice([0, 0, 0, 20, 900])
    return make.choice(["", '{"a": 1}', "```json\n"]) + make.choice(OPENINGS) * depth + said
