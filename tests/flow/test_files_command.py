"""`assistant-worker files`: what is at a provider that searches files, and its removal with a receipt."""

from pathlib import Path

import pytest

from tests.flow.command import Ran, assistant_worker, environment
from tests.flow.rig import Rig

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def searching(rig: Rig, tmp_path: Path) -> Rig:
    """The provider searches files; the analyst has two, of which the critic has one."""
    file = tmp_path / "providers.yaml"
    file.write_text(PROVIDERS.format(url=rig.provider.base_url, searches="true"))
    rig.settings |= {"providers_file": file, "openai_base_url": None, "openai_api_key": None}
    for name in ("prices", "rules"):
        (rig.folder / f"{name}.txt").write_text(f"About {name}.")
    rig.assistant(more="files: [prices.txt, rules.txt]")
    rig.assistant("critic", more="files: [prices.txt]")
    return rig


PROVIDERS = "providers:\n  openai: {{api: conversations, base_url: '{url}', file_search: {searches}}}\n"


async def files(rig: Rig, *arguments: str) -> Ran:
    return await assistant_worker(environment(rig), "files", *arguments)


async def test_stores_are_listed_and_removed_with_a_receipt_but_for_what_others_have(
    searching: Rig, tmp_path: Path
) -> None:
    rig = searching
    assert "No files are at a provider." in (await files(rig, "list")).out
    model = await rig.deploy(rig.step("one"), rig.step("two", "critic"))
    worker = await rig.start_worker()
    await rig.run(model)
    await worker.stop()
    of_others = rig.provider.has_store("theirs")

    rows = {tuple(row["files"]): row for row in (await files(rig, "list", "--json")).json}
    both, one = rows["prices.txt", "rules.txt"], rows["prices.txt",]
    assert (both["used_by"], one["used_by"], both["state"]) == (["analyst 1.0"], ["critic 1.0"], "ready")
    assert rig.provider.files()["stores"].keys() == {both["id"], one["id"], of_others}
    assert both["id"] in (await files(rig, "list")).out

    refused = await files(rig, "remove", both["id"])
    assert (refused.code, "add --yes" in refused.err) == (2, True)
    assert (await files(rig, "remove", "--yes")).code == 2
    removed = await files(rig, "remove", both["id"], of_others, "--yes", "--json")
    assert removed.code == 0
    told = [(each["what"], each["id"], each["outcome"]) for each in removed.json["things"]]
    assert told == [
        ("store", both["id"], "removed"),
        ("file", both["files"]["rules.txt"]["id"], "removed"),
        ("store", of_others, "gone"),
    ]
    assert rig.provider.files()["stores"].keys() == {one["id"], of_others}
    assert rig.provider.files()["files"].keys() == {one["files"]["prices.txt"]["id"]}
    again = await files(rig, "remove", both["id"], "--yes")
    assert (again.code, "gone already" in again.out) == (0, True)

    (rig.folder / "critic@1.0.md").unlink()
    (tmp_path / "providers.yaml").write_text(PROVIDERS.format(url=rig.provider.base_url, searches="false"))
    unused = await files(rig, "remove", "--unused", "--yes", "--json")
    assert [(each["what"], each["outcome"]) for each in unused.json["things"]] == [
        ("store", "removed"),
        ("file", "removed"),
    ]
    assert rig.provider.files()["stores"].keys() == {of_others}
    assert "There was nothing to remove." in (await files(rig, "remove", "--unused", "--yes")).out


async def test_what_redis_has_lost_is_listed_and_removed_by_its_id(searching: Rig) -> None:
    model = await searching.deploy(searching.step("one"))
    worker = await searching.start_worker()
    await searching.run(model)
    await worker.stop()
    async with searching.redis() as redis:
        await redis.flushdb()
    [row] = (await files(searching, "list", "--json")).json
    assert row["state"] == "not known here"
    searching.provider.fault("vector_stores.list", reply="rate_limit")
    left = await files(searching, "remove", row["id"], "--yes", "--json")
    assert (left.code, [each["outcome"] for each in left.json["things"]]) == (3, ["failed"])
    removed = await files(searching, "remove", row["id"], "--yes", "--json")
    assert [each["outcome"] for each in removed.json["things"]] == ["removed"] * 3
    assert searching.provider.files() == {"files": {}, "stores": {}}


async def test_what_the_provider_refuses_is_left_and_said(searching: Rig) -> None:
    model = await searching.deploy(searching.step("one"))
    worker = await searching.start_worker()
    await searching.run(model)
    await worker.stop()
    searching.provider.fault("vector_stores.delete", reply="rate_limit")
    left = await files(searching, "remove", "--unused", "--yes", "--json")
    assert (left.code, left.json["things"]) == (0, []), "a spec names it"
    [row] = (await files(searching, "list", "--json")).json
    left = await files(searching, "remove", row["id"], "--yes")
    assert (left.code, "left: failed" in left.out) == (3, True)
    assert (await files(searching, "remove", row["id"], "--yes")).code == 0


async def test_specs_that_cannot_be_read_keep_everything_and_say_so(searching: Rig) -> None:
    searching.assistant("broken", more="colour: red")
    refused = await files(searching, "remove", "--unused", "--yes")
    assert (refused.code, "colour" in refused.err) == (2, True)
    listed = await files(searching, "list")
    assert (listed.code, "Not looked up which assistants use them" in listed.err) == (0, True)
