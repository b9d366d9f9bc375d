"""`assistant-worker deploy`, as a modeller would type it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.flow.command import Ran, assistant_worker, environment
from tests.flow.rig import Rig
from tests.models import bpmn, unique

SCHEMA = '{"type": "object", "required": ["gaps"], "properties": {"gaps": {"type": "string"}}}'
FORM = '{"id": "offer", "type": "default", "components": []}'
RATING = """<?xml version="1.0" encoding="UTF-8"?>
<definitions xmlns="https://www.omg.org/spec/DMN/20191111/MODEL/" id="d" name="Rating" namespace="test"
             xmlns:camunda="http://camunda.org/schema/1.0/dmn">
  <decision id="{key}" name="Rating" camunda:historyTimeToLive="P1D">
    <decisionTable id="t"><output id="o" name="rating" typeRef="string" />
    <rule id="r"><outputEntry id="e"><text>"good"</text></outputEntry></rule></decisionTable></decision>
</definitions>
"""

GUEST = """\
---
name: guest
version: "{version}"
model: gpt-5-mini
max_output_tokens: 500
---
{instructions}
"""


@pytest.fixture
def folder(rig: Rig, tmp_path: Path) -> Path:
    """A model with a schema, a decision and a form, and what is not to be deployed, as an assistant that none names."""
    place = tmp_path / unique("offers")
    (place / "forms").mkdir(parents=True)
    (place / "offers.bpmn").write_text(model(rig))
    (place / "gaps.schema.json").write_text(SCHEMA)
    (place / "forms" / "bewährt.form").write_text(FORM)
    (place / "rating.dmn").write_text(RATING.format(key=f"{place.name}_rating"))
    (place / "reviewer.md").write_text("---\nname: reviewer\n---\nYou review.\n")
    (place / "README.md").write_text("# Offers\n")
    (place / "start.json").write_text("{}")
    (place / ".hidden.bpmn").write_text("nothing")
    return place


def model(rig: Rig, **properties: str) -> str:
    said = {"data_input": "-", "data_output_schema": "gaps.schema.json"} | properties
    return bpmn(rig.step("review", **said), key=f"offers_{rig.topic}").xml


async def deploy(rig: Rig, folder: Path, *more: str) -> Ran:
    done = await assistant_worker(environment(rig), "deploy", str(folder), *more)
    if "--json" in more and done.code == 0:
        rig.rest.take_over(done.json["deployment"])
    return done


def states(said: Any) -> dict[str, str]:
    return {each["name"]: each["state"] for each in said["files"]}


def versions(said: Any) -> dict[str, list[int]]:
    return {each["name"]: [one["version"] for one in each["definitions"]] for each in said["files"]}


async def test_a_folder_is_one_deployment_and_says_what_is_new_and_what_is_as_it_was(rig: Rig, folder: Path) -> None:
    first = (await deploy(rig, folder, "--json")).json
    assert states(first) == dict.fromkeys(
        ["forms/bewährt.form", "gaps.schema.json", "offers.bpmn", "rating.dmn"], "new"
    )
    assert (first["is_new"], first["name"], first["left_out"]) == (
        True,
        folder.name,
        ["reviewer.md", "start.json"],
    )
    there = await rig.rest.get(f"deployment/{first['deployment']}/resources")
    assert sorted(each["name"] for each in there) == sorted(states(first))

    again = await deploy(rig, folder, "--json")
    assert (again.json["is_new"], again.json["deployment"]) == (False, first["deployment"])
    assert set(states(again.json).values()) == {"unchanged"}
    assert versions(again.json)["offers.bpmn"] == [1]

    (folder / "gaps.schema.json").write_text(SCHEMA.replace('"string"', '"integer"'))
    (folder / "forms" / "bewährt.form").unlink()
    third = (await deploy(rig, folder, "--json")).json
    assert (third["is_new"], states(third)["gaps.schema.json"], states(third)["offers.bpmn"]) == (
        True,
        "changed",
        "unchanged",
    )
    # The model goes along with its schema, which it finds in its own deployment alone.
    assert (versions(third)["offers.bpmn"], versions(third)["rating.dmn"]) == ([2], [2])
    assert (states(third)["forms/bewährt.form"], versions(third)["forms/bewährt.form"]) == ("gone", [])


async def test_what_it_deploys_is_what_a_worker_works_by(rig: Rig, folder: Path) -> None:
    await deploy(rig, folder, "--json")
    rig.provider.answer("Please do review", '{"gaps": "none"}')
    worker = await rig.start_worker()
    instance = await rig.rest.start(f"offers_{rig.topic}")
    await rig.rest.wait_for_end(instance)
    assert json.loads((await rig.rest.variables(instance))["review"]) == {"gaps": "none"}
    await worker.stop()


async def test_a_spec_travels_with_its_process_and_is_said_to_be_changed_where_it_is(rig: Rig, folder: Path) -> None:
    rig.settings["deployed_assistants"] = "openai/gpt-5-mini=1000"
    rig.provider.answer("Please do review", '{"gaps": "none"}')
    (folder / "offers.bpmn").write_text(model(rig, service_name="deployment:guest.md"))
    found = []
    for version, instructions in (("1", "You weigh offers."), ("2", "You doubt offers.")):
        (folder / "guest.md").write_text(GUEST.format(version=version, instructions=instructions))
        said = (await deploy(rig, folder, "--json")).json
        assert "guest.md" not in said["left_out"]
        found.append((states(said)["guest.md"], versions(said)["offers.bpmn"]))
        worker = await rig.start_worker()
        await rig.rest.wait_for_end(await rig.rest.start(f"offers_{rig.topic}"))
        await worker.stop()

    # The model goes along with its spec, which it finds in its own deployment alone.
    assert found == [("new", [1]), ("changed", [2])]
    asked = [each["body"]["instructions"] for each in rig.provider.requests("responses.create")]
    assert asked == ["You weigh offers.", "You doubt offers."]


async def test_an_error_stops_it_unless_it_is_meant(rig: Rig, folder: Path) -> None:
    (folder / "gaps.schema.json").unlink()
    refused = await deploy(rig, folder)
    assert (refused.code, refused.out) == (1, "")
    assert f"{folder}/offers.bpmn:" in refused.err
    assert "error missing-file: review" in refused.err
    assert "1 of level error: nothing was deployed" in refused.err
    assert await rig.rest.get("deployment", name=folder.name) == []

    forced = await deploy(rig, folder, "--force", "--json")
    assert (forced.code, forced.json["is_new"]) == (0, True)
    assert "missing-file" in forced.err


async def test_what_the_engine_cannot_parse_is_told_with_line_and_element(rig: Rig, folder: Path) -> None:
    broken = model(rig).replace(f'camunda:topic="{rig.topic}"', "")
    (folder / "offers.bpmn").write_text(broken)
    line = broken[: broken.index('id="review"')].count("\n") + 1
    refused = await deploy(rig, folder, "--force")
    assert refused.code == 1
    assert f"{folder}/offers.bpmn:{line}: error engine: review: " in refused.err
    assert "Nothing was deployed: the engine does not take them: 400 ParseException" in refused.err


async def test_tenant_name_and_source_are_said(rig: Rig, folder: Path) -> None:
    name = unique("named")
    for tenant in ("acme", "other"):
        said = (await deploy(rig, folder, "--tenant", tenant, "--name", name, "--source", "pipeline", "--json")).json
        assert (said["is_new"], versions(said)["offers.bpmn"]) == (True, [1])
        there = await rig.rest.get(f"deployment/{said['deployment']}")
        assert (there["name"], there["source"], there["tenantId"]) == (name, "pipeline", tenant)


async def test_what_is_there_already_is_found_beside_a_later_one_of_another_tenant(rig: Rig, folder: Path) -> None:
    ours = (await deploy(rig, folder, "--json")).json["deployment"]
    theirs = (await deploy(rig, folder, "--tenant", "acme", "--json")).json["deployment"]
    assert theirs != ours
    said = (await deploy(rig, folder, "--json")).json
    assert (said["deployment"], said["is_new"]) == (ours, False)


@pytest.mark.parametrize("command", ["deploy", "start"])
async def test_a_tenant_without_a_name_is_refused(command: str, rig: Rig, folder: Path) -> None:
    done = await assistant_worker(environment(rig), command, str(folder), "--tenant", "")
    assert (done.code, "--tenant" in done.err) == (2, True)


async def test_people_read_a_table(rig: Rig, folder: Path) -> None:
    rig.rest.take_over((await deploy(rig, folder, "--json")).json["deployment"])
    done = await deploy(rig, folder)
    assert done.code == 0
    assert [line.split()[:2] for line in done.out.splitlines() if ".bpmn" in line] == [["offers.bpmn", "unchanged"]]
    assert f"Nothing was deployed: {folder.name} is there as it is" in done.out
    assert "Left out, as no model names them: reviewer.md, start.json" in done.out


async def test_without_an_engine_it_says_so_and_in_an_empty_folder_nothing_is_asked(rig: Rig, folder: Path) -> None:
    away = environment(rig, engine_url="http://127.0.0.1:9/engine-rest")
    done = await assistant_worker(away, "deploy", str(folder))
    assert (done.code, "cannot be reached" in done.err) == (1, True)
    (empty := folder.parent / "empty").mkdir()
    done = await assistant_worker(away, "deploy", str(empty))
    assert (done.code, "has nothing to deploy" in done.err) == (2, True)
