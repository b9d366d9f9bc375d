"""The worker on a server that somebody else wrote: what it promises on OpenAI's APIs it keeps on OGX."""

import asyncio
import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import aiohttp

from tests.contract.questions import assistant, question
from tests.faults.world import World
from tests.flow.command import assistant_worker, environment
from tests.models import unique
from tests.ogx.conftest import SPEC
from tests.ogx.servers import MODEL, Aimock, Ogx
from tests.waiting import wait_until
from worker.demo.stage import PYTHON_ENVIRONMENT
from worker.providers import OpenAIProvider

BPMN: Final = Path(__file__).parents[2] / "bpmn" / "decision"
LATER: Final = ("evaluate", "recommend")
COUNT: Final = {
    "type": "object",
    "properties": {"count": {"type": "integer"}, "unit": {"type": "string"}},
    "required": ["count", "unit"],
    "additionalProperties": False,
}


def decision(folder: Path, topic: str) -> Path:
    """The sample decision, its first two steps on one topic of the test's own and the last two on another."""
    text = (BPMN / "decision.bpmn").read_text("utf-8").replace('"decision-analysis"', f'"{topic}"')
    for step in LATER:
        text = re.sub(rf'(id="{step}" .*?topic="{topic})"', r'\1_later"', text)
    path = folder / "decision.bpmn"
    path.write_text(text, "utf-8")
    return path


async def started(world: World) -> str:
    """An instance of it, with the example's variables."""
    await world.rest.deploy(decision(world.folder, world.rig.topic))
    return await world.start("decision", json.loads((BPMN / "decision.json").read_text("utf-8")))


