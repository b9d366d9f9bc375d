"""Assistants look things up in their files, whoever answers."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests import papers
from tests.flow.command import Forked, environment, started
from tests.flow.rig import API_CALLS, Rig
from tests.flow.test_doctor import level, problems, seen
from tests.waiting import wait_until
from worker.demo.processes import running
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


@pytest.fixture(params=["conversations", "responses"])
def searched(request: pytest.FixtureRequest, rig: Rig, tmp_path: Path) -> Rig:
    """The provider searches files itself, over each API that it can have; the analyst has a text of prices."""
    file = tmp_path / "providers.yaml"
    said = f"api: {request.param}, base_url: '{rig.provider.base_url}', file_search: true"
    file.write_text(f"providers:\n  openai: {{{said}}}\n")
    rig.settings |= {
        "providers_file": file,
        "openai_base_url": None,
        "openai_api_key": None,
        "transcript_url": f"sqlite:///{tmp_path}/transcript.db",
        "api_port": 0,
    }
    (rig.folder / "prices.txt").write_text("A fast charger costs nine.")
    rig.assistant(more="files: [prices.txt]")
    return rig


def searches(rig: Rig) -> list[str]:
    """The store that each turn searched; a probe is no turn."""
    turns = [each["body"] for each in rig.provider.requests("responses.create") if each["body"]]
    return [each["tools"][0]["vector_store_ids"][0] for each in turns]


async def test_a_provider_that_searches_files_has_them_once_and_searches_them(searched: Rig) -> None:
    model = await searched.deploy(searched.step("one", documentation=WORDS), searched.step("two", documentation=WORDS))
    for _ in range(2):
        await searched.start_worker()
    instances = [await searched.rest.start(model) for _ in range(3)]
    for each in instances:
        await searched.rest.wait_for_end(each)

    has = searched.provider.files()
    [(store, kept)] = has["stores"].items()
    [(file, uploaded)] = has["files"].items()
    assert set(searches(searched)) == {store}
    assert kept["files"] == [file]
    assert kept["metadata"]["made_by"] == "assistant-worker"
    meta = json.loads((await searched.rest.variables(instances[0]))["two_meta"])
    [named] = meta["files"]
    assert named == f"prices.txt {uploaded['filename'][:12]}"
    assert "costs nine" not in told(searched, "responses.create")
    assert f"- {uploaded['filename']}: prices.txt" in told(searched, "responses.create")


@pytest.mark.parametrize("searched", ["conversations"], indirect=True)
@pytest.mark.parametrize("point", ["after:files.create", pytest.param("after:files.upload", marks=pytest.mark.sweep)])
async def test_what_a_worker_leaves_that_was_killed_over_it_is_gone_on_with(searched: Rig, point: str) -> None:
    model = await searched.deploy(searched.step("one", documentation=WORDS))
    instance = await searched.rest.start(model)
    async with running(Forked(environment(searched) | {"WORKER_FAIL_POINT": point})) as dying:
        assert await dying.exit_code() == -9
    await searched.start_worker()
    await searched.rest.wait_for_end(instance)

    has = searched.provider.files()
    assert (len(has["stores"]), len(has["files"])) == (1, 1)
    assert set(searches(searched)) == has["stores"].keys()


async def test_a_store_that_somebody_deleted_is_made_anew(searched: Rig) -> None:
    model = await searched.deploy(searched.step("one", documentation=WORDS))
    await searched.start_worker()
    await searched.run(model)
    [gone] = searched.provider.files()["stores"]
    searched.provider.forget_store(gone)
    instance = await searched.run(model)

    [anew] = searched.provider.files()["stores"]
    assert searches(searched) == [gone, gone, anew]
    assert len(searched.provider.files()["files"]) == 1
    assert (await searched.meta(instance, "one"))["files"]


async def test_a_changed_file_is_another_store_and_the_one_before_stays(searched: Rig) -> None:
    model = await searched.deploy(searched.step("one", documentation=WORDS))
    async with started(searched) as worker:
        await searched.run(model)
        (searched.folder / "prices.txt").write_text("A fast charger costs ten.")
        await wait_until(lambda: worker.lines("configuration_taken"), what="the file to be taken")
        await searched.run(model)

    before, after = searches(searched)
    assert searched.provider.files()["stores"].keys() == {before, after}
    assert len(searched.provider.files()["files"]) == 2


async def test_a_file_that_the_provider_does_not_take_is_an_incident_that_names_it(searched: Rig) -> None:
    searched.provider.fault("files.create", reply={"status": 400, "message": "Invalid extension txt."}, times=None)
    model = await searched.deploy(searched.step("one", documentation=WORDS))
    await searched.start_worker()
    instance = await searched.rest.start(model)
    failed = await searched.until_failed(instance, 60)

    assert "openai does not take the file 'prices.txt'" in failed["errorMessage"]
    assert searches(searched) == []


async def test_doctor_says_that_the_provider_searches_or_that_its_key_may_not(searched: Rig) -> None:
    assert level(await seen(searched), "provider openai", "file_search") is Level.OK
    (searched.folder / "prices.txt").write_bytes(b"%PDF-1.7 nothing that we could read")
    assert level(await seen(searched), "assistants", "analyst 1.0") is Level.OK, "nobody here has to read it"
    searched.provider.fault("vector_stores.list", reply={"status": 403, "message": "no right"}, times=None)
    assert level(await seen(searched), "provider openai", "file_search") is Level.PROBLEM
