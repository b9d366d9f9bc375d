"""`assistant-worker start`, and its way with an instance to the end."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.flow.command import Ran, assistant_worker, environment
from tests.flow.rig import Rig
from tests.models import ServiceTask, bpmn, line, process
from tests.nursery import Child, shared
from tests.waiting import wait_until
from worker.domain.tasks import Variable
from worker.errors import Permanent
from worker.operate.instances import variables

ERROR_END = (
    '<bpmn:endEvent id="refused" name="Refused"><bpmn:errorEventDefinition errorRef="error_NO"/></bpmn:endEvent>'
)


@dataclass(frozen=True, slots=True)
class Followed:
    """A command that follows an instance."""

    child: Child
    out: Path
    err: Path

    @property
    def said(self) -> str:
        return self.out.read_text() if self.out.exists() else ""

    async def until(self, text: str) -> None:
        async def is_said() -> bool:
            return text in self.said

        await wait_until(is_said, 60, f"{text!r} to be said")

    async def instance(self) -> str:
        await self.until("Started ")
        return self.said.partition("Started ")[2].partition(".")[0]

    async def over(self) -> Ran:
        async with asyncio.timeout(60):
            return Ran.of(await self.child.wait(), self.out, self.err)


@asynccontextmanager
async def following(rig: Rig, folder: Path, key: str, *more: str) -> AsyncIterator[Followed]:
    nursery = await asyncio.to_thread(shared)
    out, err = folder / "out", folder / "err"
    child = await nursery.fork(environment(rig), folder, out, arguments=["start", key, "--follow", *more], errors=err)
    try:
        yield Followed(child, out, err)
    finally:
        child.signal(signal.SIGKILL)
        await child.wait()


async def start(rig: Rig, key: str, *more: str) -> Ran:
    return await assistant_worker(environment(rig), "start", key, *more)


async def throw(rig: Rig, instance: str, code: str) -> None:
    """Report a BPMN error as a worker does."""
    [task] = await rig.rest.tasks(instance)
    await rig.rest.post(f"external-task/{task['id']}/lock", {"workerId": "test", "lockDuration": 10_000})
    await rig.rest.post(f"external-task/{task['id']}/bpmnError", {"workerId": "test", "errorCode": code})


async def test_variables_are_plain_values_or_typed_as_engines_write_them(rig: Rig, tmp_path: Path) -> None:
    (file := tmp_path / "variables.json").write_text(
        json.dumps(
            {
                "text": "ä",
                "yes": True,
                "few": 7,
                "many": 2**40,
                "share": 0.5,
                "nothing": None,
                "offer": {"value": 3, "price": [1, 2]},
                "day": {"value": "2026-11-30T00:00:00.000+0000", "type": "Date"},
                "given": {"value": {"a": 1}, "type": "Json"},
            }
        )
    )
    model = await rig.deploy(rig.step("review"))
    done = await start(rig, model.key, "--variables", str(file), "--business-key", "order-7", "--json")
    assert (done.code, done.err) == (0, "")
    instance = done.json["instance"]
    rows = await rig.rest.get(f"process-instance/{instance}/variables", deserializeValues=False)
    assert {name: (each["type"], each["value"]) for name, each in rows.items()} == {
        "text": ("String", "ä"),
        "yes": ("Boolean", True),
        "few": ("Integer", 7),
        "many": ("Long", 2**40),
        "share": ("Double", 0.5),
        "nothing": ("Null", None),
        "offer": ("Json", '{"value": 3, "price": [1, 2]}'),
        "day": ("Date", "2026-11-30T00:00:00.000+0000"),
        "given": ("Json", '{"a": 1}'),
    }
    assert (await rig.rest.get(f"process-instance/{instance}"))["businessKey"] == "order-7"


async def test_a_version_and_a_tenant_may_be_named(rig: Rig) -> None:
    model = bpmn(rig.step("review"))
    await rig.rest.deploy(model)
    changed = bpmn(rig.step("review", documentation="Now otherwise."), key=model.key)
    await rig.rest.deploy(changed)
    await rig.rest.deploy(model, tenant="acme")

    async def started(*more: str) -> str:
        done = await start(rig, model.key, *more, "--json")
        found = await rig.rest.get(f"process-instance/{done.json['instance']}")
        return f"{found['definitionId'].split(':')[1]} {found['tenantId']}"

    assert await started() == "2 None"
    assert await started("--version", "1") == "1 None"
    assert await started("--tenant", "acme") == "1 acme"
    for more in (["--version", "3"], ["--version", "2", "--tenant", "acme"], ["--tenant", "nobody"]):
        done = await start(rig, model.key, *more)
        assert (done.code, f"process {model.key}" in done.err) == (2, True), done


async def test_it_is_followed_to_its_end_and_shows_what_came_of_it(rig: Rig, tmp_path: Path) -> None:
    rig.provider.answer("Please do frame", "Three goals.")
    model = await rig.deploy(rig.step("frame"), rig.step("advise"))
    (file := tmp_path / "given.json").write_text('{"budget": 7}')
    async with following(rig, tmp_path, model.key, "--variables", str(file)) as followed:
        await followed.until('frame "Frame" [analyst]: waiting')
        worker = await rig.start_worker()
        done = await followed.over()
        await worker.stop()
    assert (done.code, done.err) == (0, "")
    steps = [each.partition("  ")[2] for each in done.out.splitlines()]
    assert [each for each in steps if 'frame "Frame" [analyst]: done after' in each]
    assert [each for each in steps if 'advise "Advise" [analyst]: done after' in each]
    assert "frame" in done.out.rpartition("value")[2]
    assert "Three goals." in done.out
    beginnings = {each.split(" ")[0] for each in done.out.splitlines()}
    assert not {"budget", "frame_meta", "assistant_thread_analyst"} & beginnings
    assert done.out.rstrip().endswith("is completed.")


async def test_an_incident_ends_it_with_its_text_and_the_instance_goes_on(rig: Rig, tmp_path: Path) -> None:
    model = await rig.deploy(rig.step("review", data_input="missing"))
    worker = await rig.start_worker()
    async with following(rig, tmp_path, model.key) as followed:
        done = await followed.over()
    await worker.stop()
    assert done.code == 3
    assert 'review "Review" [analyst]: incident: ' in done.out
    assert "input 'missing' is not set" in done.out
    assert await rig.rest.state(await followed.instance()) == "ACTIVE"


async def test_an_incident_in_a_called_process_is_told_of_once_at_its_step(rig: Rig, tmp_path: Path) -> None:
    called = await rig.deploy(rig.step("review", data_input="missing"))
    call = f'<bpmn:callActivity id="call" name="Rate" calledElement="{called.key}"/>'
    caller = process(line(call))
    await rig.rest.deploy(caller)
    worker = await rig.start_worker()
    async with following(rig, tmp_path, caller.key, "--json") as followed:
        done = await followed.over()
    await worker.stop()
    assert (done.code, done.json["end"]) == (3, "incident")
    [message] = done.json["incidents"]
    assert "input 'missing' is not set" in message
    assert done.err.count("incident: ") == 1
    assert 'call "Rate": called' in done.err


async def test_an_error_that_nothing_catches_is_no_completion(rig: Rig, tmp_path: Path) -> None:
    model = await rig.deploy(rig.step("review"))
    async with following(rig, tmp_path, model.key) as followed:
        await throw(rig, await followed.instance(), "NO")
        done = await followed.over()
    assert done.code == 4
    assert "nothing caught the BPMN error of Review" in done.out


async def test_an_error_end_is_no_completion_and_a_caught_error_is_one(rig: Rig, tmp_path: Path) -> None:
    task = ServiceTask("review", rig.topic, catches="NO")
    caught = bpmn(task)
    parts = line('<bpmn:task id="refuse"/>').replace('<bpmn:endEvent id="end"/>', ERROR_END)
    ended = process(parts.replace('targetRef="end"', 'targetRef="refused"'), codes=["NO"])
    await rig.rest.deploy(caught)
    await rig.rest.deploy(ended)
    async with following(rig, tmp_path, caught.key) as followed:
        await throw(rig, await followed.instance(), "NO")
        assert (await followed.over()).code == 0
    done = await start(rig, ended.key, "--follow")
    assert (done.code, "it reached Refused" in done.out) == (4, True), done


async def test_who_deletes_it_has_terminated_it(rig: Rig, tmp_path: Path) -> None:
    model = await rig.deploy(rig.step("review"))
    async with following(rig, tmp_path, model.key) as followed:
        await rig.rest.delete(f"process-instance/{await followed.instance()}")
        done = await followed.over()
    assert (done.code, "has ended otherwise (terminated)" in done.out) == (4, True), done


async def test_ctrl_c_leaves_the_instance_as_it_is(rig: Rig, tmp_path: Path) -> None:
    model = await rig.deploy(rig.step("review"))
    async with following(rig, tmp_path, model.key) as followed:
        await followed.until("waiting")
        followed.child.signal(signal.SIGINT)
        done = await followed.over()
    instance = await followed.instance()
    assert (done.code, done.err) == (130, f"Not followed any more. Instance {instance} goes on.\n")
    assert await rig.rest.state(instance) == "ACTIVE"


async def test_what_cannot_be_started_says_why(rig: Rig, tmp_path: Path) -> None:
    done = await start(rig, "nobodys_process")
    assert (done.code, "the engine has no process nobodys_process" in done.err) == (2, True)
    away = environment(rig, engine_url="http://127.0.0.1:9/engine-rest")
    done = await assistant_worker(away, "start", "any")
    assert (done.code, "cannot be reached" in done.err) == (1, True)
    (file := tmp_path / "wrong.json").write_text("[1]")
    done = await start(rig, "any", "--variables", str(file))
    assert (done.code, "has to hold a JSON object" in done.err) == (2, True)
    (file := tmp_path / "wrong_type.json").write_text('{"day": {"type": "Date", "value": "tomorrow"}}')
    model = await rig.deploy(rig.step("review"))
    done = await start(rig, model.key, "--variables", str(file))
    assert (done.code, "400" in done.err) == (1, True)


def test_a_number_that_no_type_holds_is_refused_by_name(tmp_path: Path) -> None:
    (file := tmp_path / "large.json").write_text(json.dumps({"huge": 2**70}))
    with pytest.raises(Permanent, match="'huge' is a number"):
        variables.read(file)
    file.write_text('{"file": {"value": "aGk=", "type": "File", "valueInfo": {"filename": "hi.txt"}}}')
    assert variables.read(file) == {"file": Variable("aGk=", "File", {"filename": "hi.txt"})}
