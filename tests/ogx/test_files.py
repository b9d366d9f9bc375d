"""Files of assistants that OGX searches: stored once, found again, made anew where they are gone, and removed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from tests.faults.world import World
from tests.flow.command import assistant_worker, environment
from tests.ogx.conftest import SPEC
from tests.ogx.servers import MODEL, Ogx
from tests.waiting import wait_until
from worker.domain.file_stores import Indexing
from worker.domain.providers import ProviderSpec
from worker.errors import FilesGone
from worker.providers import Client, OpenAIFiles

pytestmark = pytest.mark.timeout(180)
NO_FILE: Final = "file-00000000000000000000000000000000"
NO_STORE: Final = "vs_00000000-0000-0000-0000-000000000000"


@asynccontextmanager
async def opened(ogx: Ogx) -> AsyncIterator[OpenAIFiles]:
    async with Client.open(ProviderSpec(base_url=ogx.url)) as client:
        yield OpenAIFiles(client, "default")


@pytest.fixture
async def files(ogx: Ogx) -> AsyncIterator[OpenAIFiles]:
    async with opened(ogx) as files:
        yield files


async def test_what_is_stored_is_found_by_its_mark_and_name_and_goes(files: OpenAIFiles) -> None:
    await files.ping()
    store, file = await files.create("a", "mark-1", "d"), await files.upload("a-1.txt", b"A charger costs nine.")
    assert await files.put(store, file)
    assert await files.status(store, file) == Indexing("completed")
    assert (await files.marked("mark-1"), await files.uploads("a-1.txt")) == ([store], [file])
    assert (await files.contents(store), await files.name_of(file)) == ([file], "a-1.txt")
    assert store in await files.ours()
    assert await files.bears(store, "mark-1")
    for gone in (files.delete, files.delete_upload):
        thing = store if gone == files.delete else file
        assert [await gone(thing), await gone(thing)] == [True, False]


async def test_what_is_gone_is_told_in_its_words_too(files: OpenAIFiles, ogx: Ogx) -> None:
    store, file = await files.create("b", "mark-2", "d"), await files.upload("b-1.txt", b"x")
    assert not await files.put(store, NO_FILE)
    assert await files.name_of(NO_FILE) is None
    assert await files.status(store, file) is None
    assert not await files.bears(NO_STORE, "mark-2")
    for asked in (OpenAIFiles.put, OpenAIFiles.status, OpenAIFiles.take_out):
        # OGX closes the connection behind a refusal, which whoever asks in the same moment meets.
        async with opened(ogx) as others:
            with pytest.raises(FilesGone):
                await asked(others, NO_STORE, file)
    with pytest.raises(FilesGone):
        await files.contents(NO_STORE)


@pytest.fixture
def searched(world: World, ogx: Ogx, tmp_path: Path) -> World:
    """OGX searches the files of the analyst, which has a text of prices."""
    file = tmp_path / "providers.yaml"
    said = f"api: conversations, base_url: '{ogx.url}', refuses_overlap: false, file_search: true"
    file.write_text(f"providers:\n  openai: {{{said}}}\n")
    del world.rig.settings["openai_base_url"]
    world.rig.settings["providers_file"] = file
    (world.rig.folder / "prices.txt").write_text("A charger costs nine.")
    spec = SPEC.format(model=MODEL).replace("---\nYou", "files: [prices.txt]\n---\nYou")
    (world.rig.folder / "analyst@1.0.md").write_text(spec)
    return world


async def stores(ogx: Ogx) -> set[str]:
    async with aiohttp.ClientSession() as session, session.get(f"{ogx.url}/vector_stores?limit=100") as reply:
        return {each["id"] for each in (await reply.json())["data"]}


async def answered(world: World) -> str:
    """What an instance of one step is answered."""
    model = await world.rig.deploy(world.rig.step("one", documentation="What does a charger cost?"))
    instance = await world.start(model)
    await world.ended(seconds=60)
    return str((await world.rest.variables(instance))["one"])


async def test_an_assistant_answers_out_of_its_files_and_they_are_removed_with_a_receipt(
    searched: World, ogx: Ogx
) -> None:
    before = await stores(ogx)
    await searched.start_worker()
    assert await answered(searched) == await answered(searched) == "It costs nine."
    await searched.stop()

    [store] = await stores(ogx) - before
    removed = await assistant_worker(environment(searched.rig), "files", "remove", store, "--yes", "--json")
    left = await assistant_worker(environment(searched.rig), "files", "list", "--json")
    told = [(each["what"], each["outcome"]) for each in removed.json["things"]]
    assert (removed.code, told) == (0, [("store", "removed"), ("file", "removed")])
    # Other tests leave some there, which this worker's Redis does not know.
    assert {each["state"] for each in left.json} <= {"not known here"}
    assert store not in await stores(ogx)


async def test_a_store_that_is_gone_is_searched_in_vain_once_and_made_anew(searched: World, ogx: Ogx) -> None:
    before = await stores(ogx)
    worker = await searched.start_worker()
    assert await answered(searched) == "It costs nine."
    [store] = await stores(ogx) - before
    async with opened(ogx) as files:
        assert await files.delete(store)

    assert await answered(searched) == "My files do not say.", "OGX refuses nothing"
    await wait_until(lambda: worker.lines("files_gone"), 30, "the worker to see it")
    assert await answered(searched) == "It costs nine."
    [anew] = await stores(ogx) - before
    assert anew != store
    await searched.stop()
