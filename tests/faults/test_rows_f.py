"""Tasks that are poison: in their values, in their names, or for the process that takes them."""

import io
import json
import os
from base64 import b64encode
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from tests.faults.checkers import Explained, check
from tests.faults.crowd import together
from tests.faults.world import World
from tests.models import Model
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(600)

MEGABYTE = 1_000_000
POISON: dict[str, dict[str, Any]] = {
    "huge file": {
        "type": "File",
        "value": b64encode(os.urandom(12 * MEGABYTE)).decode(),
        "valueInfo": {"filename": "huge\n\x1b[31m.bin", "mimetype": "application/octet-stream"},
    },
    "huge text": {
        "type": "Object",
        "value": json.dumps("x" * 3 * MEGABYTE),
        "valueInfo": {"objectTypeName": "java.lang.String", "serializationDataFormat": "application/json"},
    },
    "deep JSON": {"type": "Json", "value": "[" * 100_000 + "]" * 100_000},
    "odd JSON": {"type": "Json", "value": '{"a": NaN, "a": -Infinity, "b": 1180591620717411303424, "c": 1e999}'},
    "no JSON": {"type": "Json", "value": '{"a": '},
    "NUL and surrogates": {"type": "String", "value": "a\0b\ud800c\udfffd"},
    "controls": {"type": "String", "value": "\x1b[2J\r\n\x07\u202e\u200b\x85 {{x}} ${x} #{x} %(x)s"},
    "null": {"type": "Null", "value": None},
    "typed null": {"type": "Json", "value": None},
    "largest number": {"type": "Long", "value": 2**63 - 1},
    "no number": {"type": "Double", "value": "NaN"},
    "bytes": {"type": "Bytes", "value": b64encode(b"\0\xff").decode()},
    "odd date": {"type": "Date", "value": "9999-12-31T23:59:59.999+1400"},
    "XML": {"type": "Xml", "value": '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>'},
    "foreign object": {
        "type": "Object",
        "value": b64encode(b"\xac\xed\x00\x05").decode(),
        "valueInfo": {
            "objectTypeName": "java.util.ArrayList",
            "serializationDataFormat": "application/x-java-serialized-object",
        },
    },
}
NOT_TAKEN = {"XML", "foreign object", "NUL and surrogates"}
"""The engine of the tests may refuse these, which is as good."""


async def start_with(world: World, model: Model, variable: dict[str, Any]) -> str | None:
    """Start an instance with this variable, which may be large; None if the engine does not take it."""
    url = f"{world.rest.base_url}/process-definition/key/{model.key}/start"
    body = io.BytesIO(json.dumps({"variables": {"poison": variable}}).encode())
    async with (
        aiohttp.ClientSession(headers={"Content-Type": "application/json"}) as session,
        session.post(url, data=body) as reply,
    ):
        return str((await reply.json())["id"]) if reply.status == 200 else None


@together()
async def test_a_poisoned_variable_is_its_own_tasks_problem_at_most(world: World) -> None:
    model = await world.rig.deploy(world.rig.step("one", data_input="poison?"))
    poisoned = {}
    for name, variable in POISON.items():
        instance = await start_with(world, model, variable)
        if instance:
            poisoned[instance] = name
            world.instances.append(instance)
        else:
            assert name in NOT_TAKEN
    sound = [await world.start(model) for _ in range(5)]
    worker = await world.start_worker()
    await world.ended(*sound)
    left = set(poisoned)

    async def are_settled() -> bool:
        for instance in list(left):
            open_tasks = await world.rest.tasks(instance)
            if not open_tasks or open_tasks[0]["retries"] == 0:
                left.discard(instance)
        return not left

    await wait_until(are_settled, 60, "all poisoned instances to end or fail")
    failed = {poisoned[each] for each in poisoned if await world.rest.incidents(each)}
    assert failed == {"huge text", "deep JSON", "huge file", "bytes"}, "only what has no room or no text"
    assert await worker.is_ready()
    await world.stop()

    unread = frozenset(instance for instance, name in poisoned.items() if name in failed)
    await check(world, Explained(retries=0, incidents=len(unread), unfinished=unread))
    asked = "\n".join(world.rig.questions())
    assert "root:" not in asked


@together()
async def test_hostile_names_are_data(world: World) -> None:
    names = ["__class__", "{{x}}", "${x}", "x" * 4000, "\u202e\u200bname", "a.b c"]
    step = replace(
        world.rig.step("one", data_input=",".join(f"{name}?" for name in names)),
        name="Line one\nline two {{x}} ${x} %s",
        documentation="Say ${x} and {{x}} and {x.__class__} and %(x)s.",
    )
    model = await world.rig.deploy(step)
    variables = {name: "value" for name in names if len(name) < 200}  # the engine takes no longer ones
    instance = await world.start(model, variables, business_key="key\n\x1b[31m{}")
    worker = await world.start_worker()
    await world.ended()
    await world.stop()

    [question] = world.rig.questions()
    assert "Say ${x} and {{x}} and {x.__class__} and %(x)s." in question
    assert all(f"### {name}" in question for name in names)
    await check(world)
    assert "\x1b" not in worker.log.read_text("utf-8")
    assert worker.lines("turn")[0]["process_instance_id"] == instance


@together()
async def test_an_assistant_with_a_hostile_name_is_a_failure_on_one_line_of_the_log(world: World) -> None:
    hostile = 'x"}\n{"event": "forged"} \x1b[31m {{x}} ${x} ../../etc/passwd'
    step = replace(world.rig.step("one"), inputs={"assistant": "${name}"})
    instance = await world.start(await world.rig.deploy(step), {"name": hostile})
    worker = await world.start_worker()
    task = await world.until_failed(instance, 20)

    assert task["retries"] == 2
    assert "forged" not in {line["event"] for line in worker.lines()}
    assert "\x1b" not in worker.log.read_text("utf-8")
    assert await worker.is_ready()


@together(first=True)
async def test_a_task_that_kills_its_workers_fails_once_before_it_runs_again(world: World) -> None:
    # Each of the deaths may have cost a call: more of them than the usual three are wanted here.
    instance = await world.start(await world.rig.deploy(world.rig.step("one", service_calls="5")))
    for _ in range(3):
        dead = await world.spawn("before:provider.ask")
        await dead.ended()
        await world.locks_run_out()
    await world.start_worker()
    task = await world.until_failed(instance, 30)
    assert task["retries"] == 2
    assert await world.rest.incidents(instance) == []
    assert not world.model.requests("responses.create")
    await world.locks_run_out()
    await world.ended()
    await world.stop()

    await check(world, Explained(retries=2))
