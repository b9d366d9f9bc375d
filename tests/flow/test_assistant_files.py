"""Assistants look things up in their files, whoever answers."""

import json
from typing import Any

from tests import papers
from tests.flow.command import started
from tests.flow.rig import API_CALLS, Rig
from tests.flow.test_doctor import level, problems, seen
from tests.waiting import wait_until
from worker.operate.doctor import Level

WORDS = "What does a fast charger cost?"


def told(rig: Rig, call: str) -> str:
    """What the provider was told last, beside the question."""
    body: dict[str, Any] = rig.provider.requests(call)[-1]["body"]
    return str(body["instructions"] if "instructions" in body else body["messages"][0]["content"])


async def test_a_pdf_beside_the_spec_answers_a_task(rig: Rig, api: str) -> None:
    (rig.folder / "handbook.pdf").write_bytes(papers.pdf("Buses cost ten", "A fast charger costs nine"))
    rig.assistant(more="files: [handbook.pdf]")
    model = await rig.deploy(rig.step("one", documentation=WORDS))
    await rig.start_worker()
    instance = await rig.run(model)

    assert "### handbook.pdf, page 2 of 2\n\n    A fast charger costs nine" in told(rig, API_CALLS[api])
    meta = json.loads((await rig.rest.variables(instance))["one_meta"])
    [named] = meta["files"]
    assert named.startswith("handbook.pdf ")


async def test_a_file_that_is_changed_is_taken_as_its_spec_would_be(rig: Rig) -> None:
    (rig.folder / "prices.md").write_text("A fast charger costs nine.")
    rig.assistant(more="files: [prices.md]")
    model = await rig.deploy(rig.step("one", documentation=WORDS))
    async with started(rig) as worker:
        await rig.run(model)
        assert "costs nine" in told(rig, "responses.create")
        (rig.folder / "prices.md").write_text("A fast charger costs ten.")
        await wait_until(lambda: worker.lines("configuration_taken"), what="the file to be taken")
        await rig.run(model)
    assert "costs ten" in told(rig, "responses.create")


async def test_a_file_that_cannot_be_read_is_an_incident_and_nothing_is_paid(rig: Rig) -> None:
    (rig.folder / "offer.pdf").write_bytes(b"%PDF-1.7 nothing behind it")
    rig.assistant(more="files: [offer.pdf]")
    model = await rig.deploy(rig.step("one", documentation=WORDS))
    await rig.start_worker()
    instance = await rig.rest.start(model)

    async def failed() -> bool:
        return any("offer.pdf" in (each["errorMessage"] or "") for each in await rig.rest.tasks(instance))

    await wait_until(failed, what="an incident that names the file")
    assert rig.calls("responses.create") == 0
    assert problems(await seen(rig)) == [("assistants", "analyst 1.0")]
    (rig.folder / "offer.pdf").write_bytes(papers.pdf("A fast charger costs nine"))
    assert level(await seen(rig), "assistants", "analyst 1.0") is Level.OK