async def request(ogx: Ogx, method: str, path: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.request(method, f"{ogx.url}/{path}") as reply:
        return reply.status, await reply.json()


async def meta(world: World, instance: str, output: str) -> dict[str, Any]:
    return await world.rig.meta(instance, output)


async def test_four_steps_of_a_decision_are_four_turns_on_one_thread(world: World, aimock: Aimock, ogx: Ogx) -> None:
    before = len(aimock.asked())
    instance = await started(world)
    await world.start_worker(topics=f"{world.rig.topic},{world.rig.topic}_later")
    await world.ended()

    metas = [await meta(world, instance, each) for each in ("decision_frame", "alternatives", "evaluation")]
    [thread] = {each["thread"] for each in metas}
    assert (await world.rest.variables(instance))["recommendation"] == "RECOMMENDATION: share (B)."
    [*_, last] = calls = aimock.asked()[before:]
    assert len(calls) == 4
    assert [each["role"] for each in last] == ["system", *["user", "assistant"] * 3, "user"]
    assert ["FRAME" in str(last), "ALTERNATIVES" in str(last), "EVALUATION" in str(last)] == [True] * 3
    status, items = await request(ogx, "GET", f"conversations/{thread}/items?order=asc&limit=100")
    assert (status, [each["role"] for each in items["data"]]) == (200, ["user", "assistant"] * 4)
    await world.stop()


async def test_a_thread_deleted_between_two_steps_is_made_anew_and_told_what_was_said(
    world: World, aimock: Aimock, ogx: Ogx
) -> None:
    instance = await started(world)
    first = await world.start_worker()
    await world.until_open(instance, "evaluate")
    await first.stop()
    old = (await meta(world, instance, "alternatives"))["thread"]
    assert (await request(ogx, "DELETE", f"conversations/{old}"))[0] == 200
    await world.start_worker(topics=f"{world.rig.topic}_later")
    await world.ended()

    told = await meta(world, instance, "evaluation")
    assert (told["use"], told["generation"], told["seeded"]) == ("recreated", 2, 2)
    assert told["thread"] != old
    asked = str(aimock.asked("Evaluate the alternatives")[-1])
    assert "FRAME: objectives" in asked
    assert "ALTERNATIVES: A buys" in asked
    await world.stop()


async def test_ogx_killed_under_a_turn_costs_that_call_and_nothing_else(world: World, aimock: Aimock, ogx: Ogx) -> None:
    steps = {"one": "Please do it.", "slow": "Take your time.", "three": "Please do it again."}
    model = await world.rig.deploy(
        *(world.rig.step(name, documentation=text, data_output=name) for name, text in steps.items())
    )
    before = len(aimock.asked("Take your time"))  # by other tests, in whatever order they run
    instance = await world.start(model)
    await world.start_worker()
    await wait_until(lambda: len(aimock.asked("Take your time")) > before, 60, "the slow call")
    await asyncio.to_thread(ogx.kill)
    await asyncio.to_thread(ogx.start)
    await world.ended(seconds=90)

    metas = [await meta(world, instance, each) for each in steps]
    assert len({each["thread"] for each in metas}) == 1
    assert len(aimock.asked("Take your time")) == before + 2
    assert await world.rest.incidents(instance) == []
    assert [line for line in world.workers[0].lines("turn") if line.get("retries") not in {None, 3}] == []
    await world.stop()


async def test_answers_by_a_schema_are_json_of_that_schema(world: World, aimock: Aimock) -> None:
    schema = json.dumps(COUNT)
    step = world.rig.step("count", documentation="How many?", data_output="figures", data_output_schema=schema)
    instance = await world.start(await world.rig.deploy(step))
    await world.start_worker()
    await world.ended()

    assert json.loads((await world.rest.variables(instance))["figures"]) == {"count": 12, "unit": "drones"}
    assert len(aimock.asked("How many?")) == 1, "no repair"
    await world.stop()


async def test_a_worker_killed_after_the_answer_is_followed_by_one_that_finds_it(world: World, aimock: Aimock) -> None:
    task = unique("task")
    model = await world.rig.deploy(world.rig.step("one", documentation=f"Please do {task}.", data_output="found"))
    instance = await world.start(model)
    dead = await world.spawn("after:provider.ask")
    await dead.ended()
    await world.locks_run_out()
    await world.start_worker()
    await world.ended()

    assert len(aimock.asked(task)) == 1, "paid once"
    assert (await world.rest.variables(instance))["found"] == "DONE: as you wished."
    assert (await meta(world, instance, "found"))["recovered"] == "thread"
    await world.stop()


async def test_what_was_said_is_erased(world: World, ogx: Ogx) -> None:
    secret = unique("marzipan")
    model = await world.rig.deploy(world.rig.step("one", documentation=f"Please do {secret}.", data_output="told"))
    instance = await world.start(model)
    await world.start_worker()
    await world.ended()

    async def recorded() -> bool:
        async with world.rig.redis() as redis:
            return int(await redis.zcard("assistant-worker:default:unrecorded")) == 0

    await wait_until(recorded, 20, "the transcript to have it all")
    await world.stop()
    told = await meta(world, instance, "told")
    assert tables_with(ogx, secret) >= {"conversation_items", "responses"}
    command = (sys.executable, "-m", "worker", "threads", "erase", instance, "--yes", "--json")
    values = {name.upper(): str(value) for name, value in world.rig.settings.items()}
    done = await asyncio.to_thread(
        subprocess.run, command, env={**PYTHON_ENVIRONMENT, **values}, capture_output=True, check=False, text=True
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert (await request(ogx, "GET", f"conversations/{told['thread']}"))[0] == 404
    assert (await request(ogx, "GET", f"responses/{told['response']}"))[0] == 404
    # What OGX writes for itself its API neither shows nor deletes.
    assert tables_with(ogx, secret) == {"conversation_messages", "inference"}


def tables_with(ogx: Ogx, text: str) -> set[str]:
    """Name the tables of OGX's store in which a row has this text."""
    with closing(sqlite3.connect(f"file:{ogx.directory}/sql.db?mode=ro", uri=True)) as store:
        tables = [name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name
            for name in tables
            if any(text in str(row) for row in store.execute(f'SELECT * FROM "{name}"'))  # noqa: S608 - its own name
        }


async def test_calls_that_overlap_are_not_refused(ogx: Ogx) -> None:
    """Weaker than OpenAI, which refuses the second: here both land, so only the worker's hold keeps them apart."""
    async with OpenAIProvider.open(None, ogx.url) as model:
        thread = await model.create_thread({})
        slow, quick = question("Take your time."), question("Please do something.")
        spec = assistant(model=MODEL)
        answers = await asyncio.gather(model.ask(thread, slow, spec), model.ask(thread, quick, spec))
        found = [await model.look(thread, each.ref) for each in (slow, quick)]

    assert [each.text[:5] for each in answers] == ["SLOWL", "DONE:"]
    assert [each is not None and each.text[:5] for each in found] == ["SLOWL", "DONE:"]


async def test_doctor_asks_it_what_it_has_and_says_what_it_lacks(world: World) -> None:
    found = await examined(world)
    assert {found[name] for name in ("key", f"model {MODEL}", f"call of {MODEL}")} == {"ok"}, found

    (world.rig.folder / "analyst@1.0.md").write_text(SPEC.format(model="no-such-model"))
    assert (await examined(world))["model no-such-model"] == "problem"


async def examined(world: World) -> dict[str, str]:
    """How each thing is that doctor looks at at the provider."""
    ran = await assistant_worker(environment(world.rig), "doctor", "--json")
    return {each["subject"]: each["level"] for each in ran.json if each["area"] == "provider"}
